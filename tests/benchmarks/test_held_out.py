"""Replays of runs that no rule was tuned on: shared searches by hand, recordings, and what must hold on them."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import held_out as benchmark
from benchmarks.held_out import OURS, RECORDED, Outcome, as_shipped, draws, outcome, rules, sharing
from benchmarks.record import run
from benchmarks.recordings import Recording, collect, main, read, searched_as
from benchmarks.replay import DATA
from tune.plan.points import default_points, trials
from tune.storage.store import FINISHED, STOPPED, Experiment


def recordings() -> list[Recording]:
    return [
        read(DATA / file, name, chance=chance, val_samples=samples, ending=ending)
        for name, file, ending, chance, samples in RECORDED
    ]


def records(*phases: str) -> list[dict[str, Any]]:
    return [{"phase": phase} for phase in phases]


def test_the_first_width_of_a_point_searches() -> None:
    names = ("l1_0-p_0-seed_0", "l1_0-p_0-c_8-seed_0", "l1_1-p_0-c_8-seed_0", "l1_0-p_0-c_8-seed_1")
    curves = {name: records("search", "retrain") for name in names}
    order = ["l1_0-p_0-c_8-seed_0", "l1_1-p_0-c_8-seed_0", "l1_0-p_0-seed_0", "l1_0-p_0-c_8-seed_1"]
    assert [len(found) for found in sharing(curves, order).values()] == [2, 2, 1, 2]


@pytest.mark.parametrize("recording", recordings(), ids=lambda recording: recording.name)
def test_recordings_are_whole(recording: Recording) -> None:
    search, retrain = recording.lengths
    for name, epochs in recording.curves.items():
        assert [r["epoch"] for r in epochs] == [*range(1, search + 1), *range(1, retrain + 1)]
        assert {r["trial"] for r in epochs} == {name}
        assert [r["total"] for r in epochs] == list(range(1, search + retrain + 1))
        assert all(math.isfinite(r["val_accuracy"]) and r["seconds"] > 0 for r in epochs)


def test_the_first_recording_is_that_of_the_default_points() -> None:
    assert set(recordings()[0].curves) == {trial.name for trial in trials(default_points("digits"), 1, 0)}


def test_rows_of_an_experiment(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A trial that shares its search has that of the other width; one that has not finished is left out."""
    experiment = Experiment(tmp_path)
    for name, status, phases in (
        ("l1_0-c_8-seed_0", FINISHED, ["search", "retrain"]),
        ("l1_0-seed_0", FINISHED, ["retrain"]),
        ("l1_1-seed_0", STOPPED, ["search"]),
    ):
        trial = experiment.trial(name)
        figures = {"epochs": 1, "val_accuracy": 50.0, "size_bits": 80, "bit_synops": 1e3, "seconds": 2.0, "loss": 1.0}
        costs = {"model_size_bits": 80, "timesteps": 1}
        trial.write_start({"lambda1": 0.0, "lambda2": 0.0, "p": 0.0, "seed": 0}, {})
        trial.write_records([{"phase": phase, "epoch": 1, **figures, **costs} for phase in phases])
        trial.write_result(status, reason="")
    assert list(collect(tmp_path)["trial"]) == ["l1_0-c_8-seed_0"] * 2 + ["l1_0-seed_0"]
    assert main([str(tmp_path)]) == 0
    (tmp_path / "curves.csv").write_text(capsys.readouterr().out)
    found = read(tmp_path / "curves.csv", "made", chance=10, val_samples=100)
    assert found.lengths == (1, 1) and searched_as("l1_0-c_8-seed_0") == searched_as("l1_0-seed_0")
    assert [r["phase"] for r in found.curves["l1_0-seed_0"]] == ["search", "retrain"]
    assert {r["trial"] for r in found.curves["l1_0-seed_0"]} == {"l1_0-seed_0"}


def test_no_stopping_keeps_everything_and_shared_searches_cost_less() -> None:
    recording = recordings()[0]
    order = list(recording.curves)
    whole = outcome(recording, rules(recording)["no stopping"](0), order, 3, False)
    assert whole == Outcome(kept=1, seconds=1, accurate=False, smallest=False, cheapest=False)
    shared = outcome(recording, rules(recording)["no stopping"](0), order, 3, True)
    seconds = {
        t: (
            math.fsum(r["seconds"] for r in epochs if r["phase"] == "search"),
            math.fsum(r["seconds"] for r in epochs),
        )
        for t, epochs in recording.curves.items()
    }
    first = {searched_as(t): seconds[t][0] for t in reversed(order)}
    spent = math.fsum(all_ - search for search, all_ in seconds.values()) + math.fsum(first.values())
    assert shared.kept == 1 and shared.seconds == pytest.approx(spent / math.fsum(a for _, a in seconds.values()))


def test_an_end_is_lost_only_beyond_chance() -> None:
    """Of 1000 samples, 95 and 94 % differ by one standard error; a rule that stops all but one loses the other ends."""
    epoch = {"phase": "retrain", "epoch": 1, "total": 1, "seconds": 1.0, "size_bits": 10.0, "bit_synops": 10.0}
    curves = {
        "a": [{**epoch, "trial": "a", "val_accuracy": 95.0, "size_bits": 20.0}] * 2,
        "b": [{**epoch, "trial": "b", "val_accuracy": 94.0, "bit_synops": 20.0}] * 2,
    }
    recording = Recording(name="hand", curves=curves, chance=10, val_samples=1000)
    only_b = outcome(recording, lambda record: record["trial"] == "b", ["a", "b"], 1, False)
    assert (only_b.accurate, only_b.smallest, only_b.cheapest, only_b.seconds) == (False, False, True, 0.75)
    more = Recording(name="hand", curves=curves, chance=10, val_samples=10_000)
    assert outcome(more, lambda record: record["trial"] == "b", ["a", "b"], 1, False).accurate


def test_no_end_of_the_default_run_is_lost() -> None:
    recording = recordings()[0]
    for order, workers in draws(recording, 5, 12, 3):
        found = outcome(recording, as_shipped(recording), order, workers, True)
        assert not (found.accurate or found.smallest or found.cheapest) and found.kept >= 0.98


def test_stopping_by_chance_costs_what_it_is_told_to() -> None:
    recording = recordings()[1]
    found = benchmark.at_cost(recording, 0.6, draws(recording, 20, 12, 1), False)
    assert np.mean([one.seconds for one in found]) == pytest.approx(0.6, abs=0.05)


def test_ours_keeps_more_than_stopping_on_accuracy_alone() -> None:
    recording = recordings()[1]
    drawn = draws(recording, 5, 12, 1)
    made = rules(recording)
    kept = {
        name: np.mean([one.kept for one in benchmark.outcomes(recording, made[name], drawn, False)])
        for name in (OURS, "ASHA, accuracy")
    }
    assert kept[OURS] > kept["ASHA, accuracy"]


def test_the_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(benchmark, "RECORDED", RECORDED[:1])
    monkeypatch.setattr(benchmark, "SIZES", (12,))
    out = tmp_path / "held_out.json"
    assert run(benchmark, ["--replays", "5", "--out", str(out)]) == 0
    rows = json.loads(out.read_text())["rows"]
    assert {(row["recording"], row["shared"]) for row in rows} == {(RECORDED[0][0], False), (RECORDED[0][0], True)}
    assert {row["rule"] for row in rows} >= {OURS, "no stopping", "by chance, at our cost"}
    assert f"| {OURS} |" in capsys.readouterr().out
    assert run(benchmark, ["--replays", "1", "--out", str(out)]) == 2
    assert capsys.readouterr().err == "held_out: replays: expected an integer of at least 5, got 1\n"
