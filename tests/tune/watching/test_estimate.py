"""How long a run still takes, by hand and on 48 recorded trials whose seconds are known."""

import heapq
from typing import Any

import pytest

from benchmarks.replay import read_curves
from litesnn.config import Recipe
from tune.watching.estimate import KEPT_SHARE, Estimate, work_ratio

RECIPE = Recipe.preset("digits", search_epochs=2, retrain_epochs=3)


def test_by_hand() -> None:
    """An epoch of search takes 4 s, one of retraining 4 s times the ratio until one is seen; two run at once."""
    estimate = Estimate(RECIPE, 2, stopping=False)
    ratio = work_ratio(RECIPE)
    assert estimate.remaining(1, {"a": {}}) is None
    for _ in range(2):  # what the two processes begin with
        estimate.epoch("a", "search", 40.0)
        assert estimate.remaining(1, {"a": {}}) is None
    estimate.epoch("a", "search", 4.0)
    running: dict[str, Any] = {"a": {"phase": "search", "epoch": 1}, "b": {}}
    whole = 2 * 4 + 3 * 4 * ratio
    assert estimate.remaining(3, running) == pytest.approx((3 * whole + (whole - 4) + whole) / 2)
    estimate.epoch("a", "retrain", 1.0)
    assert estimate.remaining(0, {"a": {"phase": "retrain", "epoch": 1}}) == pytest.approx(2 / 2)


def test_one_slow_first_epoch_is_no_measure() -> None:
    estimate = Estimate(RECIPE, 1, stopping=False)
    for seconds in (59.0, 2.0, 2.0):
        estimate.epoch("a", "search", seconds)
    estimate.epoch("a", "retrain", 1.0)
    assert estimate.remaining(1, {}) == pytest.approx(2 * 2 + 3 * 1)


def test_stopped_trials_teach_what_a_trial_takes() -> None:
    estimate = Estimate(RECIPE, 1, stopping=True)
    estimate.epoch("a", "search", 9.0)
    estimate.epoch("a", "search", 1.0)
    estimate.epoch("a", "retrain", 1.0)
    assert estimate.remaining(1, {}) == pytest.approx(KEPT_SHARE * 5)
    for _ in range(18):
        estimate.end("a", 1.0)
    assert estimate.remaining(1, {}) == pytest.approx((2 * KEPT_SHARE * 5 + 18) / 20)


@pytest.mark.parametrize("preset", ["digits", "cifar10-small", "gsc-small", "cifar10"])
def test_ratio_counts_two_passes_of_everything_against_one_of_what_is_kept(preset: str) -> None:
    recipe = Recipe.preset(preset)
    rough = (recipe.retrain_channels / recipe.search_channels) ** 2 / 2
    assert 0.15 * rough < work_ratio(recipe) < rough


@pytest.mark.parametrize("slots", [1, 2, 4])
@pytest.mark.parametrize("first", [0, 12, 24])
def test_the_first_estimate_of_recorded_runs_is_within_a_factor_of_one_and_a_half(first: int, slots: int) -> None:
    """Twelve trials of 8 and 15 epochs, run to their end; the estimate is made after the first epoch that counts."""
    recipe = Recipe.preset("digits", search_epochs=8, retrain_epochs=15)
    curves = list(read_curves().values())[first : first + 12]
    free = [0.0] * slots
    for records in curves:
        heapq.heappush(free, heapq.heappop(free) + sum(record["seconds"] for record in records))
    estimate = Estimate(recipe, slots, stopping=False)
    running: dict[str, Any] = {"a": {"phase": "search", "epoch": 1}, **{str(i): {} for i in range(slots - 1)}}
    for _ in range(slots + 1):
        estimate.epoch("a", "search", curves[0][0]["seconds"])
    said = estimate.remaining(12 - slots, running)
    assert said is not None and 1 / 1.5 < said / max(free) < 1.5


def test_a_long_first_epoch_is_a_measure_at_once() -> None:
    estimate = Estimate(RECIPE, 4, stopping=False)
    estimate.epoch("a", "search", 600.0)
    assert estimate.remaining(0, {"a": {}}) == pytest.approx((2 * 600 + 3 * 600 * work_ratio(RECIPE)) / 4)


def test_trials_that_start_from_others_are_expected_to_have_their_few_epochs() -> None:
    """Until some have ended; a trial that runs says how many it has."""
    recipe = Recipe.preset("digits", strategy="fixed", retrain_epochs=20, warm_epochs=5)
    estimate = Estimate(recipe, 1, stopping=False, warm=True)
    for _ in range(2):
        estimate.epoch("a", "retrain", 2.0)
    assert estimate.remaining(3, {}) == pytest.approx(3 * 5 * 2)
    running = {"a": {"phase": "retrain", "epoch": 8, "epochs": 20}, "b": {"phase": "retrain", "epoch": 1, "epochs": 5}}
    begun = {"c": {"p": 0.0, "seed": 0}}  # what the ledger knows of a trial before its first epoch
    assert estimate.remaining(0, {**running, **begun}) == pytest.approx((12 + 4 + 5) * 2)
