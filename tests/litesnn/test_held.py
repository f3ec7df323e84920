"""Searches that hold parts of the network: those do not change by a bit, and nothing else does otherwise."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from litesnn.checks import InputError
from litesnn.compconv import CompConv, initial_scores
from litesnn.config import Recipe, SearchPoint
from litesnn.data.dataset import Dataset
from litesnn.held import Held
from litesnn.joint_search import Search, search
from litesnn.network import Network

CPU = torch.device("cpu")
POINT = SearchPoint(lambda1=1e-4, lambda2=1e-8, p=50)
NODES = (((0, "conv3x3"), (1, "skip")), ((1, "conv3x3"), (2, "skip")))
PARTS: dict[str, Held] = {
    "alpha": Held(nodes=NODES),
    "beta": Held(bits=(4, 1)),
    "psi": Held(timesteps=2),
    "scores": Held(masks=True),
}
ALL = Held(nodes=NODES, bits=(4, 1), timesteps=1, masks=True)


def learnable(run: Search) -> dict[str, list[Tensor]]:
    scores = [p for name, p in run.network.named_parameters() if name.endswith("scores")]
    return {"alpha": [run.arch.alpha], "beta": [run.arch.beta], "psi": [run.arch.psi], "scores": scores}


@pytest.mark.parametrize("part", PARTS)
def test_what_is_held_does_not_change_by_a_bit_and_the_rest_is_learnt(
    tiny_recipe: Callable[..., Recipe], tiny_dataset: Dataset, part: str
) -> None:
    run = Search(POINT, tiny_recipe(psi_warmup_epochs=0), tiny_dataset, device=CPU, held=PARTS[part])
    before = {name: [t.detach().clone() for t in group] for name, group in learnable(run).items()}
    weights = [w.detach().clone() for w in run.weights]
    run.run_epoch()
    for name, group in learnable(run).items():
        same = [torch.equal(a, b) for a, b in zip(before[name], group, strict=True)]
        assert same and (all(same) if name == part else not any(same)), name
    assert not any(torch.equal(a, b) for a, b in zip(weights, run.weights, strict=True))


def test_nothing_held_is_the_joint_search_and_all_held_still_trains_weights(
    tiny_recipe: Callable[..., Recipe], tiny_dataset: Dataset
) -> None:
    recipe = tiny_recipe()
    free, same = (search(POINT, recipe, dataset=tiny_dataset, **k) for k in ({}, {"held": Held()}))
    assert free.genotype == same.genotype
    records = [[replace(r, seconds=0, core_seconds=0) for r in run.records] for run in (free, same)]
    assert records[0] == records[1]
    run = Search(POINT, recipe, tiny_dataset, device=CPU, held=ALL)
    weights = [w.detach().clone() for w in run.weights]
    assert run.run_epoch().timesteps == 1 and run.learnt == []
    assert not any(torch.equal(a, b) for a, b in zip(weights, run.weights, strict=True))


def test_held_values_are_in_the_genotype_and_the_cost(
    tiny_recipe: Callable[..., Recipe], tiny_dataset: Dataset
) -> None:
    found = search(POINT, tiny_recipe(), dataset=tiny_dataset, held=ALL)
    genotype = found.genotype
    assert (genotype.nodes, genotype.bits, genotype.timesteps, genotype.p) == (NODES, (4, 1), 1, 50)
    # Half of the weights: stem 9*1*6 and classifier 12*3 at 4 bits; three convolutions in each cell, of 6 channels each,
    # to 3 at 4 bits and to 6 at 1 bit. The skip from node to node has no weights.
    assert found.records[-1].model_size_bits == 4 * 27 + 4 * 18 + 4 * 3 * 9 * 6 * 3 // 2 + 3 * 9 * 6 * 6 // 2


@pytest.mark.parametrize("training", [True, False])
def test_the_narrow_supernet_computes_what_the_whole_one_does(
    tiny_recipe: Callable[..., Recipe], tiny_dataset: Dataset, training: bool
) -> None:
    recipe = tiny_recipe()
    run = Search(POINT, recipe, tiny_dataset, seed=3, device=CPU, held=Held(nodes=NODES, bits=(4, 1)))
    torch.manual_seed(3)
    whole = Network(recipe, recipe.search_channels, 3, POINT.p, None)
    assert len(list(run.network.parameters())) <= len(list(whole.parameters()))
    assert sum(p.numel() for p in run.network.parameters()) < sum(p.numel() for p in whole.parameters())
    x, shares = tiny_dataset.normalise(tiny_dataset.train.inputs), run.shares()
    outputs = [network.train(training)(x, 2, shares, measure_rates=True) for network in (run.network, whole)]
    torch.testing.assert_close(outputs[0].logits, outputs[1].logits)
    torch.testing.assert_close(outputs[0].rates, outputs[1].rates)


def test_weights_are_carried_on_from_a_whole_and_from_a_narrow_search(
    tiny_recipe: Callable[..., Recipe], tiny_dataset: Dataset
) -> None:
    recipe = tiny_recipe(search_epochs=1)
    whole = search(POINT, recipe, dataset=tiny_dataset, seed=1)
    held = Held(nodes=whole.genotype.nodes)

    def started(start: Any) -> dict[str, Tensor]:
        return Search(POINT, recipe, tiny_dataset, seed=2, device=CPU, held=held, start=start).network.state_dict()

    first = started(whole.weights)
    assert all(torch.equal(first[name], whole.weights[name]) for name in first if name.startswith(("stem", "class")))
    kept = sum(value.numel() for name, value in first.items() if name.endswith("conv.weight"))
    assert kept < sum(value.numel() for name, value in whole.weights.items() if name.endswith("conv.weight"))
    narrow = search(POINT, recipe, dataset=tiny_dataset, seed=1, held=held, start=whole.weights)
    again = started(narrow.weights)
    assert all(torch.equal(again[name], narrow.weights[name]) for name in again)
    with pytest.raises(InputError, match="start: expected weights of a search of the same recipe"):
        Search(POINT, tiny_recipe(search_channels=8), tiny_dataset, device=CPU, start=whole.weights)


def test_an_interrupted_search_goes_on_and_another_held_one_is_refused(
    tiny_recipe: Callable[..., Recipe], tiny_dataset: Dataset, tmp_path: Path
) -> None:
    held, path = Held(nodes=NODES, timesteps=2), tmp_path / "search"
    run = Search(POINT, tiny_recipe(), tiny_dataset, device=CPU, held=held)
    run.run_epoch()
    run.save(path)
    resumed = search(POINT, tiny_recipe(), dataset=tiny_dataset, held=held, checkpoint=path)
    undisturbed = search(POINT, tiny_recipe(), dataset=tiny_dataset, held=held)
    assert all(torch.equal(resumed.weights[name], value) for name, value in undisturbed.weights.items())
    with pytest.raises(InputError, match="checkpoint"):
        search(POINT, tiny_recipe(), dataset=tiny_dataset, checkpoint=path)


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({"masks": 1}, "held.masks: expected True or False"),
        ({"timesteps": 0}, "held.timesteps: expected"),
        ({"timesteps": 3}, "held.timesteps: expected at most the recipe's 2"),
        ({"bits": (5, 1)}, "held.bits: expected"),
        ({"bits": (3, 1)}, "held.bits: expected"),
        ({"bits": (4,)}, "held.bits: expected one per cell"),
        ({"nodes": NODES[:1]}, "held.nodes: expected 2 nodes"),
        ({"nodes": (((0, "pool"), (1, "skip")),)}, "held.nodes"),
    ],
)
def test_bad_values_are_refused(tiny_recipe: Callable[..., Recipe], fields: dict[str, Any], line: str) -> None:
    with pytest.raises(InputError, match=line.replace("(", r"\(")):
        Held(**fields).check_fits(tiny_recipe())


def test_initial_scores_are_those_of_a_new_layer() -> None:
    conv = CompConv(2, 3, 4, 3, 1, (1, 2), 50)
    assert torch.equal(conv.scores, initial_scores(conv.weight.detach()))
    scores = initial_scores(torch.tensor([1.0, -4.0]).view(1, 1, 2, 1, 1)).flatten()
    assert scores.tolist() == pytest.approx([3**0.5 / 4, -(3**0.5)])
