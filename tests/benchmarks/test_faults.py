"""The fault harness: two scenarios for real, what it counts as a repetition or a loss, and the page made of its results."""

import json
import os
import platform
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from benchmarks import faults
from benchmarks.fault_scenarios.hosts import Hosts
from benchmarks.fault_scenarios.storage_fails import shim
from benchmarks.fault_scenarios.watch import Watch, losses
from benchmarks.record import load
from litesnn import Recipe
from tune.storage.store import FINISHED, Experiment

LINUX = pytest.mark.skipif(platform.system() != "Linux", reason="the harness reads /proc")
COMPILER = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler (cc)")
A, B = "l1_0-l2_0-p_0-seed_0", "l1_0-l2_0-p_50-seed_0"


@LINUX
@pytest.mark.cluster
@pytest.mark.slow
@pytest.mark.parametrize("name", ["node", "damaged"])
def test_a_scenario_for_real(name: str, tmp_path: Path) -> None:
    out = tmp_path / "faults.json"
    assert faults.main([name, "--seed", "7", "--out", str(out)]) == 0, out.read_text()
    (run,) = json.loads(out.read_text())["scenarios"][name]["runs"]
    assert run["wrong"] == [] and run["losses"] == 0 and run["same_front"] and run["states"] == {"finished": 6}
    assert run["epochs_repeated"] <= 1 and run["affected"] == 1
    if name == "damaged":
        assert "continued from the one before, epoch" in run["facts"]["said"] and run["facts"]["told"]


def record(phase: str, epoch: int, seconds: float) -> dict[str, Any]:
    figures = {"epochs": 3, "loss": 1.0, "val_accuracy": 50.0, "model_size_bits": 8, "bit_synops": 8.0, "timesteps": 1}
    return {"phase": phase, "epoch": epoch, "seconds": seconds, **figures}


def experiment(folder: Path) -> Experiment:
    found = Experiment(folder)
    found.open(Recipe.preset("digits").to_dict())
    for name, p in ((A, 0.0), (B, 50.0)):
        found.trial(name).write_start({"lambda1": 0.0, "lambda2": 0.0, "p": p, "seed": 0}, {})
    return found


def wait_for(watch: Watch, trial: str, epochs: int) -> None:
    deadline = time.monotonic() + 20
    while watch.epochs(trial) < epochs:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_an_epoch_that_reaches_the_disk_twice_is_a_repetition(tmp_path: Path) -> None:
    trials = experiment(tmp_path)
    first, second, again = record("search", 1, 0.5), record("search", 2, 0.6), record("search", 2, 0.61)
    with Watch(tmp_path) as watch:
        trials.trial(A).write_records([first, second])
        trials.trial(B).write_records([first])
        wait_for(watch, A, 2)
        wait_for(watch, B, 1)
        fault = time.monotonic()
        trials.trial(A).write_records([first, again])
        while len(watch.seen[A]["search", 2]) < 2:
            time.sleep(0.01)
    assert (watch.repeated({A}), watch.repeated({B}), watch.repeated({A, B})) == (1, 0, 1)
    assert watch.recovered_after(fault, {B}) is None and 0 < (watch.recovered_after(fault, {A, B}) or 0) < 20


def test_a_recovery_is_an_epoch_of_the_attempt_that_took_over(tmp_path: Path) -> None:
    trials = experiment(tmp_path)
    first, second, third = (record("search", epoch, epoch / 2) for epoch in (1, 2, 3))
    with Watch(tmp_path) as watch:
        trials.trial(A).claim()
        trials.trial(A).write_records([first])
        wait_for(watch, A, 1)
        fault = time.monotonic()
        trials.trial(A).write_records([first, second])  # by the process that nobody listens to any more
        wait_for(watch, A, 2)
        trials.trial(A).claim()
        while len(watch.attempts[A]) < 2:
            time.sleep(0.01)
        claimed = max(watch.attempts[A].values())
        trials.trial(A).write_records([first, second, third])
        wait_for(watch, A, 3)
    assert (watch.recovered_after(fault, {A}) or 0) >= claimed - fault and watch.repeated({A}) == 0


def test_what_counts_as_a_loss(tmp_path: Path) -> None:
    trials = experiment(tmp_path)
    watch = Watch(tmp_path)
    trials.trial(A).write_result(FINISHED, val_accuracy=50.0, model_size_bits=8, bit_synops=8.0)
    before = watch.finished_files()
    assert {path.name for path in before} == {"result.json", "point.json", "recipe.json"}
    assert losses(before, watch, {A}) == []
    assert losses(before, watch, {A, B}) == [f"{B}: no outcome"]
    trials.trial(B).write_result("failed", reason="")
    assert losses(before, watch, {A, B}) == [f"{B}: no reason"]
    trials.trial(B).clear_result()
    trials.trial(B).write_result("failed", reason="the host went")
    assert losses(before, watch, {A, B}) == []
    result = tmp_path / "trials" / A / "result.json"
    result.write_text(result.read_text().replace("50.0", "51.0"))
    assert losses(before, watch, {A, B}) == [str(result)]


@LINUX
def test_a_host_is_killed_with_all_that_it_started_and_no_other(tmp_path: Path) -> None:
    with Hosts() as hosts:
        hosts.start("a", ["sh", "-c", "setsid sleep 100 & sleep 100"])
        hosts.start("b", ["sleep", "100"])
        while len(hosts.alive("a")) < 3 or len(hosts.alive("b")) < 1:
            time.sleep(0.01)
        b = hosts.alive("b")
        assert hosts.alive() == hosts.alive("a") | b
        hosts.kill("a")
        assert hosts.alive("a") == set() and hosts.alive() == b
    assert not hosts.folder.exists() and not any(Path(f"/proc/{pid}/exe").exists() for pid in b)


@LINUX
@COMPILER
def test_the_shim_fails_every_nth_write_below_its_folder_and_moves_the_clock(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    clock = tmp_path / "clock"
    clock.write_bytes((86400).to_bytes(8, "little"))
    program = """
import os, time, threading
for folder in ("here", "there"):
    os.makedirs(folder, exist_ok=True)
    for _ in range(6):
        try:
            with open(folder + "/file", "wb", buffering=0) as file:
                file.write(b"x")
            print("written", end=" ")
        except OSError as error:
            print(error.errno, end=" ")
began = time.monotonic()
threading.Event().wait(0.2)
print(round(time.time()), time.monotonic() - began < 60)
"""
    variables = {
        "LD_PRELOAD": shim(),
        "SHIM_PREFIX": str(tmp_path / "here"),
        "SHIM_EVERY": "3",
        "SHIM_CLOCK": str(clock),
    }
    command = [shutil.which("python3") or "python3", "-c", program]
    run = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, **variables}, capture_output=True, text=True, check=True
    )
    words = run.stdout.split()
    assert words[:6] == ["written", "written", "5"] * 2 and words[6:12] == ["written"] * 6
    assert 86000 < int(words[12]) - time.time() < 87000 and words[13] == "True"


def test_list_and_bad_input(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert faults.main(["--list"]) == 0
    assert capsys.readouterr().out.count("\n") == len(faults.SCENARIOS)
    assert faults.main(["flood", "--out", str(tmp_path / "x")]) == 2
    assert faults.main(["node", "--repeats", "0", "--out", str(tmp_path / "x")]) == 2
    assert capsys.readouterr().err.count("\n") == 2 and list(tmp_path.iterdir()) == []


def test_a_repetition_takes_the_place_of_the_one_of_its_seed_and_joins_the_others() -> None:
    one, two, again = (
        {"what": "w", "runs": [{"seed": seed, "losses": losses, "wrong": ["x"] * losses}]}
        for seed, losses in ((1, 0), (2, 1), (1, 3))
    )
    kept = faults.merged({}, "node", two)
    kept = faults.merged(faults.merged(kept, "worker", one), "node", one)
    assert list(kept["scenarios"]) == ["worker", "node"]
    assert kept["scenarios"]["node"]["runs"] == [*one["runs"], *two["runs"]]
    assert faults.merged(kept, "node", again)["scenarios"]["node"]["runs"] == [*again["runs"], *two["runs"]]


def test_kept_results_hold_every_scenario_and_nothing_was_lost() -> None:
    scenarios = load("faults")["scenarios"]
    assert set(scenarios) == set(faults.SCENARIOS)
    for name, scenario in scenarios.items():
        assert scenario["what"] == faults.SCENARIOS[name].what
        assert scenario["runs"], name
        for run in scenario["runs"]:
            assert run["losses"] == 0 and run["wrong"] == [] and run["same_front"], name
            assert run["epochs_repeated"] <= 1, name
