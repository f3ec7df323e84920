"""The measured range of λ: at its ends the loss really has terms of 1e-4 and 1e-1 of the cross entropy."""

import dataclasses

import pytest
import torch

from litesnn.checks import InputError
from litesnn.config import Recipe, SearchPoint
from litesnn.data import load
from litesnn.data.dataset import Dataset
from litesnn.joint_search import Search
from tune.plan.lambda_range import LEAST, MOST, P, initial_terms, measure


@pytest.fixture(scope="module")
def digits() -> tuple[Recipe, Dataset]:
    recipe = Recipe.preset("digits", crop_padding=0)  # the batch is drawn again below, without augmentation
    return recipe, load(recipe, searching=True)


def loss(recipe: Recipe, dataset: Dataset, seed: int, **lambdas: float) -> float:
    """The search's own loss at the start, on its own first batch: no code of ``tune.plan.lambda_range``."""
    point = SearchPoint(**{"lambda1": 0.0, "lambda2": 0.0, "p": P, **lambdas})
    run = Search(point, recipe, dataset, seed=seed, device=torch.device("cpu"))
    run.network.train()
    order = torch.randperm(len(dataset.train), generator=torch.Generator().manual_seed(seed))[: recipe.search_batch]
    x = dataset.normalise(dataset.train.inputs[order])
    with torch.no_grad():
        return float(run._loss(x, dataset.train.labels[order], with_cost=True))


def test_the_loss_at_the_ends_has_the_promised_terms(digits: tuple[Recipe, Dataset]) -> None:
    recipe, dataset = digits
    cross_entropy = loss(recipe, dataset, 0)
    for name, (low, high) in zip(("lambda1", "lambda2"), measure(recipe, dataset), strict=True):
        for value, share in ((low, LEAST), (high, MOST)):
            # Single precision: the small term is told from the loss at a hundred times the λ.
            term = (loss(recipe, dataset, 0, **{name: 100 * value}) - cross_entropy) / 100
            assert term / cross_entropy == pytest.approx(share, rel=0.06)  # two digits: up to 5 % off


def test_another_seed_gives_nearly_the_same_and_the_same_seed_the_same(digits: tuple[Recipe, Dataset]) -> None:
    recipe, dataset = digits
    assert measure(recipe, dataset, seed=3) == measure(recipe, dataset, seed=3)
    for one, other in zip(measure(recipe, dataset, seed=3), measure(recipe, dataset, seed=4), strict=True):
        assert one[0] == pytest.approx(other[0], rel=0.5)


def test_cost_batch_scales_lambda2_alone(digits: tuple[Recipe, Dataset]) -> None:
    recipe, dataset = digits
    once, tenfold = (
        initial_terms(dataclasses.replace(recipe, cost_batch=batch), dataset, seed=1) for batch in (30, 300)
    )
    assert tenfold[:2] == once[:2]
    assert tenfold[2] == pytest.approx(10 * once[2])


def test_costs_without_number_are_one_line(digits: tuple[Recipe, Dataset], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tune.plan.lambda_range.initial_terms", lambda *_, **__: (float("nan"), 1.0, 1.0))
    with pytest.raises(InputError, match="lambda-range: expected a finite loss"):
        measure(*digits)
