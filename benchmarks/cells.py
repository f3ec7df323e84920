"""Which score ranks cells: alpha after a search, or accuracy with the supernet's weights, held against accuracy after retraining.

Cells are those of the recipe's space that differ in function, with bits and T held and nothing pruned. Alpha's score of a cell
is the sum of log softmax(alpha) over its choices, so decoding gives the cell of the highest score. Of equal cells the one of the
highest score stands for all. Every row of the CSV is kept as soon as it is known, beside those of other recipes.

    python -m benchmarks cells digits --input-skip conv1x1 --retrain-channels 8 --cells 42 --searches 10 --seeds 5
    python -m benchmarks cells cifar10-small --dataset folder:CIFAR10 --input-skip conv1x1 --retrain-channels 4 --seeds 2
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import random
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import pandas as pd

import litesnn
from benchmarks.rankings import draw, report
from benchmarks.record import progress, show
from litesnn.checks import check_integer
from litesnn.config import Recipe, SearchPoint
from litesnn.data import Dataset, load
from litesnn.device import check_device, prepare_cpu
from litesnn.files import write_text
from litesnn.genotype import PRIMITIVES, Genotype, cell_edges
from litesnn.held import Held
from litesnn.inside import inherited_accuracy
from litesnn.joint_search import Search
from litesnn.layout import Candidate
from litesnn.options import OneLineParser, add_options, exit_code, recipe_from
from litesnn.phase import complete
from litesnn.presets import PRESETS

POINT = SearchPoint(lambda1=0, lambda2=0, p=0)
Nodes = tuple[tuple[tuple[int, str], ...], ...]
Row = dict[str, Any]


def name_of(nodes: Nodes, recipe: Recipe) -> str:
    """The same text for all cells that are equal in function: ``input:kernel`` of node by node, 0 for the identity.

    On inputs of the cell, operations of the same kernel are equal. Nodes may change places: of all orders in which every node reads
    earlier ones, the one of the least text is taken.
    """
    forms = []
    for places in itertools.permutations(range(len(nodes))):
        if any(source >= 2 and places[source - 2] >= places[j] for j, pairs in enumerate(nodes) for source, _ in pairs):
            continue
        form = [""] * len(nodes)
        for j, pairs in enumerate(nodes):
            moved = []
            for source, op in pairs:
                kernel = Candidate(edge=0, op=PRIMITIVES.index(op), source=source, node=j).kernel(recipe)
                moved.append(f"{source if source < 2 else 2 + places[source - 2]}:{kernel}")
            form[places[j]] = " ".join(sorted(moved))
        forms.append(" / ".join(form))
    return min(forms)


def cells_of(recipe: Recipe, count: int) -> dict[str, list[Nodes]]:
    """By name all ways to write each of ``count`` cells that differ in function; of a smaller count the first of a larger one."""
    choices: list[list[tuple[tuple[int, str], ...]]] = []
    for node in range(recipe.nodes):
        pairs = itertools.combinations(range(node + 2), 2)
        ops = list(itertools.product(PRIMITIVES, repeat=2))
        choices.append([tuple(zip(pair, chosen, strict=True)) for pair in pairs for chosen in ops])
    found = defaultdict(list)
    for nodes in itertools.product(*choices):
        found[name_of(nodes, recipe)].append(nodes)
    names = sorted(found)
    random.Random(0).shuffle(names)
    return {name: found[name] for name in names[:count]}


def searched(cells: dict[str, list[Nodes]], recipe: Recipe, held: Held, data: Dataset, seed: int) -> list[Row]:
    """One search: every cell's score by alpha and its inherited accuracy in percent."""
    started = time.process_time()
    run = Search(POINT, recipe, data, seed=seed, device=check_device("cpu"), held=held)
    complete(run, None, None, None)
    spent, shares = time.process_time() - started, run.shares()
    logs = dict(zip(cell_edges(recipe.nodes), shares.ops.log().tolist(), strict=True))

    def score(nodes: Nodes) -> float:
        return sum(logs[source, j][PRIMITIVES.index(op)] for j, pairs in enumerate(nodes) for source, op in pairs)

    rows = []
    for name, written in cells.items():
        best = max(written, key=score)
        genotype = dataclasses.replace(run.genotype(), nodes=best)
        inherited = inherited_accuracy(run.network, shares, genotype, recipe, data)
        rows.append({"cell": name, "core_seconds": spent, "alpha_score": score(best), "inherited_accuracy": inherited})
    return rows


def retrained(nodes: Nodes, recipe: Recipe, held: Held, data: Dataset, seed: int) -> Row:
    """One retraining: accuracies in percent, and the size in bits (Eq. 18)."""
    started = time.process_time()
    genotype = Genotype(nodes=nodes, bits=held.bits or (), timesteps=held.timesteps or 0)
    result = litesnn.retrain(genotype, recipe, dataset=data, seed=seed)
    kept = {name: getattr(result, name) for name in ("val_accuracy", "test_accuracy")}
    return {**kept, "model_size_bits": result.cost.model_size_bits, "core_seconds": time.process_time() - started}


class Table:
    """The CSV: rows of one space among those of others."""

    def __init__(self, file: Path, space: str) -> None:
        self.file, self.space = file, space
        self.rows: list[Row] = pd.read_csv(file).to_dict("records") if file.exists() else []

    def own(self) -> pd.DataFrame:
        """The rows of this space."""
        return pd.DataFrame([row for row in self.rows if row["space"] == self.space])

    def has(self, phase: str, seed: int, cells: set[str]) -> bool:
        """Whether all of these cells have a row of this phase and seed."""
        key = self.space, phase, seed
        return cells <= {row["cell"] for row in self.rows if (row["space"], row["phase"], row["seed"]) == key}

    def add(self, phase: str, seed: int, rows: list[Row]) -> None:
        """Keeps rows, in place of those of the same cells."""
        key, cells = (self.space, phase, seed), {row["cell"] for row in rows}
        others = [r for r in self.rows if (r["space"], r["phase"], r["seed"]) != key or r["cell"] not in cells]
        self.rows = others + [{"space": self.space, "phase": phase, "seed": seed, **row} for row in rows]
        write_text(self.file, pd.DataFrame(self.rows).to_csv(index=False, float_format="%.6g"))


def measure(options: argparse.Namespace, recipe: Recipe) -> pd.DataFrame:
    """Does what is missing of all searches and retrainings; the rows of the recipe's space."""
    for count in ("cells", "searches", "seeds"):
        check_integer(count, getattr(options, count), minimum=2)
    held = Held(bits=(options.held_bits,) * recipe.cells, timesteps=options.held_timesteps)
    held.check_fits(recipe)
    prepare_cpu(1)
    preset = Recipe.preset(options.preset).to_dict()
    changed = {name: value for name, value in recipe.without_folders().to_dict().items() if value != preset[name]}
    held_text = f"bits={options.held_bits} T={options.held_timesteps}"
    table = Table(options.out, " ".join([held_text, *(f"{name}={value}" for name, value in changed.items())]))
    cells, data = cells_of(recipe, options.cells), load(recipe, data_root=options.data_root)
    for seed in range(options.searches):
        if not table.has("search", seed, set(cells)):
            table.add("search", seed, searched(cells, recipe, held, data, seed))
            progress(f"search {seed}")
    for seed in range(options.seeds):
        for name, written in cells.items():
            if not table.has("retrain", seed, {name}):
                table.add("retrain", seed, [{"cell": name, **retrained(written[0], recipe, held, data, seed)}])
        progress(f"retrainings with seed {seed}")
    return table.own()


def main(arguments: list[str]) -> int:
    """The command."""
    parser = OneLineParser(prog="cells", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("preset", choices=list(PRESETS), help="the recipe, and with it the data")
    parser.add_argument("--cells", type=int, default=16, help="how many, drawn from the space (default 16)")
    parser.add_argument("--searches", type=int, default=2, help="seeds of the search (default 2)")
    parser.add_argument("--seeds", type=int, default=3, help="seeds of the retraining (default 3)")
    parser.add_argument("--held-bits", type=int, default=2, help="bits of every cell (default 2)")
    parser.add_argument("--held-timesteps", type=int, default=2, help="T (default 2)")
    parser.add_argument("--data-root", metavar="FOLDER", help="where data sets lie (default: ~/.cache/litesnn)")
    parser.add_argument("--out", type=Path, help="CSV of all rows (default: docs/data/cells-PRESET.csv)")
    parser.add_argument("--picture", type=Path, help="PNG of accuracies after retraining over both scores")
    add_options(parser, Recipe, {f.metadata["group"]: f"{f.metadata['group']} (recipe)" for f in dataclasses.fields(Recipe)})
    options = parser.parse_args(arguments)
    options.out = options.out or Path(__file__).parents[1] / "docs" / "data" / f"cells-{options.preset}.csv"

    def work() -> None:
        rows = measure(options, recipe_from(options))
        show(report(rows))
        if options.picture:
            draw(rows, options.picture)

    return exit_code(work, "cells")
