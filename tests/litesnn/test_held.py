"""What a search is given instead of learning it stays as given, and the rest is learnt as before."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import litesnn
from litesnn.checks import InputError
from litesnn.config import Recipe, SearchPoint
from litesnn.data import load
from litesnn.genotype import PRIMITIVES, cell_edges
from litesnn.held import Held
from litesnn.joint_search import Search
from litesnn.network import ArchParameters

RECIPE = Recipe.preset(
    "digits", search_epochs=1, psi_warmup_epochs=0, search_channels=4, widths=(1, 2), timesteps=3, search_batch=64
)
POINT = SearchPoint(lambda1=1e-5, lambda2=1e-8, p=50)
CELL = (((0, "conv3x3"), (1, "skip")), ((1, "conv3x3"), (2, "skip")))
ALL = Held(nodes=CELL, bits=(4, 2), timesteps=2, masks=True)


def run(held: Held, **settings: Any) -> Search:
    return Search(POINT, RECIPE, load(RECIPE), device=torch.device("cpu"), held=held, **settings)


def values(search: Search) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().clone() for name, tensor in search.network.named_parameters()} | {
        name: tensor.detach().clone() for name, tensor in search.arch.named_parameters()
    }


def changed(held: Held) -> set[str]:
    """What an epoch changes: names of architecture parameters, ``scores`` and ``weights``."""
    search = run(held)
    before = values(search)
    search.run_epoch()
    found = {name for name, value in values(search).items() if not torch.equal(value, before[name])}
    kinds = {"scores" if "score" in name else "weights" if "." in name else name for name in found}
    return kinds


@pytest.mark.parametrize(
    ("held", "learnt"),
    [
        (Held(), {"alpha", "beta", "psi", "scores", "weights"}),
        (Held(nodes=CELL), {"beta", "psi", "scores", "weights"}),
        (Held(bits=(4, 1)), {"alpha", "psi", "scores", "weights"}),
        (Held(timesteps=2), {"alpha", "beta", "scores", "weights"}),
        (Held(masks=True), {"alpha", "beta", "psi", "weights"}),
        (ALL, {"weights"}),
    ],
)
def test_what_is_held_does_not_change_by_a_bit(held: Held, learnt: set[str]) -> None:
    assert changed(held) == learnt


def test_what_is_held_is_decoded_and_the_rest_is_what_was_learnt() -> None:
    search = run(Held(nodes=CELL, timesteps=2))
    with torch.no_grad():
        search.arch.beta[0, 2] = 5
        search.arch.psi[2] = 5
    found = search.genotype()
    assert (found.nodes, found.timesteps, found.p) == (CELL, 2, POINT.p)
    assert found.bits[0] == RECIPE.bit_widths[2]
    assert run(ALL).genotype().bits == (4, 2)


def test_the_shares_are_those_of_the_derived_network() -> None:
    torch.manual_seed(0)
    learnt = ArchParameters(RECIPE).shares()
    shares = ALL.shares(learnt, RECIPE)
    edges = cell_edges(2)
    kept = {(edges[e], PRIMITIVES[op]) for e, op in shares.ops.nonzero().tolist()}
    assert kept == {((0, 0), "conv3x3"), ((1, 0), "skip"), ((1, 1), "conv3x3"), ((2, 1), "skip")}
    assert shares.ops.sum() == 4
    assert (shares.bits @ torch.tensor(RECIPE.bit_widths, dtype=torch.float)).tolist() == [4, 2]
    assert shares.timesteps.tolist() == [0, 1]
    nothing = Held().shares(learnt, RECIPE)
    assert torch.equal(nothing.ops, learnt.ops) and torch.equal(nothing.timesteps, learnt.timesteps)


def test_a_search_starts_from_the_weights_of_another() -> None:
    first = litesnn.search(POINT, RECIPE)
    second = run(Held(), start=first.weights)
    assert all(torch.equal(value, first.weights[name]) for name, value in second.network.state_dict().items())


def test_a_checkpoint_of_another_search_is_refused(tmp_path: Any) -> None:
    file = tmp_path / "search"
    litesnn.search(POINT, RECIPE, held=Held(timesteps=2), checkpoint=file)
    with pytest.raises(InputError):
        litesnn.search(POINT, RECIPE, held=Held(timesteps=3), checkpoint=file)
    assert len(litesnn.search(POINT, RECIPE, held=Held(timesteps=2), checkpoint=file).records) == 1


@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        ({"nodes": (((0, "skip"), (0, "skip")),)}, r"held.nodes\[0\]: expected two different inputs"),
        ({"bits": (5,)}, "held.bits: expected one of"),
        ({"timesteps": 0}, "held.timesteps: expected"),
        ({"masks": 1}, "held.masks: expected True or False, got 1"),
    ],
)
def test_impossible_values_are_refused(wrong: dict[str, Any], line: str) -> None:
    with pytest.raises(InputError, match=line):
        Held(**wrong)


@pytest.mark.parametrize(
    ("held", "line"),
    [
        (Held(nodes=CELL[:1]), "held.nodes: expected 2 nodes"),
        (Held(bits=(4,)), "held.bits: expected one per cell"),
        (Held(timesteps=4), "held.timesteps: expected at most the recipe's 3, got 4"),
    ],
)
def test_values_that_do_not_fit_the_recipe_are_refused(held: Held, line: str) -> None:
    with pytest.raises(InputError, match=line):
        run(held)
    with pytest.raises(InputError, match="start: expected weights of a search of the same recipe"):
        run(Held(), start={"stem.weight": torch.zeros(1)})
