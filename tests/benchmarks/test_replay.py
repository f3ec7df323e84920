"""The replay against runs by hand, and what must hold on the committed recording whatever the figures are."""

from typing import Any

import pytest

from benchmarks.recordings import Curves
from benchmarks.replay import Replay, read_curves, replay
from benchmarks.stopping_rules import Record


@pytest.fixture(scope="module")
def curves() -> Curves:
    return read_curves()


def test_the_recording_is_whole(curves: Curves) -> None:
    assert len(curves) == 48
    for records in curves.values():
        assert [record["total"] for record in records] == list(range(1, 24))
        assert [record["phase"] for record in records] == ["search"] * 8 + ["retrain"] * 15
        assert [record["epoch"] for record in records] == [*range(1, 9), *range(1, 16)]


def by_hand(trial: str, seconds: list[float]) -> list[dict[str, Any]]:
    return [{"trial": trial, "total": i + 1, "seconds": length} for i, length in enumerate(seconds)]


def test_two_workers_by_hand() -> None:
    """b is stopped at 1.0 and c starts then; a's second epoch ends at 4.0, c's at 3.5."""
    hand = {"a": by_hand("a", [3, 1]), "b": by_hand("b", [1, 1]), "c": by_hand("c", [1.5, 1])}
    seen: list[str] = []

    def goes_on(record: Record) -> bool:
        seen.append(f"{record['trial']}{record['total']}")
        return record["trial"] != "b"

    done = replay(hand, ["a", "b", "c"], 2, goes_on)
    assert seen == ["b1", "c1", "a1", "c2", "a2"]
    assert done == Replay(frozenset("ac"), 5, 7.5)


def test_one_worker_takes_one_after_the_other_and_a_verdict_at_the_end_changes_nothing() -> None:
    hand = {"a": by_hand("a", [3, 1]), "b": by_hand("b", [1])}
    done = replay(hand, ["a", "b"], 1, lambda record: record["total"] == 1 and record["trial"] == "a")
    assert done == Replay(frozenset("ab"), 3, 5)


def test_more_workers_than_trials_run_them_side_by_side(curves: Curves) -> None:
    done = replay(curves, list(curves), 64, lambda record: True)
    assert done.finished == frozenset(curves) and done.epochs == 48 * 23
