"""Which score ranks cells: alpha after a search, or accuracy with the supernet's weights, held against accuracy after retraining.

Cells are those of the recipe's space that differ in function, with bits and T held and nothing pruned. Alpha's score of a cell
is the sum of log softmax(alpha) over its choices, so decoding gives the cell of the highest score. Of equal cells the one of the
highest score stands for all. Every row of the CSV is kept as soon as it is known, beside those of other recipes.

    python -m benchmarks cells digits --input-skip conv1x1 --retrain-channels 8 --taken --searches 10 --seeds 5
    python -m benchmarks cells cifar10-small --dataset folder:CIFAR10 --input-skip conv1x1 --retrain-channels 4 --seeds 2
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

import litesnn
from benchmarks.cell_space import Nodes, cells_of
from benchmarks.rankings import draw, report
from benchmarks.record import progress, show
from litesnn.checks import check_integer
from litesnn.config import Recipe, SearchPoint
from litesnn.data import Dataset, load
from litesnn.device import check_device, prepare_cpu
from litesnn.files import write_text
from litesnn.genotype import Genotype, cell_edges
from litesnn.held import Held
from litesnn.inside import inherited_accuracy
from litesnn.joint_search import Search
from litesnn.options import OneLineParser, add_options, exit_code, recipe_from
from litesnn.phase import complete

PRESETS = ("digits", "cifar10-small", "gsc-small")
DATA = Path(__file__).parents[1] / "docs" / "data"
POINT = SearchPoint(lambda1=0, lambda2=0, p=0)
Row = dict[str, Any]
Cells = dict[str, list[Nodes]]


@dataclass
class Kept:
    """The rows of a CSV file, to which others are added as soon as they are known."""

    file: Path

    def __post_init__(self) -> None:
        self.rows: list[Any] = pd.read_csv(self.file).to_dict("records") if self.file.exists() else []

    def where(self, **key: Any) -> list[Row]:
        """Those that have all these values."""
        return [row for row in self.rows if all(row[name] == value for name, value in key.items())]

    def add(self, key: Row, found: list[Row]) -> None:
        """Keeps rows that have the values of ``key`` in common."""
        self.rows.extend({**key, **row} for row in found)
        write_text(self.file, pd.DataFrame(self.rows).to_csv(index=False, float_format="%.10g"))
        progress(f"{' '.join(map(str, key.values()))}: {', '.join(row['cell'] for row in found)}")


def best_written(table: Sequence[Sequence[float]], recipe: Recipe, cells: Cells) -> dict[str, tuple[float, Nodes]]:
    """The sum of ``table`` ``[edges, ops]`` over the choices of every cell: of all ways to write it the largest, and that way."""
    edges = dict(zip(cell_edges(recipe.nodes), table, strict=True))

    def score(nodes: Nodes) -> float:
        return sum(
            edges[source, j][recipe.operations.index(op)] for j, pairs in enumerate(nodes) for source, op in pairs
        )

    return {
        name: max(((score(nodes), nodes) for nodes in written), key=lambda of: of[0]) for name, written in cells.items()
    }


def searched(cells: Cells, recipe: Recipe, held: Held, data: Dataset, seed: int) -> list[Row]:
    """One search: every cell's score by alpha and its inherited accuracy in percent."""
    started = time.process_time()
    run = Search(POINT, recipe, data, seed=seed, device=check_device("cpu"), held=held)
    complete(run, None, None, None)
    spent, shares = time.process_time() - started, run.shares()
    rows = []
    for name, (score, nodes) in best_written(shares.ops.log().tolist(), recipe, cells).items():
        genotype = dataclasses.replace(run.genotype(), nodes=nodes)
        inherited = inherited_accuracy(run.network, shares, genotype, recipe, data)
        rows.append({"cell": name, "core_seconds": spent, "alpha_score": score, "inherited_accuracy": inherited})
    return rows


def retrained(nodes: Nodes, recipe: Recipe, held: Held, data: Dataset, seed: int) -> Row:
    """One retraining: accuracies in percent, and the size in bits (Eq. 18)."""
    started = time.process_time()
    genotype = Genotype(nodes=nodes, bits=held.bits or (), timesteps=held.timesteps or 0)
    result = litesnn.retrain(genotype, recipe, dataset=data, seed=seed)
    kept = {name: getattr(result, name) for name in ("val_accuracy", "test_accuracy")}
    return {**kept, "model_size_bits": result.cost.model_size_bits, "core_seconds": time.process_time() - started}


def taken(rows: pd.DataFrame) -> list[str]:
    """The cells that some search prefers to all others, by alpha's score or by inherited accuracy."""
    searches = rows[rows["phase"] == "search"].reset_index()
    best = [searches.groupby("seed")[score].idxmax() for score in ("alpha_score", "inherited_accuracy")]
    return sorted(set(searches.loc[pd.concat(best), "cell"]))


class Space:
    """The cells of a recipe's space and what all their networks have in common; InputError where an option is outside its range."""

    def __init__(self, options: argparse.Namespace, recipe: Recipe) -> None:
        for count in ("cells", "searches", "seeds"):
            check_integer(count, getattr(options, count), minimum=2)
        self.options, self.recipe = options, recipe
        self.held = Held(bits=(options.held_bits,) * recipe.cells, timesteps=options.held_timesteps)
        self.held.check_fits(recipe)
        prepare_cpu(1)
        self.data, self.cells = load(recipe, data_root=options.data_root), cells_of(recipe)
        self.drawn = dict(list(self.cells.items())[: options.cells])
        before, own = Recipe.preset(options.preset).to_dict(), recipe.without_folders().to_dict()
        changed = [f"{name}={value}" for name, value in own.items() if value != before[name]]
        self.name = " ".join([f"bits={options.held_bits} T={options.held_timesteps}", *changed])

    def search(self, kept: Kept, cells: Cells) -> None:
        """Searches with every seed that has no scores of some of these cells."""
        for seed in range(self.options.searches):
            if left := self._missing(kept, cells, "search", seed):
                found = searched(left, self.recipe, self.held, self.data, seed)
                kept.add({"space": self.name, "phase": "search", "seed": seed}, found)

    def retrain(self, kept: Kept, cells: Cells) -> None:
        """Retrains each of these cells with every seed with which it has not been."""
        for seed in range(self.options.seeds):
            for name, written in self._missing(kept, cells, "retrain", seed).items():
                found = {"cell": name, **retrained(written[0], self.recipe, self.held, self.data, seed)}
                kept.add({"space": self.name, "phase": "retrain", "seed": seed}, [found])

    def _missing(self, kept: Kept, cells: Cells, phase: str, seed: int) -> Cells:
        done = {row["cell"] for row in kept.where(space=self.name, phase=phase, seed=seed)}
        return {name: written for name, written in cells.items() if name not in done}


def measure(space: Space) -> pd.DataFrame:
    """Does what is missing of all searches and retrainings, each kept at once; the rows of this space."""
    options, kept, cells = space.options, Kept(space.options.out), dict(space.drawn)

    def asked() -> pd.DataFrame:
        counts = {"search": options.searches, "retrain": options.seeds}
        own = (row for row in kept.where(space=space.name) if row["seed"] < counts[row["phase"]])
        return pd.DataFrame([row for row in own if row["phase"] == "search" or row["cell"] in cells])

    space.search(kept, space.cells if options.taken else cells)
    if options.taken:
        cells |= {name: space.cells[name] for name in taken(asked())}
    space.retrain(kept, cells)
    return asked()


def command_line(prog: str, text: str) -> OneLineParser:
    """The options that all comparisons of cells have."""
    parser = OneLineParser(prog=prog, description=text.partition("\n")[0])
    parser.add_argument("preset", choices=PRESETS, help="the recipe, and with it the data")
    parser.add_argument("--cells", type=int, default=16, help="how many, drawn from the space (default 16)")
    parser.add_argument("--searches", type=int, default=2, help="seeds of the search (default 2)")
    parser.add_argument("--seeds", type=int, default=3, help="seeds of the retraining (default 3)")
    parser.add_argument("--held-bits", type=int, default=2, help="bits of every cell (default 2)")
    parser.add_argument("--held-timesteps", type=int, default=2, help="T (default 2)")
    parser.add_argument("--data-root", metavar="FOLDER", help="where data sets lie (default: ~/.cache/litesnn)")
    parser.add_argument("--out", type=Path, help=f"CSV of all rows (default: docs/data/{prog}-PRESET.csv)")
    add_options(
        parser, Recipe, {f.metadata["group"]: f"{f.metadata['group']} (recipe)" for f in dataclasses.fields(Recipe)}
    )
    return parser


def main(arguments: list[str]) -> int:
    """The command."""
    parser = command_line("cells", __doc__ or "")
    parser.add_argument(
        "--taken", action="store_true", help="and those that a search prefers to all cells of the space"
    )
    parser.add_argument("--picture", type=Path, help="PNG of accuracies after retraining over both scores")
    options = parser.parse_args(arguments)
    options.out = options.out or DATA / f"cells-{options.preset}.csv"

    def work() -> None:
        rows = measure(Space(options, recipe_from(options)))
        show(report(rows))
        if options.picture:
            draw(rows, options.picture)

    return exit_code(work, "cells")
