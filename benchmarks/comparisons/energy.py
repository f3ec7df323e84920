"""Table 5: energies of the published networks from their operations, and of ours and their ANN counterparts from a run.

``benchmarks/data/published_energy.csv`` has the printed counts. What can be derived is derived, and held against the print:

* energies, from the counts and 0.9 pJ per addition, 3.7 pJ per multiplication;
* multiplications, from a stem of C channels on a 32 x 32 image in colour, pruned by p, at T timesteps;
* operations of the ANN counterparts, from every structure of three-node cells at C = 144: dense operations, times 1 - p;
* additions of the two networks with 32-bit weights, from their Bit-SynOps in Table 2.

Additions of the searched networks come from spike rates, which were not published. Ours are three points at the paper's
pruning rates, each with its ANN counterpart: the same layers dense in activations, one pass, one addition and one
multiplication per kept weight and position. ``--model`` takes networks that are already trained instead.

    python -m benchmarks energy digits
"""

from __future__ import annotations

import csv
import itertools
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import torch

from benchmarks.comparisons.repeats import (
    Record,
    Row,
    measured_cost,
    parser,
    presets_of,
    run_command,
    train_point,
)
from benchmarks.record import heading, table
from litesnn.config import Recipe, SearchPoint
from litesnn.cost import dense_operations, derived_cost, energy_mj
from litesnn.data import Dataset
from litesnn.genotype import PRIMITIVES, Genotype
from litesnn.kept import kept_count
from litesnn.layout import conv_shapes
from litesnn.model import Model

PUBLISHED = Path(__file__).parents[1] / "data" / "published_energy.csv"
POINTS = {
    "digits": {
        "large": SearchPoint(lambda1=0, lambda2=0, p=50),
        "medium": SearchPoint(lambda1=1e-6, lambda2=1e-9, p=80),
        "small": SearchPoint(lambda1=1e-5, lambda2=1e-8, p=90),
    },
}
"""Per preset three scales, pruned as the paper's: none, little and much of both λ."""


def read_published(path: Path = PUBLISHED) -> list[Row]:
    """The rows of Table 5 as they are printed; counts in millions, energy in millijoule, None where there is nothing."""
    texts = "model", "kind", "source"
    with path.open(encoding="utf-8", newline="") as file:
        return [
            {key: text if key in texts else (float(text) if text else None) for key, text in row.items()}
            for row in csv.DictReader(file)
        ]


def stem_operations(channels: int, p: float) -> int:
    """Operations of the stem per timestep on CIFAR's images: kept weights times positions."""
    recipe = Recipe.preset("cifar10", nodes=1, retrain_channels=channels)
    stem = conv_shapes(recipe, channels, recipe.classes, None)[0]
    return kept_count(stem.weights, p) * stem.positions


@cache
def dense_counts(channels: int, nodes: int = 3) -> tuple[int, ...]:
    """Dense operations of one timestep that structures of the search space can have on CIFAR-10, ascending."""
    recipe = Recipe.preset("cifar10", nodes=nodes, retrain_channels=channels, search_channels=channels)
    bits = (recipe.bit_widths[0],) * recipe.cells
    found = {
        dense_operations(Genotype(nodes=structure, bits=bits, timesteps=1), recipe) for structure in _structures(nodes)
    }
    return tuple(sorted(found))


def _structures(nodes: int) -> Iterator[tuple[tuple[tuple[int, str], ...], ...]]:
    """Every cell of so many nodes: two different inputs per node, one operation on each."""
    choices = [
        [
            tuple(zip(pair, ops, strict=True))
            for pair in itertools.combinations(range(node + 2), 2)
            for ops in itertools.product(PRIMITIVES, repeat=2)
        ]
        for node in range(nodes)
    ]
    return itertools.product(*choices)


def printed_alike(value: float, printed: float, digits: int = 2) -> bool:
    """Whether a value rounds to what is printed."""
    return abs(value - printed) <= 0.5 * 10.0**-digits * (1 + 1e-9)


def derive(row: Row) -> Row:
    """What of a published row follows from other figures, each beside whether it is printed alike."""
    energy = energy_mj(row["additions_m"] * 1e6, row["multiplications_m"] * 1e6)
    found: Row = {"energy_mj": energy, "energy_agrees": printed_alike(energy, row["energy_mj"])}
    stem = stem_operations(int(row["stem_channels"]), row["p"]) / 1e6
    if row["kind"] == "ann":
        # The paper counts the stem once more than the layers have it.
        extra = stem_operations(int(row["stem_channels"]), 0)
        share = 1 - row["p"] / 100
        counts = [(dense + extra) * share / 1e6 for dense in dense_counts(int(row["stem_channels"]))]
        nearest = min(counts, key=lambda count: abs(count - row["additions_m"]))
        found |= {"additions_m": nearest, "additions_agree": printed_alike(nearest, row["additions_m"])}
        return found
    timesteps = row["multiplications_m"] / stem
    found |= {
        "timesteps_needed": timesteps,
        "multiplications_m": stem * round(timesteps),
        "multiplications_agree": printed_alike(stem * round(timesteps), row["multiplications_m"]),
        "timesteps_agree": round(timesteps) == row["timesteps"],
    }
    if row["kind"] == "float":  # Bit-SynOps are printed whole: within 0.5 / 32 M
        found["additions_m"] = row["bit_synops_m"] / 32
        found["additions_agree"] = abs(found["additions_m"] - row["additions_m"]) <= 0.5 / 32 + 0.005
    else:  # the stem has 4 bits
        found["mean_bits"] = (row["bit_synops_m"] - 4 * row["multiplications_m"]) / row["additions_m"]
    return found


def of_model(path: Path) -> Row:
    """The counts of a trained network in a file of its own."""
    model = Model.load(path, torch.device("cpu"))
    return {"name": str(path), **measured_cost(derived_cost(model.genotype, model.recipe, model.rates), model.genotype)}


def report(result: dict[str, Any]) -> str:
    """The stored record: published rows with what was derived, then ours with their counterparts."""
    lines = heading(result)
    body = []
    for row in result["published"]:
        found = row["derived"]
        marks = [
            f"{found[key]:.{digits}f}{'' if found[agrees] else ' (differs)'}" if key in found else ""
            for key, agrees, digits in (
                ("additions_m", "additions_agree", 2),
                ("multiplications_m", "multiplications_agree", 2),
                ("energy_mj", "energy_agrees", 2),
            )
        ]
        steps = ""
        if "timesteps_needed" in found:
            steps = f"{found['timesteps_needed']:.2f}{'' if found['timesteps_agree'] else ' (differs)'}"
        told = "" if row["timesteps"] is None else f"{row['timesteps']:.0f}"
        printed = [f"{row[key]:.2f}" for key in ("additions_m", "multiplications_m", "energy_mj")]
        body.append([row["model"], *printed, *marks, told, steps])
    header = [
        "printed",
        "additions M",
        "multipl. M",
        "mJ",
        "derived: additions M",
        "multipl. M",
        "mJ",
        "T told",
        "T needed",
    ]
    lines += [*table(header, body), ""]
    ours = [(preset, row) for preset, found in presets_of(result) for row in sorted(found["runs"], key=_order)]
    lines += table(
        ["ours", "test %", "p %", "T", "bits", "additions k", "multipl. k", "energy nJ", "ANN: operations k", "energy nJ", "ANN / SNN"],
        [_line(f"{preset} {row['variant']}", row) for preset, row in ours]
        + [_line(row["name"], row) for row in result.get("models", [])],
    )  # fmt: skip
    return "\n".join(lines)


def _order(row: Row) -> tuple[int, int]:
    return ["large", "medium", "small"].index(row["variant"]), row["seed"]


def _line(name: str, row: Row) -> list[str]:
    energy = energy_mj(row["additions"], row["multiplications"])
    ann = energy_mj(row["ann_operations"], row["ann_operations"])
    return [
        name,
        f"{row['test_accuracy']:.2f}" if "test_accuracy" in row else "",
        f"{row['genotype']['p']:g}",
        str(row["timesteps"]),
        " ".join(map(str, row["bits"])),
        f"{row['additions'] / 1e3:.1f}",
        f"{row['multiplications'] / 1e3:.1f}",
        f"{energy * 1e6:.1f}",
        f"{row['ann_operations'] / 1e3:.1f}",
        f"{ann * 1e6:.1f}",
        f"{ann / energy:.2f}" if energy else "",
    ]


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit code."""
    made = parser("energy", __doc__, list(POINTS))
    made.add_argument("--model", type=Path, action="append", default=[], metavar="FILE", help="a trained network")
    options = made.parse_args(arguments)

    def work(record: Record) -> None:
        models = [of_model(path) for path in options.model]
        record.result["published"] = [{**row, "derived": derive(row)} for row in read_published()]
        if models:
            record.result["models"] = models
        points = POINTS[options.preset]

        def train(variant: str, seed: int, data: Dataset) -> Row:
            return train_point(points[variant], record.recipe, data, seed, record.start(variant, seed))

        record.complete(list(points), train)

    return run_command("energy", options, work, report)


if __name__ == "__main__":
    sys.exit(main())
