"""The replay against runs by hand, and what must hold on the committed recording whatever the figures are."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import replay as benchmark
from benchmarks.replay import REFERENCE, Curves, Measure, at_cost, draw, read_curves, replay
from benchmarks.stopping_rules import Record, families
from litesnn import Recipe
from tune.results.reference import reference_of


@pytest.fixture(scope="module")
def curves() -> Curves:
    return read_curves()


def test_the_recording_is_whole(curves: Curves) -> None:
    assert len(curves) == 48
    for records in curves.values():
        assert [record["total"] for record in records] == list(range(1, 24))
        assert [record["phase"] for record in records] == ["search"] * 8 + ["retrain"] * 15
        assert [record["epoch"] for record in records] == [*range(1, 9), *range(1, 16)]


def test_the_stated_reference_is_that_of_the_search_space() -> None:
    assert reference_of(Recipe.preset("digits", size="eq18")) == REFERENCE  # what size meant when they were recorded


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
    assert done == benchmark.Replay(frozenset("ac"), 5, 7.5)


def test_one_worker_takes_one_after_the_other_and_a_verdict_at_the_end_changes_nothing() -> None:
    hand = {"a": by_hand("a", [3, 1]), "b": by_hand("b", [1])}
    done = replay(hand, ["a", "b"], 1, lambda record: record["total"] == 1 and record["trial"] == "a")
    assert done == benchmark.Replay(frozenset("ab"), 3, 5)


def test_no_stopping_keeps_and_costs_everything(curves: Curves) -> None:
    draws = draw(list(curves), 6, np.random.default_rng(0))
    assert (Measure(curves)(lambda: lambda record: True, draws) == 1.0).all()


def test_the_same_seed_gives_the_same_figures(curves: Curves) -> None:
    def once(seed: int) -> np.ndarray:
        draws = draw(list(curves), 6, np.random.default_rng(seed), 20)
        ours = families(8, 15, REFERENCE)[0]
        return Measure(curves)(lambda: ours.make(ours.default), draws)

    assert np.array_equal(once(3), once(3))
    assert not np.array_equal(once(3), once(4))


def test_orders_use_every_number_of_workers_equally_often() -> None:
    draws = draw(list("abcdef"), 12, np.random.default_rng(0), 4)
    assert sorted(workers for _, workers in draws) == sorted(benchmark.WORKERS * 2)
    assert all(len(set(order)) == 4 for order, _ in draws)


@pytest.mark.parametrize(
    ("cost", "kept"),
    [(0.0, 0.0), (0.1, 0.4), (0.2, 0.8), (0.3, 0.8), (0.4, 0.8), (0.5, 0.85), (0.6, 0.9), (0.8, 0.95), (1.0, 1.0)],
)
def test_at_cost_by_hand(cost: float, kept: float) -> None:
    """The setting at 0.4 keeps less than the cheaper one at 0.2, which is used in its place."""
    points = np.array([[0.6, 0.9], [0.2, 0.8], [0.4, 0.5]])
    assert at_cost(points, cost) == pytest.approx(kept)


def test_at_equal_cost_ours_keeps_more_than_stopping_on_accuracy(curves: Curves) -> None:
    draws = draw(list(curves), 6, np.random.default_rng(0))
    ours, accuracy = families(8, 15, REFERENCE)[:2]
    measure = Measure(curves)
    kept, spent = measure(lambda: ours.make(ours.default), draws).mean(axis=0)[:2]
    others = np.array([measure(lambda: accuracy.make(s), draws).mean(axis=0)[[1, 0]] for s in accuracy.sweep])  # noqa: B023
    assert kept > at_cost(others, spent)


def test_the_command_writes_table_figures_and_picture(
    curves: Curves, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    few = {trial: curves[trial] for trial in list(curves)[::8]}
    monkeypatch.setattr(benchmark, "read_curves", lambda: few)
    for name, value in (("SPLITS", 1), ("SPLIT_REPLAYS", 2), ("SUBSET", 4)):
        monkeypatch.setattr(benchmark, name, value)
    out, picture = tmp_path / "replay.json", tmp_path / "images" / "replay.png"
    assert benchmark.main(["--replays", "6", "--out", str(out), "--plot", str(picture)]) == 0
    rules = json.loads(out.read_text())["rules"]
    assert rules["no stopping"]["shipped"]["mean"] == [1, 1, 1, 1]
    printed = capsys.readouterr().out
    for name, rule in rules.items():
        assert name in printed
        assert "missing" in rule or len(rule["shipped"]["mean"]) == 4
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("arguments", [["--replays", "0"], ["--seed", "-1"]])
def test_bad_input_is_one_line(arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "replay.json"
    assert benchmark.main([*arguments, "--out", str(out), "--plot", str(tmp_path / "p.png")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
