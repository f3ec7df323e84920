"""Whether pruning pays in bytes: free masks, N:M masks and narrower networks without any, by the size of their files.

Every run trains the same hand-written cell, all cells at the same bits, at several widths C. Masks are compared at equal bytes: a pruned
network's accuracy against that of unpruned ones, interpolated between the two widths whose files are next in size.

    python -m benchmarks masks digits --seeds 10 --threads 1
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.stats import sem

import litesnn
from benchmarks.comparisons.repeats import TEST, Record, Row, mean_of, measured, of_variant, paired
from litesnn.data import Dataset
from litesnn.export.convert import pack
from litesnn.export.writer import file_of
from litesnn.genotype import Genotype

PRESETS = ("digits", "cifar10-small", "gsc-small")
CELL = (((0, "conv3x3"), (1, "conv3x3")), ((1, "conv3x3"), (2, "skip")))
TIMESTEPS = 2
KINDS: dict[str, tuple[float, int, tuple[int, ...]]] = {  # name -> p, N of N:M masks, widths
    "unpruned": (0, 0, (6, 8, 12, 16, 24)),
    "50 % free": (50, 0, (12, 16, 24)),
    "50 % 2:4": (50, 2, (12, 16, 24)),
    "80 % free": (80, 0, (16, 24, 32)),
    "80 % 1:5": (80, 1, (16, 24, 32)),
}
VARIANTS = [f"{kind}, C {channels}" for kind, (_, _, widths) in KINDS.items() for channels in widths]
COLUMNS = {
    "file kB": mean_of("file_bytes", ".2f", 1e3),
    "positions kB": mean_of("position_bytes", ".2f", 1e3),
    "validation %": mean_of("val_accuracy", ".2f"),
    **TEST,
}


def train(record: Record, variant: str, seed: int, data: Dataset) -> Row:
    """One run of a variant; what is kept of it."""
    kind, _, channels = variant.partition(", C ")
    p, n, _ = KINDS[kind]
    recipe = replace(record.recipe, mask_n=n, retrain_channels=int(channels))
    genotype = Genotype(nodes=CELL, bits=(record.here["bits"],) * recipe.cells, timesteps=TIMESTEPS, p=p)
    trained = litesnn.retrain(genotype, recipe, dataset=data, seed=seed)
    file = file_of(pack(trained.model))
    return {**measured(trained), "file_bytes": len(file.content), "position_bytes": round(file.parts["positions"] / 8)}


def at_equal_bytes(runs: Sequence[Row], variant: str) -> list[float]:
    """Points of test accuracy above unpruned networks of the same file size and seed; none where no two enclose it."""
    found = []
    for row in of_variant(runs, variant):
        whole = sorted(
            (other["file_bytes"], other["test_accuracy"])
            for other in runs
            if other["variant"].startswith("unpruned") and other["seed"] == row["seed"]
        )
        sizes, accuracies = np.array(whole).T if whole else np.empty((2, 1))
        if sizes[0] <= row["file_bytes"] <= sizes[-1]:
            expected = np.interp(np.log(row["file_bytes"]), np.log(sizes), accuracies)
            found.append(row["test_accuracy"] - float(expected))
    return found


def notes(found: dict[str, Any]) -> list[str]:
    """Gains over unpruned networks of equal bytes, and of N:M masks over free ones of the same width."""
    lines = []
    for variant in VARIANTS:
        kind, _, channels = variant.partition(", C ")
        free = f"{kind.partition(' %')[0]} % free, C {channels}"
        over_free = paired(found["runs"], free, variant, "test_accuracy") if KINDS[kind][1] else []
        over_unpruned = at_equal_bytes(found["runs"], variant) if KINDS[kind][0] else []
        for changes, other in ((over_free, "free masks"), (over_unpruned, "unpruned networks of the same bytes")):
            if len(changes) > 1:
                gain = f"{statistics.mean(changes):+.2f} ± {sem(changes):.2f}"
                lines.append(f"- {variant}: {gain} points (standard error) over {other}")
    return lines


def add_options(parser: argparse.ArgumentParser) -> None:
    """Bits."""
    parser.add_argument("--bits", type=int, default=2, choices=(1, 2, 3, 4), help="of every cell (default 2)")


def before(record: Record) -> None:
    """All runs have the same bits."""
    record.setting("bits", record.options.bits)
