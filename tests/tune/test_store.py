"""Tables are a function of the files, whatever state the trials are in."""

import json
from pathlib import Path

import pytest

from litesnn.checks import InputError
from tune.store import COLUMNS, Experiment

POINT = {"lambda1": 0.0, "lambda2": 0.0, "p": 50.0, "seed": 0}
EPOCH = {"phase": "search", "epoch": 1, "epochs": 2, "val_accuracy": 50.0, "seconds": 1.5, "model_size_bits": 800}


def test_table_of_trials_in_every_state(tmp_path: Path) -> None:
    experiment = Experiment(tmp_path)
    for name in ("done", "broken", "new"):
        experiment.trial(name).write_start(POINT, {})
    experiment.trial("done").write_metrics([EPOCH, {**EPOCH, "epoch": 2, "val_accuracy": 60.0}])
    experiment.trial("done").write_result("finished", val_accuracy=70.0, bits=[4, 1])
    experiment.trial("broken").write_metrics([EPOCH])
    experiment.trial("broken").write_result("failed", reason="out of memory")
    table = experiment.table().set_index("trial")
    assert dict(table["status"]) == {"broken": "failed", "done": "finished", "new": "unfinished"}
    assert table.loc["done", "val_accuracy"] == 70.0 and table.loc["done", "seconds"] == 3.0
    assert table.loc["done", "bits"] == "4 1"
    assert table.loc["broken", "reason"] == "out of memory" and table.loc["broken", "epoch"] == 1


@pytest.mark.parametrize("name", ["point.json", "metrics.jsonl", "result.json"])
@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff\xfe", b"null"])
def test_a_damaged_file_costs_its_own_trial_only(tmp_path: Path, name: str, content: bytes) -> None:
    experiment = Experiment(tmp_path)
    for trial in ("good", "damaged"):
        experiment.trial(trial).write_start(POINT, {})
        experiment.trial(trial).write_metrics([EPOCH])
        experiment.trial(trial).write_result("finished", val_accuracy=70.0)
    (tmp_path / "trials" / "damaged" / name).write_bytes(content)
    table = experiment.table().set_index("trial")
    assert dict(table["status"]) == {"damaged": "failed", "good": "finished"}
    assert str(tmp_path / "trials" / "damaged" / name) in table.loc["damaged", "reason"]
    assert experiment.trial("good").has_outcome()
    assert experiment.trial("damaged").has_outcome() == (name != "result.json")


def test_table_of_an_empty_experiment_has_all_columns(tmp_path: Path) -> None:
    assert list(Experiment(tmp_path).table().columns) == list(COLUMNS)


def test_csv_gives_sizes_in_usual_units_too(tmp_path: Path) -> None:
    experiment = Experiment(tmp_path)
    experiment.trial("a").write_start(POINT, {})
    experiment.trial("a").write_result("finished", model_size_bits=8_000_000, bit_synops=2.5e6)
    path = experiment.write_csv("trials.csv", experiment.table())
    header, line = path.read_text().splitlines()
    row = dict(zip(header.split(","), line.split(","), strict=True))
    assert float(row["model_size_mb"]) == 1.0 and float(row["bit_synops_m"]) == 2.5


def test_another_recipe_under_the_same_name_is_refused_with_the_difference(tmp_path: Path) -> None:
    experiment = Experiment(tmp_path / "name")
    experiment.check({"nodes": 2})
    experiment.open({"nodes": 2})
    experiment.check({"nodes": 2})
    with pytest.raises(InputError, match="another nodes: there 2, here 3"):
        experiment.check({"nodes": 3})
    assert json.loads((tmp_path / "name" / "experiment.json").read_text()) == {"recipe": {"nodes": 2}}


def test_check_writes_nothing(tmp_path: Path) -> None:
    Experiment(tmp_path / "deep" / "name").check({})
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="storage: expected a folder"):
        Experiment(tmp_path / "file" / "name").check({})
