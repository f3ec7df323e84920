"""Tables are a function of the files, whatever state the trials are in and whoever writes meanwhile."""

import json
import pickle
import subprocess
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from litesnn.checks import InputError
from tune.storage.objectives import Reference
from tune.storage.paths import UPath, check_path, storage_path
from tune.storage.store import COLUMNS, DIVERGED, FAILED, FINISHED, STOPPED, UNFINISHED, Experiment, TrialFolder

POINT = {"lambda1": 0.0, "lambda2": 0.0, "p": 50.0, "seed": 0}
EPOCH = {"phase": "search", "epoch": 1, "epochs": 2, "val_accuracy": 50.0, "seconds": 1.5, "model_size_bits": 800}
RETRAIN = {**EPOCH, "phase": "retrain", "seconds": 4.0, "val_accuracy": 61.0}


def start(experiment: Experiment, name: str, *records: dict[str, Any]) -> TrialFolder:
    trial = experiment.trial(name)
    trial.write_start(POINT, {})
    if records:
        trial.write_records(records)
    return trial


def test_table_of_trials_in_every_state(tmp_path: Path) -> None:
    experiment = Experiment(tmp_path)
    done = start(experiment, "done", EPOCH, {**EPOCH, "epoch": 2}, RETRAIN)
    done.write_result(FINISHED, val_accuracy=70.0, bits=[4, 1], timesteps=2)
    start(experiment, "broken", EPOCH).write_result(FAILED, reason="out of memory")
    start(experiment, "early", EPOCH).write_result(STOPPED, reason="rung 1")
    start(experiment, "infinite").write_result(DIVERGED, reason="the loss became nan")
    start(experiment, "running", EPOCH, {**EPOCH, "epoch": 2}, RETRAIN)
    start(experiment, "new")
    (tmp_path / "trials" / "never").mkdir()
    (tmp_path / "trials" / "stray.txt").touch()
    table = experiment.table().set_index("trial")
    assert dict(table["status"]) == {
        "broken": "failed",
        "done": "finished",
        "early": "stopped",
        "infinite": "diverged",
        "new": "unfinished",
        "running": "unfinished",
    }
    assert list(table.columns) == COLUMNS[1:]
    assert table.loc["done", "val_accuracy"] == 70.0 and table.loc["running", "val_accuracy"] == 61.0
    assert table.loc["done", "bits"] == "4 1"
    assert table.loc["broken", "reason"] == "out of memory" and table.loc["broken", "epoch"] == 1
    assert table.loc["new", "reason"] == "" and np.isnan(table.loc["new", "epoch"])
    for name in ("done", "running"):
        assert list(table.loc[name, ["search_epochs", "retrain_epochs", "phase"]]) == [2, 1, "retrain"]
        assert list(table.loc[name, ["search_seconds", "retrain_seconds", "seconds"]]) == [3.0, 4.0, 7.0]
    assert all(table["p"] == 50.0) and table["seed"].dtype == np.int64
    age = datetime.now().astimezone() - datetime.fromisoformat(table.loc["done", "ended_at"])
    assert timedelta(seconds=-1) < age < timedelta(minutes=1)
    assert table.loc["done", "ended_at"].endswith("+00:00") and not isinstance(table.loc["running", "ended_at"], str)
    assert experiment.outcomes() == {"done": FINISHED, "early": STOPPED, "infinite": DIVERGED}


def test_a_single_row_is_that_of_the_table(tmp_path: Path) -> None:
    experiment = Experiment(tmp_path)
    start(experiment, "done", EPOCH, RETRAIN).write_result(FINISHED, val_accuracy=70.0, bits=[4, 1])
    start(experiment, "running", EPOCH)
    start(experiment, "damaged")
    (tmp_path / "trials" / "damaged" / "point.json").write_text("{")
    table = experiment.table()
    for _, row in table.iterrows():
        single = experiment.trial(row["trial"]).row()
        assert list(single) == COLUMNS and single == experiment.row(row["trial"])
        for column in COLUMNS:
            assert single[column] == row[column] or (single[column] is None and pd.isna(row[column])), column
    assert experiment.row("nothing") is None
    assert experiment.trial("nothing").row()["status"] == UNFINISHED


def test_a_row_needs_one_file_once_there_is_an_outcome(tmp_path: Path) -> None:
    experiment = Experiment(tmp_path)
    trial = start(experiment, "a", EPOCH, RETRAIN)
    trial.write_result(FINISHED, val_accuracy=70.0, bits=[4, 1])
    before = experiment.table()
    for path in trial.path.iterdir():
        if path.name != "result.json":
            path.write_bytes(b"\xff{")
    assert experiment.table().equals(before)


def test_folders_of_an_earlier_version(tmp_path: Path) -> None:
    """Their result has the figures and the time only."""
    experiment = Experiment(tmp_path)
    trial = start(experiment, "old", EPOCH, RETRAIN)
    result = {"status": "finished", "val_accuracy": 70.0, "bits": [2], "written": "2026-01-02T05:04:05+0200"}
    (trial.path / "result.json").write_text(json.dumps(result))
    row = experiment.table().iloc[0]
    assert row["val_accuracy"] == 70.0 and row["p"] == 50.0 and row["seconds"] == 5.5 and row["bits"] == "2"
    assert row["retrain_epochs"] == 1 and row["ended_at"] == "2026-01-02T03:04:05+00:00"
    assert row["size_bits"] == row["model_size_bits"] == 800
    assert experiment.reference() is None


def test_an_outcome_is_not_replaced_from_outside(tmp_path: Path) -> None:
    for status in (FINISHED, STOPPED, DIVERGED):
        trial = start(Experiment(tmp_path), status)
        trial.write_result(status, reason="own")
        before = (trial.path / "result.json").read_bytes()
        for other in (STOPPED, FAILED):
            trial.write_result(other, reason="late")
        assert (trial.path / "result.json").read_bytes() == before and trial.has_outcome()
    trial = start(Experiment(tmp_path), "failed")
    trial.write_result(FAILED, reason="first")
    assert not trial.has_outcome()
    trial.write_result(STOPPED, reason="second")
    assert trial.read_result()["reason"] == "second" and trial.has_outcome()


def test_checkpoints_go_with_an_outcome_and_stay_after_a_failure(tmp_path: Path) -> None:
    trial = start(Experiment(tmp_path), "a", EPOCH)
    for name in ("search.pt", "retrain.pt", ".search.pt.k3js9", ".nfs0001", "other.pt"):
        (tmp_path / "trials" / "a" / name).touch()
    trial.write_result(FAILED, reason="node lost")
    assert (tmp_path / "trials" / "a" / "search.pt").exists()
    trial.write_result(STOPPED)
    left = {path.name for path in (tmp_path / "trials" / "a").iterdir()}
    assert left == {"point.json", "recipe.json", "metrics.jsonl", "result.json", ".nfs0001", "other.pt"}


def test_a_result_is_written_whatever_became_of_the_other_files(tmp_path: Path) -> None:
    trial = start(Experiment(tmp_path), "a", EPOCH)
    (tmp_path / "trials" / "a" / "metrics.jsonl").write_text("{")
    trial.write_result(FAILED, reason="metrics")
    row = Experiment(tmp_path).table().iloc[0]
    assert (row["status"], row["reason"], row["p"], row["seconds"]) == ("failed", "metrics", 50.0, 0.0)


@pytest.mark.parametrize("name", ["point.json", "metrics.jsonl", "result.json"])
@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff\xfe", b"null", b'{"seconds": "x", "p": []}'])
def test_a_damaged_file_costs_its_own_trial_only(tmp_path: Path, name: str, content: bytes) -> None:
    experiment = Experiment(tmp_path)
    for trial in ("good", "damaged"):
        start(experiment, trial, EPOCH, RETRAIN)
    start(experiment, "over", RETRAIN).write_result(FINISHED, val_accuracy=70.0)
    (tmp_path / "trials" / "damaged" / name).write_bytes(content)
    table = experiment.table().set_index("trial")
    if b"seconds" not in content:
        assert dict(table["status"]) == {"damaged": FAILED, "good": UNFINISHED, "over": FINISHED}
        assert f"{tmp_path}/trials/damaged/{name}" in table.loc["damaged", "reason"]
    assert table.loc["good", "val_accuracy"] == 61.0 and table.loc["over", "val_accuracy"] == 70.0
    assert not experiment.trial("damaged").has_outcome() and experiment.trial("over").has_outcome()
    assert set(experiment.outcomes()) == {"over"}
    assert {"good", "over"} <= set(experiment.records())


def test_a_text_in_the_place_of_a_number_costs_its_own_trial_only(tmp_path: Path) -> None:
    experiment = Experiment(tmp_path)
    for name, accuracy in (("a", 70.0), ("b", "70"), ("c", [1]), ("d", {}), ("e", 10**400)):
        start(experiment, name).write_result(FINISHED, val_accuracy=accuracy)
    table = experiment.table()
    assert list(table["status"]) == [FINISHED] + [FAILED] * 4
    assert table.loc[1, "reason"] == "val_accuracy: expected a number, got '70'; a damaged file"


@pytest.mark.parametrize("file", ["point.json", "metrics.jsonl", "result.json"])
def test_a_file_that_cannot_be_read_costs_its_own_trial_only(tmp_path: Path, file: str) -> None:
    experiment = Experiment(tmp_path)
    for name in ("bad", "good"):
        start(experiment, name, EPOCH)
    (tmp_path / "trials" / "bad" / file).unlink(missing_ok=True)
    (tmp_path / "trials" / "bad" / file).mkdir()
    table = experiment.table()
    assert list(table["status"]) == [FAILED, UNFINISHED] and "Is a directory" in table.loc[0, "reason"]


def test_histories_are_all_records_by_name(tmp_path: Path) -> None:
    experiment = Experiment(tmp_path)
    start(experiment, "new")
    start(experiment, "running", EPOCH, RETRAIN)
    start(experiment, "infinite", EPOCH).write_result(DIVERGED)
    start(experiment, "damaged", EPOCH)
    (tmp_path / "trials" / "damaged" / "metrics.jsonl").write_text("{")
    assert experiment.records() == {"running": [EPOCH, RETRAIN], "infinite": [EPOCH]}
    assert pickle.loads(pickle.dumps(experiment)) == experiment


def test_table_of_an_empty_experiment_has_all_columns(tmp_path: Path) -> None:
    experiment = Experiment(tmp_path / "nothing")
    assert list(experiment.table().columns) == list(COLUMNS)
    assert experiment.records() == {} and experiment.outcomes() == {}


WRITER = """
import sys, time
from pathlib import Path
from tune.storage.store import Experiment
experiment, end = Experiment(Path(sys.argv[1])), time.monotonic() + float(sys.argv[2])
while time.monotonic() < end:
    for name in sys.argv[3]:
        trial = experiment.trial(name)
        trial.clear_result()
        trial.write_start({"lambda1": 0.0, "lambda2": 0.0, "p": 50.0, "seed": 0}, {})
        records = []
        for epoch in (1, 2, 3):
            records.append({"phase": "search", "epoch": epoch, "val_accuracy": float(epoch), "seconds": 1.0})
            trial.write_records(records)
        trial.write_result("finished", val_accuracy=3.0, epoch=3)
"""


def test_readers_see_whole_files_while_others_write(tmp_path: Path) -> None:
    experiment = Experiment(tmp_path)
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), "2", names]) for names in ("ab", "cd")]
    tables, seen = 0, set()
    while any(writer.poll() is None for writer in writers):
        table = experiment.table()
        tables += 1
        seen |= set(table["status"])
        known = table.dropna(subset=["epoch"])
        assert not (table["status"] == FAILED).any(), list(table["reason"])
        assert (known["epoch"] == known["val_accuracy"]).all() and (known["epoch"] == known["search_epochs"]).all()
        assert all(len(records) in (1, 2, 3) for records in experiment.records().values())
        time.sleep(0.001)
    assert tables > 20 and seen == {FINISHED, UNFINISHED}
    assert [writer.returncode for writer in writers] == [0, 0]


def test_measured_ranges_stay_and_damaged_ones_are_named(tmp_path: Path) -> None:
    experiment, ranges = Experiment(tmp_path), ((1e-9, 1e-6), (1e-12, 1e-9))
    assert experiment.measured() is None
    experiment.open({"dataset": "digits"}, measured=ranges)
    experiment.open({"dataset": "digits"}, measured=((1.0, 2.0), (3.0, 4.0)))
    assert experiment.measured() == ranges
    (tmp_path / "experiment.json").write_text('{"recipe": {}, "measured_lambda_ranges": [1]}')
    with pytest.raises(InputError, match="measured_lambda_ranges"):
        experiment.measured()


def test_how_many_trials_there_are_to_be_is_what_the_last_run_said(tmp_path: Path) -> None:
    experiment = Experiment(tmp_path)
    experiment.open({"dataset": "digits"})  # as an earlier version did
    assert experiment.planned() == 0
    for planned in (36, 40):
        experiment.open({"dataset": "digits"}, planned=planned)
        assert experiment.planned() == planned


def test_another_recipe_under_the_same_name_is_refused_with_every_difference(tmp_path: Path) -> None:
    experiment = Experiment(tmp_path / "name")
    experiment.check({"nodes": 2})
    experiment.open({"nodes": 2, "widths": [1], "tau": 0.2})
    experiment.check({"nodes": 2, "widths": [1], "tau": 0.2})
    with pytest.raises(InputError) as caught:
        experiment.check({"nodes": 3, "widths": [1], "new": True})
    assert "another nodes: there 2, here 3; new: there None, here True; tau: there 0.2, here None;" in str(caught.value)
    assert experiment.recipe() == {"nodes": 2, "widths": [1], "tau": 0.2}


def test_an_experiment_from_before_a_field_had_its_default(tmp_path: Path) -> None:
    experiment = Experiment(tmp_path / "name")
    experiment.open({"nodes": 2})
    experiment.check({"nodes": 2, "precision": "fp32"})
    with pytest.raises(InputError, match="precision: there 'fp32', here 'bf16'"):
        experiment.check({"nodes": 2, "precision": "bf16"})


def test_the_reference_is_kept_beside_the_recipe(tmp_path: Path) -> None:
    experiment = Experiment(tmp_path / "name")
    first = Reference(accuracy=10, size_bits=5, bit_synops=7)
    experiment.open({"nodes": 2})  # as an earlier version did
    experiment.open({"nodes": 2}, first)
    assert experiment.reference() == first
    before = (tmp_path / "name" / "experiment.json").stat()
    experiment.open({"nodes": 2}, Reference(accuracy=1, size_bits=1, bit_synops=1))
    assert experiment.reference() == first
    assert (tmp_path / "name" / "experiment.json").stat().st_ino == before.st_ino  # not written again
    for damaged in ({"accuracy": 1}, {"accuracy": "x", "model_size_bits": 1, "bit_synops": 1}, 3):
        (tmp_path / "name" / "experiment.json").write_text(json.dumps({"recipe": {}, "reference": damaged}))
        with pytest.raises(InputError, match="reference|accuracy"):
            experiment.reference()


def test_check_writes_nothing(tmp_path: Path) -> None:
    Experiment(tmp_path / "deep" / "name").check({})
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="storage: expected a folder"):
        Experiment(tmp_path / "file" / "name").check({})


def test_paths(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert storage_path("storage", "~/x") == tmp_path / "x"
    monkeypatch.chdir(tmp_path)
    assert storage_path("storage", "a/b") == tmp_path / "a" / "b"
    remote = storage_path("storage", "S3://bucket/a/b/")
    assert isinstance(remote, UPath) and str(remote) == "s3://bucket/a/b" and remote.path == "bucket/a/b"
    assert str(remote / "c") == "s3://bucket/a/b/c"
    for text in ("ftp://host/x", "s3://", "s3:///x", "file:///tmp/x"):
        with pytest.raises(InputError, match=r"storage: expected a local path or s3://BUCKET/FOLDER, got '"):
            storage_path("storage", text)


def test_a_store_that_does_not_answer_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    started = time.monotonic()
    with pytest.raises(InputError, match=r"^storage: expected a bucket that can be reached, got s3://b/x \(Could not"):
        check_path("storage", storage_path("storage", "s3://b/x"))
    assert time.monotonic() - started < 10
