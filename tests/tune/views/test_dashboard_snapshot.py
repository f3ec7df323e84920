"""The dashboard's view of the disk: the same table as everywhere else, and no more files read than have changed."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from litesnn.checks import InputError
from tune.results.front import hypervolume, on_front
from tune.storage.objectives import BIT_SYNOPS, SIZE, Reference
from tune.storage.store import COLUMNS, FINISHED, STOPPED, Experiment
from tune.views.dashboard.snapshot import Snapshot

POINT = {"lambda1": 0.0, "lambda2": 0.5, "p": 50.0, "seed": 0}
EPOCH = {"phase": "search", "epoch": 1, "epochs": 2, "val_accuracy": 50.0, "seconds": 1.5, "model_size_bits": 800}
RECIPE = {"dataset": "digits", "nodes": 2}


def add(experiment: Experiment, name: str, accuracy: float, size: int, synops: float) -> None:
    trial = experiment.trial(name)
    trial.write_start(POINT, RECIPE)
    trial.write_records([EPOCH])
    trial.write_result(FINISHED, val_accuracy=accuracy, model_size_bits=size, bit_synops=synops, bits=[2, 1])


@pytest.fixture
def experiment(tmp_path: Path) -> Experiment:
    experiment = Experiment(tmp_path / "digits")
    experiment.open(RECIPE, Reference(accuracy=10, size_bits=1e6, bit_synops=1e6))
    add(experiment, "a", 90, 1000, 5000)
    add(experiment, "b", 80, 2000, 100)
    add(experiment, "c", 70, 3000, 6000)
    running = experiment.trial("d")
    running.write_start(POINT, RECIPE)
    running.write_records([EPOCH])
    return experiment


def trials(snapshot: Snapshot) -> dict[str, dict[str, Any]]:
    shown = snapshot.experiment("digits")
    assert shown is not None
    return {row["trial"]: row for row in shown["trials"]}


def test_shows_the_table_with_its_fronts(experiment: Experiment, tmp_path: Path) -> None:
    snapshot = Snapshot(tmp_path)
    shown = snapshot.experiment("digits")
    assert shown is not None and json.loads(json.dumps(shown, allow_nan=False)) == shown
    table = experiment.table()
    for row, (_, expected) in zip(shown["trials"], table.iterrows(), strict=True):
        assert list(row)[: len(COLUMNS)] == COLUMNS
        for column in COLUMNS:
            assert row[column] == expected[column] or (row[column] is None and expected.isna()[column]), column
    for flag, smaller in (
        ("on_size_front", [SIZE]),
        ("on_bit_synops_front", [BIT_SYNOPS]),
        ("on_front", [SIZE, BIT_SYNOPS]),
    ):
        assert [row[flag] for row in shown["trials"]] == on_front(table, smaller).tolist()
    assert [row["on_front"] for row in shown["trials"]] == [True, True, False, False]
    assert shown["recipe"] == RECIPE and shown["error"] is None
    assert shown["hypervolume"] == hypervolume(table, Reference(**shown["reference"])) > 0


def test_only_changed_trials_are_read_again(experiment: Experiment, tmp_path: Path) -> None:
    snapshot = Snapshot(tmp_path)
    first = snapshot.experiment("digits")
    assert snapshot.trials_read == 4
    assert snapshot.experiment("digits") is first and snapshot.trials_read == 4

    experiment.trial("d").write_records([EPOCH, {**EPOCH, "epoch": 2, "val_accuracy": 55.0}])
    assert trials(snapshot)["d"]["val_accuracy"] == 55.0 and snapshot.trials_read == 5
    experiment.trial("d").write_result(STOPPED, reason="rung 1: 3rd of 4")
    assert trials(snapshot)["d"]["reason"] == "rung 1: 3rd of 4" and snapshot.trials_read == 6
    add(experiment, "e", 95, 500, 50)
    assert [t for t, row in trials(snapshot).items() if row["on_front"]] == ["e"] and snapshot.trials_read == 7

    before = snapshot.versions()["digits"]
    experiment.trial("a").genotype.write_text("{}")  # the panel shows it, the table does not
    assert snapshot.versions()["digits"] != before and snapshot.trials_read == 7

    for file in experiment.trial("e").path.iterdir():
        file.unlink()
    experiment.trial("e").path.rmdir()
    assert "e" not in trials(snapshot) and snapshot.versions()["digits"] != before


def test_versions_tell_experiments_apart(experiment: Experiment, tmp_path: Path) -> None:
    Experiment(tmp_path / "other").open(RECIPE)
    snapshot = Snapshot(tmp_path)
    before = snapshot.versions()
    assert sorted(before) == ["digits", "other"] and before == snapshot.versions()
    add(Experiment(tmp_path / "other"), "a", 90, 1000, 5000)
    after = snapshot.versions()
    assert after["digits"] == before["digits"] and after["other"] != before["other"]


def test_damage_is_named_and_hides_nothing_else(experiment: Experiment, tmp_path: Path) -> None:
    (experiment.path / "trials" / "c" / "result.json").write_text("{")
    shown = trials(Snapshot(tmp_path))
    assert shown["c"]["status"] == "failed" and "result.json" in shown["c"]["reason"]
    assert str(tmp_path) not in shown["c"]["reason"] and shown["a"]["status"] == "finished"
    (experiment.path / "experiment.json").write_text("{")
    damaged = Snapshot(tmp_path).experiment("digits")
    assert damaged is not None and "damaged" in damaged["error"] and str(tmp_path) not in damaged["error"]
    assert damaged["recipe"] is None and len(damaged["trials"]) == 4
    assert damaged["summary"] == ["4 trials: 2 finished, 1 failed, 1 unfinished"]


@pytest.mark.parametrize("name", ["", ".", "..", "../digits", "digits/", "digits/trials", "/", "stray", "none", "\0"])
def test_only_listed_names_reach_the_disk(experiment: Experiment, tmp_path: Path, name: str) -> None:
    (tmp_path / "stray").mkdir()
    snapshot = Snapshot(tmp_path)
    assert snapshot.names() == ["digits"]
    assert snapshot.experiment(name) is None
    assert snapshot.folder(name, "a") is None and snapshot.folder("digits", name) is None
    assert snapshot.folder("digits", "a") == experiment.path / "trials" / "a"


def test_links_out_of_the_storage_and_what_is_no_file_are_not_read(experiment: Experiment, tmp_path: Path) -> None:
    outside = tmp_path.parent / f"{tmp_path.name}-outside"
    other = Experiment(outside)
    other.open({"dataset": "secret"})
    add(other, "x", 99, 1, 1)
    trials_path = experiment.path / "trials"
    (tmp_path / "other").symlink_to(outside)
    (tmp_path / "again").symlink_to(experiment.path)  # stays in the storage
    (trials_path / "x").symlink_to(outside / "trials" / "x")
    (trials_path / "a" / "notes.txt").symlink_to(outside / "experiment.json")
    os.mkfifo(trials_path / "d" / "result.json")  # reading it would wait for ever
    with (trials_path / "b" / "notes.txt").open("w") as file:
        file.truncate(2**40)
    snapshot = Snapshot(tmp_path)
    shown = snapshot.experiment("digits")
    assert snapshot.names() == ["again", "digits"] and shown is not None
    assert [row["trial"] for row in shown["trials"]] == ["c"]
    assert shown["error"] == "a/notes.txt: expected a file in the storage, got a link out of it; and 2 more like this"
    assert [name for name in "abcdx" if snapshot.folder("digits", name)] == ["c"]
    (trials_path / "a" / "notes.txt").unlink()
    (trials_path / "c" / "genotype.json").symlink_to(outside / "experiment.json")
    assert sorted(trials(snapshot)) == ["a"] and snapshot.folder("digits", "c") is None
    shutil.rmtree(trials_path)
    trials_path.symlink_to(outside / "trials")
    assert trials(snapshot) == {} and "link out of it" in (snapshot.experiment("digits") or {})["error"]


def test_answers_may_be_as_old_as_allowed(experiment: Experiment, tmp_path: Path) -> None:
    snapshot = Snapshot(tmp_path, max_age=3600)
    before = snapshot.versions()
    add(experiment, "e", 95, 500, 50)
    for _ in range(5):
        assert len(trials(snapshot)) == 4 and snapshot.versions() == before and snapshot.names() == ["digits"]
    assert snapshot.looks == 1
    assert snapshot.versions(anew=True) != before and len(trials(snapshot)) == 5 and snapshot.looks == 2


def test_an_empty_or_missing_storage(tmp_path: Path) -> None:
    assert Snapshot(tmp_path).names() == [] and Snapshot(tmp_path).versions() == {}
    snapshot = Snapshot(tmp_path / "later")
    assert snapshot.names() == [] and snapshot.error is None
    add(Experiment(tmp_path / "later" / "digits"), "a", 90, 1000, 5000)
    Experiment(tmp_path / "later" / "digits").open(RECIPE)
    assert snapshot.names() == ["digits"] and list(trials(snapshot)) == ["a"]
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"^storage: expected a folder .*file \(Not a directory\)$"):
        Snapshot(tmp_path / "file")
