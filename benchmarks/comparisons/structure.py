"""Whether the searched structure matters: searched cells against random ones of the same size and Bit-SynOps.

Each searched network meets one whose operations are drawn at random, among the same edges and candidates, with its own
bit-widths, T, p and widths; a draw counts if Eq. 18 and the Bit-SynOps, at one assumed spike rate everywhere, are within
the tolerance of the searched network's, and if the cell differs: another order of its nodes, or another name of the same
operation (skip on an edge from a cell's input is a convolution, too) makes no other cell. Both are retrained alike, with
the seed of the search. What spikes there really are shows after retraining only, and so do the measured Bit-SynOps.

Cells have four nodes here, as the paper's. With two, as the small presets have, there are five cells in all,
and equal size leaves next to none to choose from.

    python -m benchmarks structure digits --count 5
"""

from __future__ import annotations

import random
import statistics
import sys
from collections.abc import Collection, Sequence
from dataclasses import replace
from itertools import combinations, permutations
from typing import Any

import torch

from benchmarks.comparisons.repeats import (
    Record,
    Row,
    by_variant,
    mean_text,
    of_variant,
    parser,
    presets_of,
    run_command,
    train_genotype,
    train_point,
)
from benchmarks.comparisons.sequential import POINTS
from benchmarks.record import heading, table
from litesnn.checks import InputError, check_number
from litesnn.config import Recipe
from litesnn.cost import DerivedCost, derived_cost
from litesnn.data import Dataset
from litesnn.genotype import PRIMITIVES, Genotype

SEARCHED, RANDOM = "searched", "random"
VARIANTS = SEARCHED, RANDOM
NODES = 4
RATE = 0.2
"""Assumed spikes per neuron and timestep."""
TOLERANCE = 5.0
DRAWS = 20_000

Cell = tuple[tuple[tuple[int, str], ...], ...]


def same_cell(nodes: Cell, recipe: Recipe) -> Cell:
    """One name for all genotypes of the same cell: the first of those that renaming its nodes gives.

    Args:
        nodes: as ``Genotype.nodes``.
        recipe: says what skip means on an edge from a cell's input.
    """

    def op(source: int, name: str) -> str:
        return PRIMITIVES[0] if source < 2 and recipe.input_skip == "conv3x3" else name

    names = []
    for order in permutations(range(len(nodes))):  # order[j]: the new place of node j
        renamed = {
            order[j]: tuple(sorted((s if s < 2 else 2 + order[s - 2], op(s, name)) for s, name in pairs))
            for j, pairs in enumerate(nodes)
        }
        if all(source < 2 + place for place, pairs in renamed.items() for source, _ in pairs):
            names.append(tuple(renamed[place] for place in range(len(nodes))))
    return min(names)


def assumed_cost(genotype: Genotype, recipe: Recipe) -> DerivedCost:
    """Counts with ``RATE`` spikes everywhere."""
    return derived_cost(genotype, recipe, torch.full((1 + recipe.cells * recipe.nodes, recipe.timesteps), RATE))


def drawn_cell(nodes: int, draw: random.Random) -> Cell:
    """Two different inputs and their operations for every node, all equally likely."""
    return tuple(
        tuple((source, draw.choice(PRIMITIVES)) for source in sorted(draw.sample(range(node + 2), 2)))
        for node in range(nodes)
    )


def matched(
    searched: Genotype, recipe: Recipe, seed: int, tolerance: float, without: Collection[Cell] = ()
) -> Genotype:
    """A random network as large as ``searched`` and with as many operations, of another cell.

    Args:
        searched: gives bit-widths, T and p.
        recipe: the recipe of both.
        seed: of the draws.
        tolerance: largest difference of size and Bit-SynOps in percent.
        without: cells, as ``same_cell`` names them, that it must not have either.

    Raises:
        InputError: ``DRAWS`` draws gave none.
    """
    draw = random.Random(seed)
    refused = {same_cell(searched.nodes, recipe), *without}
    target = assumed_cost(searched, recipe)
    for _ in range(DRAWS):
        genotype = replace(searched, nodes=drawn_cell(recipe.nodes, draw))
        cost = assumed_cost(genotype, recipe)
        near = all(
            abs(getattr(cost, key) / getattr(target, key) - 1) <= tolerance / 100
            for key in ("model_size_bits", "bit_synops")
        )
        if near and same_cell(genotype.nodes, recipe) not in refused:
            return genotype
    raise InputError(
        f"tolerance: expected other cells within ±{tolerance:g} % of the one of seed {seed}, got none in {DRAWS} draws"
    )


def share_of_splits(first: Sequence[float], second: Sequence[float]) -> float:
    """How many of all ways to split these values into two groups of this size give means as far apart or farther.

    Returns:
        The two-sided p-value of the exact permutation test, in (0, 1].
    """
    values = [*first, *second]
    total, count = sum(values), len(first)

    def apart(group: Sequence[float]) -> float:
        return abs(sum(group) / count - (total - sum(group)) / len(second))

    found = apart(first) - 1e-9  # rounding
    splits = [apart(group) >= found for group in combinations(values, count)]
    return sum(splits) / len(splits)


def verdict(runs: Sequence[Row]) -> list[str]:
    """Lines: the difference of accuracy beside the spread, and how well sizes and operations match."""
    searched, drawn = ([row["test_accuracy"] for row in of_variant(runs, variant)] for variant in VARIANTS)
    difference = statistics.mean(searched) - statistics.mean(drawn)
    error = (statistics.variance(searched) / len(searched) + statistics.variance(drawn) / len(drawn)) ** 0.5
    value = share_of_splits(searched, drawn)
    word = "more than chance makes" if value < 0.05 else "no more than chance makes"
    lines = [
        f"searched less random: {difference:+.2f} ± {error:.2f} points (standard error); {100 * value:.0f} % of all "
        f"splits of these networks in two give as much: {word}"
    ]
    for key, name in (("model_size_bits", "size"), ("bit_synops", "Bit-SynOps as measured")):
        partners = {row["seed"]: row[key] for row in of_variant(runs, SEARCHED)}
        ratios = [100 * (row[key] / partners[row["seed"]] - 1) for row in of_variant(runs, RANDOM)]
        lines.append(f"{name} of a random network less its searched one's: " + " ".join(f"{r:+.1f} %" for r in ratios))
    return lines


def report(result: dict[str, Any]) -> str:
    """The stored record as a table and a verdict."""
    lines = heading(result)
    for preset, found in presets_of(result):
        body = []
        for variant, rows in by_variant(found["runs"], VARIANTS):
            accuracies = [row["test_accuracy"] for row in rows]
            body.append(
                [
                    f"{preset} {variant}",
                    mean_text(accuracies, ".2f"),
                    f"{max(accuracies):.2f}",
                    f"{min(accuracies):.2f}",
                    mean_text([row["model_size_bits"] / 8e3 for row in rows], ".3f"),
                    mean_text([row["bit_synops"] / 1e6 for row in rows], ".3f"),
                    str(len(rows)),
                ]
            )
        lines += table(["", "test %", "best", "worst", "size kB", "Bit-SynOps M", "networks"], body)
        if all(len(of_variant(found["runs"], variant)) > 1 for variant in VARIANTS):
            lines += verdict(found["runs"])
        lines.append("")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit code."""
    made = parser("structure", __doc__, list(POINTS))
    made.add_argument("--count", dest="seeds", type=int, help="networks of each kind, one seed each (default 5)")
    made.add_argument(
        "--tolerance", type=float, default=TOLERANCE, help=f"of size and Bit-SynOps in percent (default {TOLERANCE:g})"
    )
    made.set_defaults(seeds=5, nodes=str(NODES))
    options = made.parse_args(arguments)

    def work(record: Record) -> None:
        check_number("tolerance", options.tolerance, above=0)
        recipe = record.recipe

        def train(variant: str, seed: int, data: Dataset) -> Row:
            start = record.start(variant, seed)
            if variant == SEARCHED:
                return train_point(POINTS[options.preset], recipe, data, seed, start)
            runs = record.here["runs"]
            earlier = [genotype_of(row) for row in of_variant(runs, RANDOM)]
            without = [same_cell(genotype.nodes, recipe) for genotype in earlier]
            searched = next(genotype_of(row) for row in of_variant(runs, SEARCHED) if row["seed"] == seed)
            genotype = matched(searched, recipe, seed, options.tolerance, without)
            return {"tolerance": options.tolerance, **train_genotype(genotype, recipe, data, seed, start)}

        record.complete(VARIANTS, train)

    return run_command("structure", options, work, report)


def genotype_of(row: Row) -> Genotype:
    """The network of a run."""
    return Genotype(**row["genotype"])


if __name__ == "__main__":
    sys.exit(main())
