"""Shared searches in replays: who searches, by hand; and what must hold on the recording."""

from typing import Any

import pytest

from benchmarks import shared_search as benchmark
from benchmarks.replay import Curves
from tune.plan.points import default_points, trials


@pytest.fixture(scope="module")
def runs() -> dict[int, Curves]:
    return benchmark.read_curves()


def test_the_recording_is_that_of_the_default_points(runs: dict[int, Curves]) -> None:
    for seed, curves in runs.items():
        assert set(curves) == {trial.name for trial in trials(default_points("digits"), 1, seed)}
        assert {tuple(r["phase"] for r in records) for records in curves.values()} == {
            ("search",) * 8 + ("retrain",) * 20
        }


def records(*phases: str) -> list[dict[str, Any]]:
    return [{"phase": phase} for phase in phases]


def test_the_first_width_of_a_point_searches() -> None:
    curves = {
        name: records("search", "retrain") for name in ("l1_0-p_0-seed_0", "l1_0-p_0-c_8-seed_0", "l1_1-p_0-c_8-seed_0")
    }
    order = ["l1_0-p_0-c_8-seed_0", "l1_1-p_0-c_8-seed_0", "l1_0-p_0-seed_0"]
    assert [len(found) for found in benchmark.sharing(curves, order).values()] == [2, 2, 1]


def test_all_trials_are_all_there_is(runs: dict[int, Curves]) -> None:
    curves, corner = runs[0], benchmark.reference()
    order = list(curves)
    everything = benchmark.measure(curves, benchmark.rule(None, curves)(), order, 3, False, corner)
    assert everything == benchmark.Outcome(kept=1, seconds=1, accurate=False, smallest=False, cheapest=False)
    shared = benchmark.measure(curves, benchmark.rule(None, curves)(), order, 3, True, corner)
    searches = [sum(r["seconds"] for r in curves[t] if r["phase"] == "search") for t in order]
    whole = sum(r["seconds"] for t in order for r in curves[t])
    first = {
        t.rpartition("-seed_")[0].partition("-c_")[0]: s for t, s in reversed(list(zip(order, searches, strict=True)))
    }
    assert shared.kept == 1 and shared.seconds == pytest.approx(1 - (sum(searches) - sum(first.values())) / whole)


def test_no_end_is_lost_on_the_recording(runs: dict[int, Curves]) -> None:
    """As trials are given, one after the other and side by side."""
    corner = benchmark.reference()
    for curves in runs.values():
        for workers in benchmark.WORKERS:
            found = benchmark.measure(curves, benchmark.rule({}, curves)(), list(curves), workers, True, corner)
            assert not (found.accurate or found.smallest or found.cheapest) and found.kept >= 0.98
