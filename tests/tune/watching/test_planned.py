"""How long families still take, by hand."""

import pytest

from litesnn.config import Recipe
from tune.plan.families import parents
from tune.plan.points import default_points, trials
from tune.watching.planned import Plan, Planned, plans

RECIPE = Recipe.preset("digits", strategy="fixed")


def estimate(*, slots: int = 1, **planned: Plan) -> Planned:
    """What the processes begin with is over, and was no measure."""
    estimate = Planned(planned, slots)
    for _ in range(slots):
        estimate.epoch("another", "retrain", 9.0)
    return estimate


def test_nothing_is_said_before_the_first_measure() -> None:
    some = Planned({"a": Plan(epochs=4, size=8)}, 1)
    some.epoch("a", "retrain", 30.0)
    assert some.remaining(0, {"a": {"epoch": 1}}) is None


def test_at_one_size_time_is_in_proportion_to_it() -> None:
    """Root of 4 epochs at 8, of which one is over; two trials of 2 epochs at 16; a second for what each does besides."""
    some = estimate(a=Plan(epochs=4, size=8), b=Plan(epochs=2, size=16), c=Plan(epochs=2, size=16))
    some.epoch("a", "retrain", 0.5)
    assert some.remaining(2, {"a": {"epoch": 1}}) == pytest.approx(3 * 0.5 + 2 * 2 * 1.0 + 3 * 1.0)


def test_two_sizes_give_what_does_not_grow() -> None:
    """0.3 s and 0.5 s at 10 and at 20 are 0.1 s and 0.02 s times the size; two run at once."""
    some = estimate(slots=2, a=Plan(epochs=5, size=10), b=Plan(epochs=5, size=20), c=Plan(epochs=3, size=40))
    for name, seconds in (("a", 0.3), ("b", 0.5), ("b", 0.5)):
        some.epoch(name, "retrain", seconds)
    running = {"a": {"epoch": 1}, "b": {"epoch": 2}}
    assert some.remaining(1, running) == pytest.approx((4 * 0.3 + 3 * 0.5 + 3 * 0.9 + 3 * 1.0) / 2)


def test_smaller_epochs_that_took_longer_give_no_negative_time() -> None:
    some = estimate(a=Plan(epochs=1, size=10), b=Plan(epochs=1, size=20), c=Plan(epochs=1, size=400))
    some.epoch("a", "retrain", 0.5)
    some.epoch("b", "retrain", 0.4)
    left = some.remaining(1, {"a": {"epoch": 1}, "b": {"epoch": 1}})
    assert left is not None and 3.0 < left < 3.0 + 0.5


def test_what_a_trial_costs_beside_its_epochs_is_learnt_from_those_that_ended() -> None:
    some = estimate(a=Plan(epochs=2, size=8), b=Plan(epochs=2, size=8))
    some.epoch("a", "retrain", 0.5)
    some.epoch("a", "retrain", 0.5)
    some.end("a", 4.0)
    assert some.remaining(1, {}) == pytest.approx(2 * 0.5 + 3.0)
    some.end("b", 0.0)  # failed: nothing is left of it, and it says nothing
    assert some.remaining(0, {}) == 0


def test_plans_of_the_default_points() -> None:
    wanted = trials(default_points("digits", RECIPE), 1, 0)
    found = plans(wanted, parents(wanted, RECIPE), RECIPE)
    assert len(found) == 36
    assert found["l1_0-l2_0-p_0-b_4-t_1-c_8-seed_0"] == Plan(epochs=20, size=8)
    assert found["l1_0-l2_0-p_0-b_1-t_4-seed_0"] == Plan(epochs=5, size=24 * 4)
    assert sum(plan.epochs for plan in found.values()) == 4 * 20 + 32 * 5
