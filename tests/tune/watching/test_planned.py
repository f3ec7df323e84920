"""How long families still take, by hand."""

from pathlib import Path

import pandas as pd
import pytest

from litesnn.config import Recipe
from tune.plan.families import in_order, parents
from tune.plan.points import default_points, trials
from tune.watching.planned import Plan, Planned, plans

RECIPE = Recipe.preset("digits", strategy="fixed")
RECORDED = Path(__file__).parents[3] / "docs" / "data"
BESIDE = 1.5
"""Seconds that a trial takes beside its epochs: 36 digits networks took 77 s on two cores, and 98 s of epochs."""


class Wall:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def estimate(*, slots: int = 1, wall: Wall | None = None, **planned: Plan) -> Planned:
    """The first epoch of every process is over, and was no measure."""
    estimate = Planned(planned, slots, wall or Wall())
    for _ in range(slots):
        estimate.epoch("a", "retrain", 9.0)
    return estimate


def test_nothing_is_said_before_the_first_measure() -> None:
    some = Planned({"a": Plan(epochs=4, size=8)}, 1)
    some.epoch("a", "retrain", 30.0)
    assert some.remaining(0, {"a": {"epoch": 1}}) is None


def test_from_one_size_others_are_guessed() -> None:
    """Root of 4 epochs, 2 of them over; two trials of 2 epochs at 32 times the size; 1.5 s for what each does besides."""
    some = estimate(a=Plan(epochs=4, size=8), b=Plan(epochs=2, size=256), c=Plan(epochs=2, size=256))
    some.epoch("a", "retrain", 0.5)
    assert some.remaining(2, {"a": {"epoch": 2}}) == pytest.approx(2 * 0.5 + 2 * 2 * 0.5 * 32**0.65 + 3 * 1.5)


def test_two_sizes_give_what_does_not_grow() -> None:
    """0.3 s and 0.5 s at 10 and at 20 are 0.1 s and 0.02 s times the size; two run at once."""
    some = estimate(slots=2, a=Plan(epochs=5, size=10), b=Plan(epochs=5, size=20), c=Plan(epochs=3, size=40))
    for name, seconds in (("a", 0.3), ("b", 0.5), ("b", 0.5)):
        some.epoch(name, "retrain", seconds)
    running = {"a": {"epoch": 3}, "b": {"epoch": 2}}
    assert some.remaining(1, running) == pytest.approx((2 * 0.3 + 3 * 0.5 + 3 * 0.9 + 3 * 1.5) / 2)


def test_smaller_epochs_that_took_longer_give_no_negative_time() -> None:
    some = estimate(a=Plan(epochs=2, size=10), b=Plan(epochs=1, size=20), c=Plan(epochs=1, size=400))
    some.epoch("a", "retrain", 0.5)
    some.epoch("b", "retrain", 0.4)
    left = some.remaining(1, {"a": {"epoch": 2}, "b": {"epoch": 1}})
    assert left is not None and 4.5 < left < 4.5 + 0.5


def test_what_a_trial_costs_beside_its_epochs_is_learnt_from_those_that_ended() -> None:
    """Two slots for 12.5 seconds of the wall had 19 seconds of epochs: 6 are left for the one trial that is over."""
    wall = Wall()
    wall.seconds = 9.0
    some = estimate(slots=2, wall=wall, a=Plan(epochs=3, size=8), b=Plan(epochs=9, size=8))
    some.epoch("b", "retrain", 1.0)
    wall.seconds = 12.5
    assert some.remaining(0, {"a": {"epoch": 2}, "b": {"epoch": 1}}) == pytest.approx((9 * 1.0 + 2 * 1.5) / 2)
    some.end("a", 9.0)
    assert some.remaining(0, {"b": {"epoch": 1}}) == pytest.approx((8 * 1.0 + (2 * 12.5 - 19)) / 2)
    some.end("b", 10.0)
    assert some.remaining(0, {}) == 0


def test_plans_of_the_default_points() -> None:
    wanted = trials(default_points("digits", RECIPE), 1, 0)
    found = plans(wanted, parents(wanted, RECIPE), RECIPE)
    assert len(found) == 36
    assert found["l1_0-l2_0-p_0-b_4-t_1-c_8-seed_0"] == Plan(epochs=20, size=8)
    assert found["l1_0-l2_0-p_0-b_1-t_4-seed_0"] == Plan(epochs=5, size=24 * 4)
    assert sum(plan.epochs for plan in found.values()) == 4 * 20 + 32 * 5


@pytest.mark.parametrize("slots", [1, 2, 4])
@pytest.mark.parametrize(("preset", "width"), [("digits", 24), ("cifar10-small", 8)])
def test_the_first_estimate_of_recorded_families_is_within_a_factor_of_one_and_a_half(
    preset: str, width: int, slots: int
) -> None:
    """Made after the first epoch that counts, when every slot trains a root."""
    recipe = Recipe.preset(preset, strategy="fixed", retrain_channels=width)
    table = pd.read_csv(RECORDED / f"search-value-{preset}.csv").query("strategy == 'families'")
    for seed, rows in table.groupby("round"):
        wanted = trials(default_points(preset, recipe), 1, seed)
        starts = parents(wanted, recipe)
        planned, order = plans(wanted, starts, recipe), [trial.name for trial in in_order(wanted, starts)]
        seconds = rows.set_index("trial")["retrain_core_seconds"]
        some = Planned(planned, slots, Wall())
        epoch = {name: seconds[name] / planned[name].epochs for name in order}
        for name in order[:slots]:
            some.epoch(name, "retrain", 3 * epoch[name])
        some.epoch(order[0], "retrain", epoch[order[0]])
        said = some.remaining(0, {order[0]: {"epoch": 2}, **{name: {"epoch": 1} for name in order[1:slots]}})
        true = (sum(seconds[name] for name in order) + BESIDE * len(order)) / slots
        assert said is not None and 1 / 1.5 < said / true < 1.5
