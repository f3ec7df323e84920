"""What the whole is for, on real data: each of lambda1, lambda2 and p lowers the cost that it stands for."""

from typing import Any

import pytest

from litesnn.config import Recipe, SearchPoint
from litesnn.data import load
from litesnn.joint_search import SearchResult, search

pytestmark = pytest.mark.slow

POINTS: dict[str, dict[str, float]] = {
    "free": {"lambda1": 0, "lambda2": 0, "p": 50},
    "small": {"lambda1": 1e-5, "lambda2": 0, "p": 50},
    "quick": {"lambda1": 0, "lambda2": 1e-8, "p": 50},
    "sparse": {"lambda1": 0, "lambda2": 0, "p": 90},
}


@pytest.fixture(scope="module")
def results() -> dict[str, SearchResult]:
    recipe = Recipe.preset(
        "digits", search_channels=8, retrain_channels=8, timesteps=3, search_epochs=4, search_batch=64
    )
    dataset = load(recipe)
    return {name: search(SearchPoint(**point), recipe, dataset=dataset, seed=0) for name, point in POINTS.items()}


def last(result: SearchResult) -> Any:
    return result.records[-1]


def test_lambda1_buys_fewer_bits(results: dict[str, SearchResult]) -> None:
    assert sum(results["small"].genotype.bits) < sum(results["free"].genotype.bits)
    assert last(results["small"]).model_size_bits < last(results["free"]).model_size_bits


def test_lambda2_buys_fewer_operations_and_timesteps(results: dict[str, SearchResult]) -> None:
    assert last(results["quick"]).bit_synops < 0.5 * last(results["free"]).bit_synops
    assert results["quick"].genotype.timesteps < results["free"].genotype.timesteps


def test_p_buys_a_smaller_model(results: dict[str, SearchResult]) -> None:
    assert last(results["sparse"]).model_size_bits < 0.5 * last(results["free"]).model_size_bits


def test_the_search_learns(results: dict[str, SearchResult]) -> None:
    records = results["free"].records
    assert records[-1].loss < 0.8 * records[0].loss
    assert records[-1].val_accuracy > 50  # chance is 10
