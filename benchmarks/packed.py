"""Bytes of packed files by part, against the bound, of digits networks that are trained here; nothing is timed.

The bound is what Eq. 18 counts, kept weights at their bits, and log2 of the number of ways to choose them in each layer.

    python -m benchmarks packed --work FOLDER     # trained networks are kept there and found again
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import torch

from benchmarks.record import markdown, progress
from litesnn.config import Recipe
from litesnn.export.convert import pack_exactly
from litesnn.export.packed import Packed
from litesnn.export.shorten import shorten
from litesnn.export.sizes import measure_sizes
from litesnn.export.writer import file_of
from litesnn.genotype import Genotype
from litesnn.model import Model
from litesnn.retraining import retrain

NODES = (((0, "conv3x3"), (1, "skip")), ((1, "conv3x3"), (2, "skip")))
DIGITS = {  # bits of the three cells, p and T
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


def trained(name: str, work: Path) -> Packed:
    """A digits network, retrained with seed 0 unless it lies in ``work``."""
    bits, p, timesteps = DIGITS[name]
    path = work / f"{name.replace(' ', '-').replace('/', '')}.safetensors"
    if not path.exists():
        progress(f"training {name}")
        genotype = Genotype(nodes=NODES, bits=bits, timesteps=timesteps, p=p)
        retrain(genotype, Recipe.preset("digits"), seed=0).model.save(path)
    return pack_exactly(Model.load(path, torch.device("cpu")))


def sizes_of(exact: Packed) -> dict[str, Any]:
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


def report(result: dict[str, Any]) -> str:
    """A row for each network; nothing of it depends on the machine."""
    body = []
    for name, row in result["bytes"].items():
        parts = row["parts"]
        norms = parts["scales and steps"] + parts["biases"]
        rest = row["file"] - parts["positions"] - parts["codes"] - norms
        sizes = [
            row["eq18"],
            row["bound"],
            row["file"],
            parts["codes"],
            parts["positions"],
            norms,
            row["all_digits"],
            rest,
        ]
        there = "{} of {}".format(*row["channels"])
        body.append([name, *(f"{size:,.0f}" for size in sizes), f"{row['weights_over_bound']:.3f}", there])
    head = "network,Eq. 18,bound,file,codes,positions,scales and biases,with all digits,rest,weights : bound,channels"
    return markdown(head.split(","), body)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Where trained networks lie."""
    work = Path(tempfile.gettempdir()) / "litesnn-packed"
    parser.add_argument("--work", type=Path, default=work, metavar="FOLDER", help="where trained networks are kept")


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Sizes of all networks."""
    options.work.mkdir(parents=True, exist_ok=True)
    rows = {name: sizes_of(trained(name, options.work)) for name in DIGITS}
    return {"bytes": rows}
