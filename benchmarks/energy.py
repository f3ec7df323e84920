"""Table 5: energies of the published networks, derived from their printed operations and held against the print.

``benchmarks/data/published_energy.csv`` has what is printed. Derived are

* energies, from the counts and 0.9 pJ per addition, 3.7 pJ per multiplication;
* multiplications, from a stem of C channels on a 32 x 32 image in colour, pruned by p, at T timesteps;
* operations of the ANN counterparts, from every structure of three-node cells at C = 144: dense operations, times 1 - p;
* additions of the two networks with 32-bit weights, from their Bit-SynOps in Table 2.

Additions of the searched networks come from spike rates, which were not published. Energies of our own networks and of their
ANN counterparts stand in every run's results.

    python -m benchmarks energy
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.record import markdown, show
from litesnn.config import Recipe
from litesnn.cost import dense_operations, energy_mj
from litesnn.genotype import Genotype
from litesnn.kept import kept_count
from litesnn.layout import conv_shapes
from litesnn.operations import PRIMITIVES

PUBLISHED = Path(__file__).parent / "data" / "published_energy.csv"
Row = dict[str, Any]


def read_published(path: Path = PUBLISHED) -> list[Row]:
    """The rows of Table 5 as they are printed; counts in millions, energy in millijoule, None where there is nothing."""
    table = pd.read_csv(path)
    return [
        {str(k): v for k, v in row.items()}
        for row in table.astype(object).where(table.notna(), None).to_dict("records")
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
    genotypes = (Genotype(nodes=structure, bits=bits, timesteps=1) for structure in _structures(nodes))
    return tuple(sorted({dense_operations(genotype, recipe) for genotype in genotypes}))


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


def printed_alike(value: float, printed: float) -> bool:
    """Whether a value rounds to what is printed with two digits."""
    return abs(value - printed) <= 0.005 * (1 + 1e-9)


def derive(row: Row) -> Row:
    """What of a published row follows from other figures, each beside whether it is printed alike."""
    channels, additions, multiplications = int(row["stem_channels"]), row["additions_m"], row["multiplications_m"]
    energy = energy_mj(additions * 1e6, multiplications * 1e6)
    found: Row = {"energy_mj": energy, "energy_agrees": printed_alike(energy, row["energy_mj"])}
    if row["kind"] == "ann":
        # The paper counts the stem once more than the layers have it.
        extra, share = stem_operations(channels, 0), 1 - row["p"] / 100
        counts = [(dense + extra) * share / 1e6 for dense in dense_counts(channels)]
        nearest = min(counts, key=lambda count: abs(count - additions))
        return found | {"additions_m": nearest, "additions_agree": printed_alike(nearest, additions)}
    stem = stem_operations(channels, row["p"]) / 1e6
    timesteps = multiplications / stem
    found |= {
        "timesteps_needed": timesteps,
        "multiplications_m": stem * round(timesteps),
        "multiplications_agree": printed_alike(stem * round(timesteps), multiplications),
        "timesteps_agree": round(timesteps) == row["timesteps"],
    }
    if row["kind"] == "float":  # Bit-SynOps are printed whole: within 0.5 / 32 M
        found["additions_m"] = row["bit_synops_m"] / 32
        found["additions_agree"] = abs(found["additions_m"] - additions) <= 0.5 / 32 + 0.005
    else:  # the stem has 4 bits
        found["mean_bits"] = (row["bit_synops_m"] - 4 * multiplications) / additions
    return found


def report(rows: Sequence[Row]) -> str:
    """The published rows with what was derived, and whether it is printed so."""
    body = []
    for row in rows:
        derived = derive(row)
        said = [
            f"{derived[key]:.2f}{'' if derived[agrees] else ' (differs)'}" if agrees in derived else ""
            for key, agrees in (
                ("additions_m", "additions_agree"),
                ("multiplications_m", "multiplications_agree"),
                ("energy_mj", "energy_agrees"),
                ("timesteps_needed", "timesteps_agree"),
            )
        ]
        printed = [f"{row[key]:.2f}" for key in ("additions_m", "multiplications_m", "energy_mj")]
        body.append([row["model"], *printed, *said])
    header = "printed;additions M;multipl. M;mJ;derived: additions M;multipl. M;mJ;T needed"
    return markdown(header.split(";"), body)


def main(arguments: Sequence[str]) -> int:
    """The command, which has no options."""
    argparse.ArgumentParser(prog="energy", description=(__doc__ or "").partition("\n")[0]).parse_args(arguments)
    show(report(read_published()))
    return 0
