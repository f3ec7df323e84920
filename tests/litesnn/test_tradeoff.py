"""What the whole is for, on real data: each of lambda1, lambda2 and p lowers the cost that it stands for."""

from typing import Any

import pytest

from litesnn.compconv import CompConv
from litesnn.config import Recipe, SearchPoint
from litesnn.data import Dataset, load
from litesnn.joint_search import SearchResult, search
from litesnn.retraining import retrain

pytestmark = pytest.mark.slow

POINTS: dict[str, dict[str, float]] = {
    "free": {"lambda1": 0, "lambda2": 0, "p": 50},
    "small": {"lambda1": 1e-5, "lambda2": 0, "p": 50},
    "quick": {"lambda1": 0, "lambda2": 1e-8, "p": 50},
    "sparse": {"lambda1": 0, "lambda2": 0, "p": 90},
    "all": {"lambda1": 1e-5, "lambda2": 1e-8, "p": 90},
}


RECIPE = Recipe.preset(
    "digits", search_channels=8, retrain_channels=8, timesteps=3, search_epochs=4, search_batch=64, retrain_epochs=2
)


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return load(RECIPE)


@pytest.fixture(scope="module")
def results(dataset: Dataset) -> dict[str, SearchResult]:
    recipe = RECIPE
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


def test_it_holds_in_the_retrained_networks(results: dict[str, SearchResult], dataset: Dataset) -> None:
    """Bits of the weights that really are not zero, and operations at the spike rates that they really cause."""
    networks = {name: retrain(results[name].genotype, RECIPE, dataset=dataset) for name in ("free", "sparse", "all")}
    bits = {}
    for name, result in networks.items():
        convs = [m for m in result.model.network.modules() if isinstance(m, CompConv)]
        bits[name] = sum(int((c.compressed_weight(None) != 0).sum()) * c.bits[0] for c in convs)
        assert bits[name] == result.cost.model_size_bits
    assert bits["all"] < bits["sparse"] < 0.5 * bits["free"]
    assert networks["all"].cost.bit_synops < 0.5 * networks["sparse"].cost.bit_synops
    assert networks["sparse"].cost.bit_synops < networks["free"].cost.bit_synops


def test_the_search_learns(results: dict[str, SearchResult]) -> None:
    records = results["free"].records
    assert records[-1].loss < 0.8 * records[0].loss
    assert records[-1].val_accuracy > 50  # chance is 10
