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
POINT = SearchPoint(lambda1=0, lambda2=0, p=0)
Row = dict[str, Any]


def searched(cells: dict[str, list[Nodes]], recipe: Recipe, held: Held, data: Dataset, seed: int) -> list[Row]:
    """One search: every cell's score by alpha and its inherited accuracy in percent."""
    started = time.process_time()
    run = Search(POINT, recipe, data, seed=seed, device=check_device("cpu"), held=held)
    complete(run, None, None, None)
    spent, shares = time.process_time() - started, run.shares()
    logs = dict(zip(cell_edges(recipe.nodes), shares.ops.log().tolist(), strict=True))

    def score(nodes: Nodes) -> float:
        return sum(
            logs[source, j][recipe.operations.index(op)] for j, pairs in enumerate(nodes) for source, op in pairs
        )

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


def taken(rows: pd.DataFrame) -> list[str]:
    """The cells that some search prefers to all others, by alpha's score or by inherited accuracy."""
    searches = rows[rows["phase"] == "search"].reset_index()
    best = [searches.groupby("seed")[score].idxmax() for score in ("alpha_score", "inherited_accuracy")]
    return sorted(set(searches.loc[pd.concat(best), "cell"]))


def measure(options: argparse.Namespace, recipe: Recipe) -> pd.DataFrame:
    """Does what is missing of all searches and retrainings, each kept at once; the rows of this space."""
    for count in ("cells", "searches", "seeds"):
        check_integer(count, getattr(options, count), minimum=2)
    held = Held(bits=(options.held_bits,) * recipe.cells, timesteps=options.held_timesteps)
    held.check_fits(recipe)
    prepare_cpu(1)
    preset, own = Recipe.preset(options.preset).to_dict(), recipe.without_folders().to_dict()
    changed = [f"{name}={value}" for name, value in own.items() if value != preset[name]]
    space = " ".join([f"bits={options.held_bits} T={options.held_timesteps}", *changed])
    rows: list[Any] = pd.read_csv(options.out).to_dict("records") if options.out.exists() else []
    data, whole = load(recipe, data_root=options.data_root), cells_of(recipe)
    cells = dict(list(whole.items())[: options.cells])

    def missing(phase: str, seed: int, wanted: dict[str, list[Nodes]]) -> dict[str, list[Nodes]]:
        done = {row["cell"] for row in rows if (row["space"], row["phase"], row["seed"]) == (space, phase, seed)}
        return {name: written for name, written in wanted.items() if name not in done}

    def keep(phase: str, seed: int, found: list[Row]) -> None:
        rows.extend({"space": space, "phase": phase, "seed": seed, **row} for row in found)
        write_text(options.out, pd.DataFrame(rows).to_csv(index=False, float_format="%.10g"))
        progress(f"{phase} {seed}: {', '.join(row['cell'] for row in found)}")

    def asked() -> pd.DataFrame:
        counts = {"search": options.searches, "retrain": options.seeds}
        own = (row for row in rows if row["space"] == space and row["seed"] < counts[row["phase"]])
        return pd.DataFrame([row for row in own if row["phase"] == "search" or row["cell"] in cells])

    for seed in range(options.searches):
        if left := missing("search", seed, whole if options.taken else cells):
            keep("search", seed, searched(left, recipe, held, data, seed))
    if options.taken:
        cells |= {name: whole[name] for name in taken(asked())}
    for seed in range(options.seeds):
        for name, written in missing("retrain", seed, cells).items():
            keep("retrain", seed, [{"cell": name, **retrained(written[0], recipe, held, data, seed)}])
    return asked()


def main(arguments: list[str]) -> int:
    """The command."""
    parser = OneLineParser(prog="cells", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("preset", choices=PRESETS, help="the recipe, and with it the data")
    parser.add_argument("--cells", type=int, default=16, help="how many, drawn from the space (default 16)")
    parser.add_argument(
        "--taken", action="store_true", help="and those that a search prefers to all cells of the space"
    )
    parser.add_argument("--searches", type=int, default=2, help="seeds of the search (default 2)")
    parser.add_argument("--seeds", type=int, default=3, help="seeds of the retraining (default 3)")
    parser.add_argument("--held-bits", type=int, default=2, help="bits of every cell (default 2)")
    parser.add_argument("--held-timesteps", type=int, default=2, help="T (default 2)")
    parser.add_argument("--data-root", metavar="FOLDER", help="where data sets lie (default: ~/.cache/litesnn)")
    parser.add_argument("--out", type=Path, help="CSV of all rows (default: docs/data/cells-PRESET.csv)")
    parser.add_argument("--picture", type=Path, help="PNG of accuracies after retraining over both scores")
    add_options(
        parser, Recipe, {f.metadata["group"]: f"{f.metadata['group']} (recipe)" for f in dataclasses.fields(Recipe)}
    )
    options = parser.parse_args(arguments)
    options.out = options.out or Path(__file__).parents[1] / "docs" / "data" / f"cells-{options.preset}.csv"

    def work() -> None:
        rows = measure(options, recipe_from(options))
        show(report(rows))
        if options.picture:
            draw(rows, options.picture)

    return exit_code(work, "cells")
