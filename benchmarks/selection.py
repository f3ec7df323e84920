"""Which way to select a cell finds a better one than argmax of alpha: candidates masked one at a time, single paths, sharper alpha.

A way trains a supernet and scores every cell of the space; it takes the cell of the highest score. Bits and T are held, nothing is pruned.
Scores are kept by search; searches for argmax of alpha and accuracies after retraining are those that ``cells`` keeps.

    python -m benchmarks selection digits --input-skip conv1x1 --retrain-channels 8 --searches 10 --seeds 5
    python -m benchmarks selection digits --operations conv3x3,conv1x1,skip --retrain-channels 8 --searches 10 --seeds 5
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy.stats import sem
from torch import Tensor

from benchmarks.cells import DATA, POINT, Cells, Kept, Space, best_written, command_line
from benchmarks.rankings import tau
from benchmarks.record import markdown, show
from litesnn.evaluate import evaluate
from litesnn.file_size import estimated_file_bits
from litesnn.genotype import Genotype, cell_edges
from litesnn.held import Held
from litesnn.inside import inherited_accuracy, measure_statistics
from litesnn.joint_search import Search
from litesnn.network import Output, Shares
from litesnn.options import exit_code, recipe_from
from litesnn.phase import complete
from litesnn.training import set_learning_rate

Scores = dict[str, float]


class Supernet(Search):
    """A search for a cell in which a way to select says what operations count and whether alpha learns."""

    alpha_learns = True
    counted: Callable[[Shares], Shares] | None = None

    @property
    def learnt(self) -> list[Tensor]:
        """Alpha, or nothing but the weights."""
        return super().learnt if self.alpha_learns else []

    def shares(self) -> Shares:
        """With operations as the way counts them."""
        return self.counted(super().shares()) if self.counted else super().shares()

    def fine_tune(self, ops: Tensor) -> None:
        """One pass over the training data at a tenth of the highest learning rate: weights alone, operations counting ``ops``."""
        self.alpha_learns, self.counted = False, lambda learnt: replace(learnt, ops=ops)
        set_learning_rate(self.weight_optimizer, self.recipe.weight_lr / 10)
        self.network.train()
        for x, labels in self._pass(self.dataset.train, torch.Generator().manual_seed(self.seed)):
            self.step(x, labels, x, labels)

    def accuracy(self, ops: Tensor) -> float:
        """Validation accuracy in percent, operations counting ``ops``, with statistics of batch norm measured anew."""
        shares = replace(self.shares(), ops=ops)

        def forward(x: Tensor) -> Output:
            return self.network(x, self.timesteps, shares, measure_rates=True)

        measure_statistics(self.network, forward, self.dataset)
        self.network.eval()
        return evaluate(forward, self.dataset, self.dataset.val, self.timesteps).accuracy


def summed(table: Tensor, run: Supernet, cells: Cells) -> Scores:
    """By cell the sum of ``table`` ``[edges, ops]`` over its choices."""
    return {name: score for name, (score, _) in best_written(table.tolist(), run.recipe, cells).items()}


def by_alpha(run: Supernet, cells: Cells) -> Scores:
    """Log shares of alpha."""
    complete(run, None, None, None)
    return summed(run.shares().ops.log(), run, cells)


def annealed(run: Supernet, cells: Cells) -> Scores:
    """The same where the temperature of softmax(alpha) falls from 1 to a tenth."""
    run.counted = lambda learnt: replace(learnt, ops=(learnt.ops.log() * 10 ** (run.epoch / run.epochs)).softmax(-1))
    return by_alpha(run, cells)


def masked(run: Supernet, cells: Cells) -> Scores:
    """DARTS-PT (Wang et al., 2021): what hurts validation accuracy most when it is masked stays."""
    complete(run, None, None, None)
    return summed(damages(run, run.shares().ops.detach().clone(), random.Random(run.seed)), run, cells)


def damages(run: Supernet, ops: Tensor, draw: random.Random) -> Tensor:
    """Decides edge by edge, in random order, for an operation, then node by node for two edges, and fine-tunes after each decision.

    Args:
        run: the supernet.
        ops: what operations count, ``[edges, ops]``; it becomes 1 for what is decided and 0 for what is dropped.
        draw: the order, and what is taken of equals.

    Returns:
        ``[edges, ops]``: what masking the operation costs less what masking the one decided for does, plus what masking the edge does.
        Of all cells, the one decided for has the largest sum.
    """
    table, nodes = torch.zeros_like(ops), run.recipe.nodes

    def cost(*place: int) -> float:
        without = ops.clone()
        without[place] = 0
        return 1e-6 * draw.random() - run.accuracy(without)

    for edge in draw.sample(range(len(ops)), len(ops)):
        costs = torch.tensor([cost(edge, op) for op in range(ops.shape[1])], dtype=torch.double)
        table[edge] = costs - costs.max()
        ops[edge] = torch.eye(ops.shape[1])[costs.argmax()]
        run.fine_tune(ops)
    for node in draw.sample(range(1, nodes), nodes - 1):
        edges = [edge for edge, (_, target) in enumerate(cell_edges(nodes)) if target == node]
        costs = torch.tensor([cost(edge) for edge in edges], dtype=torch.double)
        table[edges] += (costs - costs.min())[:, None].float()
        ops[[edges[place] for place in costs.argsort()[:-2]]] = 0
        run.fine_tune(ops)
    return table


def single_paths(run: Supernet, cells: Cells) -> Scores:
    """SPOS (Guo et al., 2020): each step trains one cell, each as likely as the others; then their inherited accuracies."""
    draw, forms = random.Random(run.seed), {name: written[0] for name, written in cells.items()}
    run.alpha_learns = False
    run.counted = lambda learnt: Held(nodes=draw.choice([*forms.values()])).shares(learnt, run.recipe)
    complete(run, None, None, None)
    given = (run.network, run.shares())
    genotypes = {name: replace(run.genotype(), nodes=nodes) for name, nodes in forms.items()}
    return {name: inherited_accuracy(*given, of, run.recipe, run.dataset) for name, of in genotypes.items()}


WAYS: dict[str, tuple[Callable[[Supernet, Cells], Scores], dict[str, int]]] = {
    "masked one at a time": (masked, {}),
    "single paths": (single_paths, {"search_epochs": 2}),
    "annealed alpha": (annealed, {}),
}
"""What gives the scores, and factors on the recipe's fields; an epoch of single paths has one pass in place of two."""
FROM_CELLS = {"argmax of alpha": "alpha_score", "inherited accuracy": "inherited_accuracy"}
"""Columns of what ``cells`` keeps."""


def scores_of(space: Space, kept: Kept, after: Kept) -> pd.DataFrame:
    """Rows of way, seed, cell, score and core_seconds; does what is missing of the searches."""
    for way, (score, factors) in WAYS.items():
        recipe = replace(space.recipe, **{name: getattr(space.recipe, name) * by for name, by in factors.items()})
        for seed in range(space.options.searches):
            key = {"space": space.name, "way": way, "seed": seed}
            if not kept.where(**key):
                started = time.process_time()
                run = Supernet(POINT, recipe, space.data, seed=seed, device=torch.device("cpu"), held=space.held)
                scores, spent = score(run, space.cells), time.process_time() - started
                kept.add(key, [{"cell": cell, "core_seconds": spent, "score": scores[cell]} for cell in space.cells])
    space.search(after, space.cells)
    rows = pd.DataFrame(after.where(space=space.name, phase="search"))
    both = [rows.assign(way=way, score=rows[column]) for way, column in FROM_CELLS.items()]
    rows = pd.concat([*both, pd.DataFrame(kept.where(space=space.name))], ignore_index=True)
    return rows[rows["seed"] < space.options.searches]


def tests_of(space: Space, after: Kept, cells: Iterable[str]) -> pd.DataFrame:
    """Test accuracies ``[seeds, cells]`` of all cells that have them; does what is missing of ``cells``."""
    space.retrain(after, {cell: space.cells[cell] for cell in cells})
    rows = pd.DataFrame(after.where(space=space.name, phase="retrain"))
    table = rows.pivot(index="seed", columns="cell", values="test_accuracy")
    return table[: space.options.seeds].dropna(axis=1)


def file_kb(space: Space, cell: str) -> float:
    """The packed file of a cell's network, about."""
    bits, timesteps = space.held.bits or (), space.held.timesteps or 0
    return estimated_file_bits(Genotype(nodes=space.cells[cell][0], bits=bits, timesteps=timesteps), space.recipe) / 8e3


def lead(differences: np.ndarray) -> str:
    """Mean of ``[seeds of the retraining, searches]`` with the standard error of both samples together."""
    error = np.hypot(*(sem(differences.mean(axis=axis)) for axis in (0, 1)))
    return f"{differences.mean().round(2) + 0:+.2f} ± {error:.2f}"


def report(space: Space, kept: Kept, after: Kept) -> str:
    """A line for every way: what it takes, over other choices at equal width and over the largest cell at equal bytes."""
    rows = scores_of(space, kept, after)
    scores = {way: own.pivot(index="seed", columns="cell", values="score") for way, own in rows.groupby("way")}
    taken = {way: own.idxmax(axis=1) for way, own in scores.items()}
    size = {cell: file_kb(space, cell) for cell in space.cells}
    largest = max(size, key=size.__getitem__)
    tests = tests_of(space, after, [*space.drawn, largest, *pd.concat(taken.values())])
    narrow = {}  # kB and accuracies by seed of the largest cell at every width
    for channels in range(space.recipe.nodes, space.recipe.retrain_channels + 1, space.recipe.nodes):
        at = Space(space.options, replace(space.recipe, retrain_channels=channels))
        narrow[file_kb(at, largest)] = tests_of(at, after, [largest])[largest].to_numpy()
    lines = []
    for way in [*FROM_CELLS, *WAYS]:
        kinds = ", ".join(f"{count} × {cell}" for cell, count in taken[way].value_counts().items())
        own, kb = tests[taken[way]].to_numpy(), [size[cell] for cell in taken[way]]
        same_bytes = np.array([np.interp(kb, list(narrow), seed) for seed in np.transpose(list(narrow.values()))])
        drawn = tests[list(space.drawn)].mean(axis=1).to_frame()
        others = (tests[taken["argmax of alpha"]].to_numpy(), tests[[largest]].to_numpy(), same_bytes, drawn.to_numpy())
        ranks = tau([(line, tests.mean()) for line in scores[way][tests.columns].to_numpy()])
        seconds = rows.loc[rows["way"] == way, "core_seconds"].median()
        leads = [lead(own - other) for other in others]
        lines.append([way, kinds, f"{own.mean():.2f}", *leads, f"{np.mean(kb):.2f}", f"{seconds:.1f}", ranks])
    names = (
        "way|cells taken|test %|over argmax|over largest|over largest at equal bytes|over random|file kB|core-seconds"
    )
    note = ", ".join(f"{accuracies.mean():.2f} % in {kb:.2f} kB" for kb, accuracies in narrow.items())
    table = markdown([*names.split("|"), f"tau, {len(tests.columns)} cells"], lines)
    return f"{table}\n\nThe largest cell, {largest}: {note}"


def main(arguments: list[str]) -> int:
    """The command."""
    parser = command_line("selection", __doc__ or "")
    parser.add_argument("--retrained", type=Path, help="CSV of cells (default: docs/data/cells-PRESET.csv)")
    options = parser.parse_args(arguments)
    kept = Kept(options.out or DATA / f"selection-{options.preset}.csv")
    after = Kept(options.retrained or DATA / f"cells-{options.preset}.csv")
    return exit_code(lambda: show(report(Space(options, recipe_from(options)), kept, after)), "selection")
