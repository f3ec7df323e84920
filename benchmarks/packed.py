"""Bytes of packed files by part, against the bound: digits networks that are trained here, and CIFAR-sized ones.

The bound is what Eq. 18 counts, kept weights at their bits, and log2 of the number of ways to choose them in each layer. The
CIFAR-sized networks have random masks and the codes of Gaussian weights: their sizes are those of trained ones, but for what
training would learn to leave out. Nothing here is timed.

    python -m benchmarks packed --work FOLDER     # trained networks are kept there and found again
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.record import RESULTS, progress, table
from litesnn.config import Recipe
from litesnn.export.convert import pack_exactly
from litesnn.export.packed import Packed
from litesnn.export.plan import make_plan
from litesnn.export.shorten import shorten
from litesnn.export.sizes import measure_sizes
from litesnn.export.writer import file_of
from litesnn.files import write_text
from litesnn.genotype import Genotype
from litesnn.kept import kept_count
from litesnn.model import Model
from litesnn.retraining import retrain
from litesnn.steps import STEP_PER_STD

NODES = (((0, "conv3x3"), (1, "skip")), ((1, "conv3x3"), (2, "skip")))
DIGITS: dict[str, tuple[tuple[int, ...], float, int]] = {
    "digits p=0 2/4/1 bits": ((2, 4, 1), 0, 3),
    "digits p=0 4 bits": ((4, 4, 4), 0, 3),
    "digits p=0 1 bit T=1": ((1, 1, 1), 0, 1),
    "digits p=0 1 bit T=2": ((1, 1, 1), 0, 2),
    "digits p=80 2/4/1 bits": ((2, 4, 1), 80, 3),
    "digits p=80 1 bit": ((1, 1, 1), 80, 3),
    "digits p=95 2/4/1 bits": ((2, 4, 1), 95, 3),
    "digits p=95 4 bits": ((4, 4, 4), 95, 3),
    "digits p=95 1 bit": ((1, 1, 1), 95, 3),
}
CIFAR = {f"cifar10 C=32 p={p} {bits} bit": (bits, p) for p in (0, 80, 95) for bits in (1, 4)}
BEFORE = {
    "digits p=0 2/4/1 bits": 16044,
    "digits p=0 4 bits": 27708,
    "digits p=80 2/4/1 bits": 10031,
    "digits p=80 1 bit": 8667,
    "digits p=95 2/4/1 bits": 5235,
    "digits p=95 4 bits": 5822,
    "digits p=95 1 bit": 4896,
}
"""Bytes that version 0.1 wrote for networks of these genotypes, trained then."""


def trained(name: str, work: Path) -> Packed:
    """A digits network, retrained with seed 0 unless it lies in ``work``."""
    bits, p, timesteps = DIGITS[name]
    path = work / f"{name.replace(' ', '-').replace('/', '')}.safetensors"
    if not path.exists():
        progress(f"training {name}")
        genotype = Genotype(nodes=NODES, bits=bits, timesteps=timesteps, p=p)
        retrain(genotype, Recipe.preset("digits"), seed=0).model.save(path)
    return pack_exactly(Model.load(path, torch.device("cpu")))


def random_network(name: str) -> Packed:
    """A network of CIFAR's shapes with random masks, codes of Gaussian weights and batch norm that lets neurons fire."""
    bits, p = CIFAR[name]
    recipe = Recipe.preset("cifar10-small", retrain_channels=32, search_channels=32, widths=(2, 2, 4, 4, 4))
    genotype = {"nodes": NODES, "bits": [bits] * recipe.cells, "timesteps": recipe.timesteps, "p": p}
    plan, draw = make_plan(recipe, genotype), np.random.default_rng(0)
    codes = []
    for layer in plan.layers:
        half = 1 << layer.bits >> 1
        flat = np.clip(np.floor(draw.normal(size=layer.weights) / STEP_PER_STD[layer.bits]), -half, half - 1) * 2 + 1
        flat[draw.permutation(layer.weights)[kept_count(layer.weights, p) :]] = 0
        codes.append(flat.astype(np.int8).reshape(layer.shape))
    ones = np.ones((3, 1, 1), np.float32)
    return Packed(
        recipe=recipe,
        genotype=genotype,
        classes=tuple("airplane automobile bird cat deer dog frog horse ship truck".split()),
        codes=tuple(codes),
        steps=draw.uniform(0.02, 0.05, len(plan.layers)).astype(np.float32),
        scale=tuple(draw.uniform(0.5, 2, layer.outputs).astype(np.float32) for layer in plan.layers[:-1]),
        bias=tuple(draw.normal(0.3, 0.2, row.channels).astype(np.float32).astype(np.float64) for row in plan.rows),
        mean=ones * np.float32(0.5),
        std=ones * np.float32(0.25),
        rates=np.full((len(plan.rows), plan.timesteps), 0.1, np.float32),
    )


def measure(exact: Packed) -> dict[str, Any]:
    """Bytes of the file, of its parts, of Eq. 18 and of the bound; of scales and biases also with all their digits."""
    whole = measure_sizes(exact).parts
    packed = shorten(exact)
    file = file_of(packed)
    sizes = measure_sizes(packed, file)
    return {
        "file": len(file.content),
        "eq18": sizes.paper / 8,
        "bound": round(sizes.bound / 8, 1),
        "weights_over_bound": round((sizes.parts["positions"] + sizes.parts["codes"]) / sizes.bound, 4),
        "parts": {part: round(bits / 8, 1) for part, bits in sizes.parts.items()},
        "all_digits": round((whole["scales and steps"] + whole["biases"]) / 8, 1),
        "channels": [sizes.channels, sizes.all_channels],
    }


def report(rows: dict[str, dict[str, Any]]) -> str:
    """The table of docs/export.md."""
    body = []
    for name, row in rows.items():
        parts = row["parts"]
        norms = parts["scales and steps"] + parts["biases"]
        rest = row["file"] - parts["positions"] - parts["codes"] - norms
        before = f"{row['before']:,}" if row["before"] else "–"
        numbers = (
            row["eq18"],
            row["bound"],
            row["file"],
            parts["codes"],
            parts["positions"],
            norms,
            row["all_digits"],
            rest,
        )
        there = "{} of {}".format(*row["channels"])
        body.append(
            [name, before, *(f"{number:,.0f}" for number in numbers), f"{row['weights_over_bound']:.3f}", there]
        )
    head = "network,before,Eq. 18,bound,file,codes,positions,scales and biases,with all digits,rest,weights : bound,channels".split(
        ","
    )
    return "\n".join(table(head, body))


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit code."""
    made = argparse.ArgumentParser(prog="packed", description=(__doc__ or "").partition("\n")[0])
    made.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "litesnn-packed")
    made.add_argument("--out", type=Path, default=RESULTS / "packed.json")
    options = made.parse_args(arguments)
    options.work.mkdir(parents=True, exist_ok=True)
    rows = {name: measure(trained(name, options.work)) for name in DIGITS}
    rows |= {name: measure(random_network(name)) for name in CIFAR}
    rows = {name: {"before": BEFORE.get(name), **row} for name, row in rows.items()}
    write_text(options.out, json.dumps({"benchmark": "packed", "bytes": rows}, indent=2) + "\n")
    print(report(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
