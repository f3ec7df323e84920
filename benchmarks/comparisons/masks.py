"""Whether pruning pays in bytes: free masks, N:M masks and narrower networks without any, by the size of their files.

Every run trains the same hand-written cell, all cells at the same bits, at several widths C. Masks are compared at equal bytes: a pruned
network's accuracy against that of unpruned ones, interpolated between the two widths whose files are next in size.

    python -m benchmarks masks digits --seeds 10 --threads 1
"""

from __future__ import annotations

import math
import statistics
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator, ScalarFormatter

import litesnn
from benchmarks.comparisons.repeats import (
    Record,
    Row,
    by_variant,
    mean_text,
    measured,
    of_variant,
    paired,
    parser,
    presets_of,
    run_command,
)
from benchmarks.plots import COLOURS, save
from benchmarks.record import heading, table
from litesnn.checks import InputError
from litesnn.data import Dataset
from litesnn.export.convert import pack
from litesnn.export.writer import file_of
from litesnn.genotype import Genotype

CELL = (((0, "conv3x3"), (1, "conv3x3")), ((1, "conv3x3"), (2, "skip")))
TIMESTEPS = 2
KINDS: dict[str, tuple[float, int, tuple[int, ...]]] = {  # name -> p, N of N:M masks, widths
    "unpruned": (0, 0, (6, 8, 12, 16, 24)),
    "50 % free": (50, 0, (12, 16, 24)),
    "50 % 2:4": (50, 2, (12, 16, 24)),
    "80 % free": (80, 0, (16, 24, 32)),
    "80 % 1:5": (80, 1, (16, 24, 32)),
}
IMAGE = Path(__file__).parents[2] / "docs" / "images"


def variant_name(kind: str, channels: int) -> str:
    """``80 % 1:5, C 24``."""
    return f"{kind}, C {channels}"


VARIANTS = [variant_name(kind, channels) for kind, (_, _, widths) in KINDS.items() for channels in widths]


def train(record: Record, variant: str, seed: int, data: Dataset) -> Row:
    """One run of a variant; what is kept of it."""
    kind, _, channels = variant.partition(", C ")
    p, n, _ = KINDS[kind]
    recipe = replace(record.recipe, mask_n=n, retrain_channels=int(channels))
    genotype = Genotype(nodes=CELL, bits=(record.here["bits"],) * recipe.cells, timesteps=TIMESTEPS, p=p)
    trained = litesnn.retrain(genotype, recipe, dataset=data, seed=seed)
    file = file_of(pack(trained.model))
    return {**measured(trained), "file_bytes": len(file.content), "position_bytes": round(file.parts["positions"] / 8)}


def at_equal_bytes(runs: list[Row], variant: str, key: str = "test_accuracy") -> list[float]:
    """What a variant has of ``key`` above unpruned networks of the same file size and seed; none where no two enclose it."""
    found = []
    for row in of_variant(runs, variant):
        whole = sorted(
            (other["file_bytes"], other[key])
            for other in runs
            if other["variant"].startswith("unpruned") and other["seed"] == row["seed"]
        )
        for (small, low), (large, high) in pairwise(whole):
            if small <= row["file_bytes"] <= large:
                share = math.log(row["file_bytes"] / small) / math.log(large / small)
                found.append(row[key] - (low + share * (high - low)))
    return found


def report(result: dict[str, Any]) -> str:
    """The stored record as a table."""
    lines = heading(result)
    for preset, found in presets_of(result):
        body = []
        for variant, rows in by_variant(found["runs"], VARIANTS):
            kind, _, channels = variant.partition(", C ")
            free = variant_name(f"{kind.split(' %')[0]} % free", int(channels))
            same = paired(found["runs"], free, variant, "test_accuracy") if KINDS[kind][1] else []
            body.append(
                [
                    f"{preset}, {variant}",
                    mean_text([row["file_bytes"] / 1e3 for row in rows], ".2f"),
                    mean_text([row["position_bytes"] / 1e3 for row in rows], ".2f"),
                    mean_text([row["val_accuracy"] for row in rows], ".2f"),
                    mean_text([row["test_accuracy"] for row in rows], ".2f"),
                    _gain(same),
                    _gain(at_equal_bytes(found["runs"], variant)) if kind != "unpruned" else "",
                    str(len(rows)),
                ]
            )
        columns = ["", "file kB", "positions kB", "validation %", "test %", "over free", "over unpruned", "seeds"]
        lines += [*table(columns, body), ""]
    return "\n".join(lines)


def _gain(changes: list[float]) -> str:
    """``+1.23 ± 0.45``: mean and standard error."""
    if len(changes) < 2:
        return ""
    return f"{statistics.mean(changes):+.2f} ± {statistics.stdev(changes) / math.sqrt(len(changes)):.2f}"


def draw(runs: list[Row], title: str, path: Path) -> None:
    """Mean test accuracy over the mean size of the file, a line for each kind of mask; bars are standard errors."""
    figure = Figure(figsize=(8, 4.5), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    panel = figure.subplots()
    for (kind, (_, _, widths)), colour in zip(KINDS.items(), COLOURS, strict=False):
        points = []
        for channels in widths:
            rows = of_variant(runs, variant_name(kind, channels))
            if rows:
                values = [row["test_accuracy"] for row in rows]
                error = statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else 0.0
                points.append((statistics.mean(r["file_bytes"] for r in rows) / 1e3, statistics.mean(values), error))
        if points:
            x, y, errors = zip(*sorted(points), strict=True)
            panel.errorbar(x, y, errors, fmt="o-", color=colour, markersize=4, linewidth=1.2, capsize=2, label=kind)
    panel.set_xscale("log")
    panel.xaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
    panel.xaxis.set_major_formatter(ScalarFormatter())
    panel.xaxis.set_minor_locator(NullLocator())
    panel.set_xlabel("packed file (kB)")
    panel.set_ylabel("test accuracy (%)")
    panel.set_title(title, fontsize=10)
    panel.grid(True, color="#eee")
    panel.spines[["top", "right"]].set_visible(False)
    panel.legend(frameon=False, fontsize=9)
    save(figure, path)


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit code."""
    made = parser("masks", __doc__, ["digits", "cifar10-small", "gsc-small"])
    made.add_argument("--bits", type=int, default=2, choices=(1, 2, 3, 4), help="of every cell (default 2)")
    made.add_argument(
        "--image", type=Path, metavar="FILE.png", help="the picture (default: docs/images/masks-PRESET.png)"
    )
    options = made.parse_args(arguments)

    def work(record: Record) -> None:
        if record.here.setdefault("bits", options.bits) != options.bits:
            raise InputError(f"bits: expected {record.here['bits']} as in the record, got {options.bits}")
        record.complete(VARIANTS, lambda variant, seed, data: train(record, variant, seed, data))
        title = f"{options.preset}: {options.bits} bits, T = {TIMESTEPS}, means of {options.seeds} seeds"
        draw(record.here["runs"], title, options.image or IMAGE / f"masks-{options.preset}.png")

    return run_command("masks", options, work, report)


if __name__ == "__main__":
    sys.exit(main())
