"""What a search says about itself: how far it has decided, and what its decoded network does without retraining."""

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from litesnn.config import Recipe, SearchPoint
from litesnn.data.dataset import Dataset
from litesnn.held import Held
from litesnn.inside import decisions, inherited_accuracy
from litesnn.joint_search import Search

CPU = torch.device("cpu")
POINT = SearchPoint(lambda1=1e-4, lambda2=1e-8, p=50)
NODES = (((0, "conv3x3"), (1, "skip")), ((1, "conv3x3"), (2, "skip")))


def test_decisions_by_hand() -> None:
    shares = torch.tensor([[0.5, 0.25, 0.25], [1.0, 0.0, 0.0]])
    half = (0.5 * math.log(2) + 2 * 0.25 * math.log(4)) / math.log(3)
    assert decisions({"beta": shares}) == {
        "beta_entropy": pytest.approx(half / 2, abs=1e-6),
        "beta_margin": pytest.approx((0.25 + 1) / 2),
    }
    assert decisions({"psi": torch.full((4,), 0.25)}) == {"psi_entropy": pytest.approx(1), "psi_margin": 0}
    assert decisions({}) == {}


def test_records_have_what_is_learnt(tiny_recipe: Callable[..., Recipe], tiny_dataset: Dataset) -> None:
    def names(held: Held) -> set[str]:
        record = Search(POINT, tiny_recipe(), tiny_dataset, device=CPU, held=held).run_epoch().to_dict()
        return {name for name in record if name.endswith(("_entropy", "_margin", "inherited_accuracy"))}

    def of(*parts: str) -> set[str]:
        return {"inherited_accuracy", *(f"{part}_{what}" for part in parts for what in ("entropy", "margin"))}

    assert names(Held()) == of("alpha", "beta", "psi")
    assert names(Held(nodes=NODES, timesteps=1)) == of("beta")
    assert names(Held(nodes=NODES, bits=(4, 1), timesteps=2)) == of()


@pytest.mark.parametrize("timesteps", [1, 2])
def test_inherited_accuracy_is_that_of_the_supernet_with_one_candidate_each(
    tiny_recipe: Callable[..., Recipe], tiny_dataset: Dataset, timesteps: int
) -> None:
    """The whole supernet with shares of 0 and 1, in training mode on all training samples at once, gives the statistics."""
    recipe = tiny_recipe(crop_padding=0, horizontal_flip=False)
    run = Search(POINT, recipe, tiny_dataset, seed=4, device=CPU)
    for _ in range(3):
        run.run_epoch()
    held = Held(nodes=NODES, bits=(4, 1), timesteps=timesteps)
    genotype = held.decoded(run.genotype())
    before = {name: value.clone() for name, value in run.network.state_dict().items()}
    generator = torch.random.get_rng_state()
    found = inherited_accuracy(run.network, run.shares(), genotype, recipe, tiny_dataset)
    assert torch.equal(generator, torch.random.get_rng_state())
    assert all(torch.equal(value, before[name]) for name, value in run.network.state_dict().items())

    assert len(tiny_dataset.train) <= 256  # one batch
    with torch.no_grad():
        shares = held.shares(run.shares(), recipe)
        run.network.train()
        for norm in run.network.modules():
            if isinstance(norm, torch.nn.BatchNorm2d):
                norm.running_mean.zero_()  # type: ignore[union-attr]
                norm.running_var.zero_()  # type: ignore[union-attr]
        run.network(tiny_dataset.normalise(tiny_dataset.train.inputs), timesteps, shares)
        for norm in run.network.modules():
            if isinstance(norm, torch.nn.BatchNorm2d):
                norm.running_mean.mul_(10)  # type: ignore[union-attr]
                norm.running_var.mul_(10)  # type: ignore[union-attr]
        run.network.eval()
        logits = run.network(tiny_dataset.normalise(tiny_dataset.val.inputs), timesteps, shares).logits.mean(0)
    expected = 100 * float((logits.argmax(-1) == tiny_dataset.val.labels).float().mean())
    assert found == pytest.approx(expected)
    others = [replace(genotype, bits=bits) for bits in ((1, 1), (2, 4), (4, 4))]
    assert {inherited_accuracy(run.network, run.shares(), g, recipe, tiny_dataset) for g in others} != {found}
