"""Ways to select a cell against brute force: what is masked, how evenly paths are drawn, how sharp alpha gets, and the command."""

import dataclasses
import math
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from benchmarks import selection
from benchmarks.cell_space import cells_of
from benchmarks.cells import POINT, Kept, Space, best_written, command_line
from benchmarks.selection import WAYS, Supernet, annealed, damages, file_kb, lead, report, single_paths
from litesnn import Recipe
from litesnn.cell import EdgeConvs
from litesnn.data import load
from litesnn.genotype import cell_edges
from litesnn.held import Held

TINY = {"input_skip": "conv1x1", "widths": (1, 2), "search_channels": 4, "retrain_channels": 4, "search_epochs": 1}


def supernet(**changes: object) -> Supernet:
    recipe = Recipe.preset("digits", **{**TINY, "search_batch": 100, **changes})
    return Supernet(
        POINT,
        recipe,
        load(recipe, searching=True),
        seed=1,
        device=torch.device("cpu"),
        held=Held(bits=(2, 2), timesteps=1),
    )


def pretended(recipe: Recipe, accuracy: Callable[[Tensor], float]) -> Any:
    """A supernet of this accuracy that keeps what it is fine-tuned with."""
    tuned: list[Tensor] = []
    return SimpleNamespace(
        recipe=recipe, accuracy=accuracy, tuned=tuned, fine_tune=lambda ops: tuned.append(ops.clone())
    )


@pytest.mark.parametrize("seed", range(5))
def test_the_cell_decided_for_is_the_best_of_all_where_operations_add_up(seed: int) -> None:
    recipe = Recipe.preset("digits", nodes=3, search_channels=18, input_skip="conv1x1")
    worth = torch.rand(9, 2, generator=torch.Generator().manual_seed(seed))
    run = pretended(recipe, lambda ops: float((ops * worth).sum()))
    table = damages(run, torch.full((9, 2), 0.5), random.Random(seed))
    cells = cells_of(recipe)
    scores, brute = (best_written(values.tolist(), recipe, cells) for values in (table, worth))
    assert max(scores, key=lambda name: scores[name][0]) == max(brute, key=lambda name: brute[name][0])
    # One decision after the other: nine operations, then two edges each of nodes 1 and 2.
    assert [int((ops == 0.5).sum()) for ops in run.tuned] == [16, 14, 12, 10, 8, 6, 4, 2, 0, 0, 0]
    assert sorted(run.tuned[-1].sum(1).tolist()) == [0, 0, 0, 1, 1, 1, 1, 1, 1]


def test_equal_candidates_are_taken_equally_often() -> None:
    run = pretended(Recipe.preset("digits", nodes=1), lambda ops: 50.0)
    best = [damages(run, torch.full((2, 2), 0.5), random.Random(seed)).argmax(1) for seed in range(200)]
    share = torch.stack(best).double().mean(0)
    assert ((share - 0.5).abs() < 4 * 0.5 / math.sqrt(200)).all()


def test_the_one_candidate_that_carries_all_information_stays() -> None:
    """The batch norms of all other convolutions multiply by 0. Without it every image looks alike."""
    run = supernet(search_channels=8, search_epochs=4, search_batch=30)
    edges = cell_edges(2)
    ops = torch.zeros(5, 2)
    ops[edges.index((0, 0)), 0] = ops[edges.index((2, 1)), 1] = 1  # a convolution, and what passes its spikes on
    run.alpha_learns, run.counted = False, lambda learnt: dataclasses.replace(learnt, ops=ops)
    while not run.done:
        run.run_epoch()
    for convs in (module for module in run.network.modules() if isinstance(module, EdgeConvs)):
        others = (convs.norm.places != 0).repeat_interleave(convs.norm.width)
        with torch.no_grad():
            convs.norm.weight[others] = convs.norm.bias[others] = 0
    whole = run.accuracy(torch.ones(5, 2))
    most = 100 * max(np.bincount(run.dataset.val.labels)) / len(run.dataset.val)
    assert whole > 2 * most
    table = damages(pretended(run.recipe, run.accuracy), torch.ones(5, 2), random.Random(0))
    assert table[0, 0] == 0 and table[0, 1] < most - whole + 1


def test_each_step_trains_one_cell_and_all_are_drawn_equally_often(monkeypatch: pytest.MonkeyPatch) -> None:
    run, before, steps = supernet(), None, 42 * 100
    cells, seen = cells_of(run.recipe), Counter[str]()
    names = {str(written[0]): name for name, written in cells.items()}
    before = run.arch.alpha.detach().clone()

    def draws(*_: object) -> None:
        run.run_epoch()
        for _step in range(steps):
            ops = run.shares().ops
            chosen = [
                [
                    (s, run.recipe.operations[int(ops[e].argmax())])
                    for e, (s, t) in enumerate(cell_edges(2))
                    if t == node and ops[e].any()
                ]
                for node in (0, 1)
            ]
            assert ops.sum() == 4 and ops.max() == 1
            seen[names[str(tuple(map(tuple, chosen)))]] += 1

    monkeypatch.setattr(selection, "complete", draws)
    monkeypatch.setattr(
        selection, "inherited_accuracy", lambda network, shares, genotype, *_: names[str(genotype.nodes)]
    )
    scores = single_paths(run, cells)
    assert all(name == score for name, score in scores.items()) and len(scores) == 42
    # Chi squared of 41 degrees of freedom: 41 ± 9.
    assert sum((seen[name] - 100) ** 2 / 100 for name in cells) < 41 + 5 * 9
    assert torch.equal(run.arch.alpha, before)


def test_the_temperature_falls_epoch_by_epoch() -> None:
    run = supernet(search_epochs=2)
    cells = cells_of(run.recipe)
    scores = annealed(run, cells)
    shares = run.arch.alpha.detach()
    run.records.pop()
    assert torch.allclose(run.shares().ops, (shares * 10**0.5).softmax(-1), atol=1e-6)
    run.records.pop()
    assert torch.allclose(run.shares().ops, shares.softmax(-1), atol=1e-6)
    best = max(scores, key=scores.__getitem__)
    sharp = best_written((10 * shares).log_softmax(-1).tolist(), run.recipe, cells)
    assert scores[best] == pytest.approx(sharp[best][0], abs=1e-4)


def test_what_ways_take_by_hand(tmp_path: Path) -> None:
    """Five cells of 90, 80, 70, 60 and 50 %, one more with the second seed. The largest has 70 % at each width."""
    options = command_line("selection", "").parse_args(
        "digits --retrain-channels 4 --searches 2 --seeds 2 --cells 3".split()
    )
    kept, after = Kept(tmp_path / "selection.csv"), Kept(tmp_path / "cells.csv")
    recipe = Recipe.preset("digits", retrain_channels=4)
    space, narrow = (Space(options, dataclasses.replace(recipe, retrain_channels=channels)) for channels in (4, 2))
    kb = {cell: file_kb(space, cell) for cell in space.cells}
    cells = sorted(space.cells, key=lambda cell: (cell != max(kb, key=lambda one: kb[one]), cell))
    worth = dict(zip(cells, (70, 90, 80, 60, 50), strict=True))
    for seed in (0, 1):
        for cell in cells:
            # The first search's alpha prefers 90 %, the second's 50 %; inherited accuracy prefers 80 %, all other ways the largest.
            scores = {"alpha_score": worth[cell] * (1 - 2 * seed), "inherited_accuracy": float(worth[cell] == 80)}
            after.add(
                {"space": space.name, "phase": "search", "seed": seed}, [{"cell": cell, "core_seconds": 9.0, **scores}]
            )
            own = {"space": space.name, "phase": "retrain", "seed": seed}
            after.add(own, [{"cell": cell, "test_accuracy": worth[cell] + seed}])
            for way in WAYS:
                kept.add(
                    {"space": space.name, "way": way, "seed": seed},
                    [{"cell": cell, "core_seconds": 7, "score": -kb[cell] == -max(kb.values())}],
                )
        after.add(
            {"space": narrow.name, "phase": "retrain", "seed": seed}, [{"cell": cells[0], "test_accuracy": 70 + seed}]
        )
    lines = {line.split(" | ")[0]: line.split(" | ")[1:] for line in report(space, kept, after).splitlines()}
    drawn = np.mean([worth[cell] for cell in space.drawn])
    argmax, inherited, masked = (
        lines[f"| {way}"] for way in ("argmax of alpha", "inherited accuracy", "masked one at a time")
    )
    assert argmax[1:4] == ["70.50", "+0.00 ± 0.00", "+0.00 ± 20.00"] and argmax[7] == "9.0"
    assert inherited[0] == f"2 × {cells[2]}" and inherited[1:5] == [
        "80.50",
        "+10.00 ± 20.00",
        "+10.00 ± 0.00",
        "+10.00 ± 0.00",
    ]
    assert masked[0] == f"2 × {cells[0]}" and masked[3:5] == ["+0.00 ± 0.00"] * 2 and masked[7] == "7.0"
    assert masked[5] == f"{70 - drawn:+.2f} ± 0.00" and masked[6] == f"{max(kb.values()):.2f}"
    assert argmax[8].split(" |")[0] == "+0.00 ± 1.41"  # 1 and -1


def test_the_error_of_a_lead_is_of_searches_and_of_seeds() -> None:
    # Means by search 1, 3: error 1. Means by seed 0, 4: error 2. Together the root of 5.
    assert lead(np.array([[-1.0, 1.0], [3.0, 5.0]])) == "+2.00 ± 2.24"


def test_the_command_continues_and_retrains_what_is_taken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, after = tmp_path / "selection.csv", tmp_path / "cells.csv"
    options = "--widths 1,2 --search-channels 4 --retrain-channels 4 --search-epochs 1 --retrain-epochs 1"
    batches = "--search-batch 200 --retrain-batch 200 --cells 2 --searches 2 --seeds 2"
    command = f"digits {options} {batches} --out {out} --retrained {after}".split()
    assert selection.main(command) == 0
    shown, kept = capsys.readouterr(), (out.read_text(encoding="utf-8"), after.read_text(encoding="utf-8"))
    rows, trained = pd.read_csv(out), pd.read_csv(after)
    assert rows.groupby("way").size().to_dict() == dict.fromkeys(WAYS, 5 * 2)  # five cells differ in function
    taken = set(rows.loc[rows.groupby(["way", "seed"])["score"].idxmax(), "cell"])
    own = trained[trained["phase"].eq("retrain") & ~trained["space"].str.contains("retrain_channels=2")]
    assert taken <= set(own["cell"]) and own.groupby("cell")["seed"].nunique().eq(2).all()
    lines = [line for line in shown.out.splitlines() if line.startswith("| argmax of alpha |")]
    assert len(lines) == 1 and lines[0].split(" | ")[3] == "+0.00 ± 0.00"
    assert selection.main(command) == 0
    assert capsys.readouterr().out == shown.out
    assert kept == (out.read_text(encoding="utf-8"), after.read_text(encoding="utf-8"))


def test_bad_input_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert selection.main(["digits", "--searches", "1"]) == 2
    assert capsys.readouterr().err == "selection: searches: expected an integer of at least 2, got 1\n"
