"""Small runs of the simulation, and what the soak makes of its samples."""

import json
import math
from pathlib import Path

import pytest

from benchmarks import simulate, soak
from tune.storage.store import Experiment


def test_a_small_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "simulate.json"
    assert simulate.main(["--trials", "60", "--workers", "8", "--out", str(out)]) == 0
    result = json.loads(out.read_text())
    assert result["finished"] + result["stopped"] == 60 and result["stopped"] > 0
    assert result["aggregate"]["trials"] == 60 and result["aggregate"]["finished"] == result["finished"]
    assert result["aggregate"]["epoch_records"] == result["reports"]
    assert "decisions per second" in capsys.readouterr().out


def test_a_simulated_run_is_written_as_it_went_and_read_back(tmp_path: Path) -> None:
    found, scheduler = simulate.simulate(40, 5, seed=3)
    simulate.write(tmp_path, found)
    experiment = Experiment(tmp_path)
    assert experiment.histories() == found.records
    outcomes = experiment.outcomes()
    assert {name for name, state in outcomes.items() if state == "stopped"} == set(found.stopped)
    assert set(outcomes) == set(found.records)
    assert simulate.read_rungs(tmp_path)[1] == sum(map(len, scheduler.rungs.entries.values()))


def test_bad_input_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert simulate.main(["--workers", "0"]) == 2
    assert soak.main(["--trials", "1"]) == 2
    assert capsys.readouterr().err.count("\n") == 2


def test_growth_per_trial_is_fitted_without_the_start() -> None:
    samples = [{"trials": float(n), "driver": 100.0 + 0.5 * n, "workers": 300.0 + (n < 25) * 50} for n in range(100)]
    assert soak.slope(samples, "driver", 100) == pytest.approx(0.5)
    assert soak.slope(samples, "workers", 100) == pytest.approx(0, abs=1e-9)
    assert math.isnan(soak.slope(samples[:20], "driver", 100))


def test_the_points_of_the_soak_are_different_trials() -> None:
    assert len(set(soak.points(300).split())) == 300


def test_in_the_kept_soak_memory_is_flat() -> None:
    result = json.loads(soak.RESULT.read_text())
    assert result["flat"] and result["settings"]["trials"] >= 200
    assert sum(result["states"].values()) == result["settings"]["trials"]
    assert set(result["states"]) <= {"finished", "stopped"}
