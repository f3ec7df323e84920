"""From which trial a sampler's point starts, on rows given by hand."""

from typing import Any

import pytest

from litesnn.config import Recipe, SearchPoint
from tune.plan.points import Trial
from tune.running.starts import Starts

RECIPE = Recipe.preset("digits", strategy="fixed", warm_epochs=5)


def trial(bits: int, timesteps: int = 1, seed: int = 0) -> Trial:
    return Trial(point=SearchPoint(lambda1=0, lambda2=0, p=0, held_bits=bits, held_timesteps=timesteps), seed=seed)


def row(of: Trial, status: str) -> dict[str, Any]:
    return {"trial": of.name, "status": status, "seed": of.seed, **of.point.to_dict()}


def test_only_what_has_finished_counts_and_nobody_waits() -> None:
    rows: dict[str, dict[str, Any]] = {}
    starts = Starts(RECIPE, rows.get)
    assert starts.parent(trial(4)) == "" and starts.parent(trial(2)) == ""
    rows[trial(2).name] = row(trial(2), "unfinished")
    rows[trial(4).name] = row(trial(4), "finished")
    assert starts.parent(trial(1)) == trial(4).name
    rows[trial(2).name] = row(trial(2), "finished")
    rows[trial(1).name] = row(trial(1), "diverged")
    assert starts.parent(trial(1, 2)) == trial(2).name


def test_trials_of_an_earlier_command_count() -> None:
    known = [row(trial(4), "finished"), row(trial(2), "stopped"), row(trial(4, 2, seed=1), "finished")]
    starts = Starts(RECIPE, lambda name: None, known)
    assert starts.parent(trial(1)) == trial(4).name
    assert starts.parent(trial(4, seed=1)) == trial(4, 2, seed=1).name


def test_a_finished_trial_is_read_once() -> None:
    """A bucket is asked about what is still open, not about all that was."""
    asked: list[str] = []

    def outcome(name: str) -> dict[str, Any] | None:
        asked.append(name)
        return row(trial(4), "finished") if name == trial(4).name else None

    starts = Starts(RECIPE, outcome)
    starts.parent(trial(4))
    assert [starts.parent(trial(bits)) for bits in (2, 1)] == [trial(4).name] * 2
    assert asked.count(trial(4).name) == 1


@pytest.mark.parametrize("changes", [{"strategy": "darts"}, {"warm_epochs": 0}])
def test_nothing_is_read_where_networks_do_not_start_from_others(changes: dict[str, Any]) -> None:
    def outcome(name: str) -> None:
        raise AssertionError

    starts = Starts(Recipe.preset("digits", **{"strategy": "fixed", **changes}), outcome)
    assert [starts.parent(trial(bits)) for bits in (4, 1)] == ["", ""]
