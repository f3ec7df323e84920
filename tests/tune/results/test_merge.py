"""Experiments as one table: what is compared must be comparable."""

from pathlib import Path

import pytest

from litesnn.checks import InputError
from litesnn.config import Recipe
from tune.results.front import front
from tune.results.merge import merge, recipe_differences
from tune.results.summary import summarise
from tune.storage.objectives import Reference
from tune.storage.store import COLUMNS, Experiment

RECIPE = {
    "dataset": "digits",
    "classes": 10,
    "val_fraction": 0.2,
    "split_seed": 0,
    "search_epochs": 8,
    "retrain_epochs": 15,
}


def experiment(path: Path, accuracy: float | None, **changes: object) -> Experiment:
    created = Experiment(path)
    created.open({**RECIPE, **changes})
    if accuracy is not None:
        trial = created.trial("same")
        trial.write_start({"lambda1": 0.0, "lambda2": 0.0, "p": 50.0, "seed": 0}, {})
        trial.write_result("finished", val_accuracy=accuracy, model_size_bits=100, bit_synops=1.0)
    return created


def test_one_table_with_the_experiment_of_each_trial(tmp_path: Path) -> None:
    a, b = experiment(tmp_path / "a", 90.0), experiment(tmp_path / "b", 95.0, search_epochs=2)
    empty = experiment(tmp_path / "c", None)
    table = merge([a, b, empty])
    assert list(table.columns) == ["experiment", *COLUMNS, "whole_epochs"] and list(table["experiment"]) == ["a", "b"]
    assert list(table["val_accuracy"]) == [90.0, 95.0] and table["seed"].dtype == "int64"
    assert list(front(table)["experiment"]) == ["b"]
    assert recipe_differences([a, b, empty]) == {"search_epochs": {"a": 8, "b": 2, "c": 8}}
    fixed = experiment(tmp_path / "d", 96.0, strategy="fixed")
    assert list(merge([b, fixed])["whole_epochs"]) == [2 + RECIPE["retrain_epochs"], RECIPE["retrain_epochs"]]
    assert list(merge([empty]).columns) == ["experiment", *COLUMNS, "whole_epochs"]


@pytest.mark.parametrize(("known", "expected"), [(True, [800, 900]), (False, [100, 100])])
def test_sizes_of_two_kinds_become_one_axis(tmp_path: Path, known: bool, expected: list[int]) -> None:
    """Files where all are known, else what the paper counts."""
    pair = experiment(tmp_path / "a", None, size="file"), experiment(tmp_path / "b", None)
    for one, bits, meant in zip(pair, (800, 900), (800, 100), strict=True):
        trial = one.trial("trial")
        trial.write_start({"lambda1": 0.0, "lambda2": 0.0, "p": 0.0, "seed": 0}, {})
        sizes = {"model_size_bits": 100, "size_bits": meant, "file_bits": bits if known or bits == 800 else None}
        trial.write_result("finished", val_accuracy=90.0, bit_synops=1.0, **sizes)
    assert list(merge([pair[0]])["size_bits"]) == [800] and list(merge([pair[1]])["size_bits"]) == [100]
    assert list(merge(pair)["size_bits"]) == expected


def test_names_that_recur_are_told_apart(tmp_path: Path) -> None:
    pair = [experiment(tmp_path / "x" / "a", 90.0), experiment(tmp_path / "y" / "a", 95.0)]
    assert list(merge(pair)["experiment"]) == [str(tmp_path / "x" / "a"), str(tmp_path / "y" / "a")]


@pytest.mark.parametrize(
    ("field", "value"), [("dataset", "cifar10"), ("classes", 2), ("val_fraction", 0.1), ("split_seed", 1)]
)
def test_other_data_are_refused_with_the_difference(tmp_path: Path, field: str, value: object) -> None:
    pair = [experiment(tmp_path / "a", 90.0), experiment(tmp_path / "b", 95.0, **{field: value})]
    with pytest.raises(InputError) as caught:
        merge(pair)
    assert str(caught.value) == (
        f"merge: expected experiments of the same {field}, got {RECIPE[field]!r} in a, {value!r} in b"
    )


def test_nothing_twice_and_no_experiment_are_refused(tmp_path: Path) -> None:
    a = experiment(tmp_path / "a", 90.0)
    with pytest.raises(InputError, match="at least one"):
        merge([])
    with pytest.raises(InputError, match="more than once"):
        merge([a, Experiment(tmp_path / "a")])
    with pytest.raises(InputError, match=r"expected an experiment with its recipe in .*/none, got none"):
        merge([a, Experiment(tmp_path / "none")])


def test_epochs_saved_follow_each_trials_own_recipe(tmp_path: Path) -> None:
    short = experiment(tmp_path / "short", None)
    long = experiment(tmp_path / "long", None, search_epochs=100)
    for one in (short, long):
        trial = one.trial("t")
        trial.write_start({"lambda1": 0.0, "lambda2": 0.0, "p": 50.0, "seed": 0}, {})
        epoch = {"phase": "search", "epoch": 4, "epochs": 8, "val_accuracy": 50.0, "seconds": 1.0}
        trial.write_records([{**epoch, "epoch": n, "model_size_bits": 9, "bit_synops": 9.0} for n in (1, 2, 3, 4)])
        trial.write_result("stopped", reason="rank 2 of 2")
    for order in ([short, long], [long, short]):
        table = merge(order)
        summary = summarise(
            table, front(table), Reference(accuracy=10, size_bits=1e6, bit_synops=1e9), Recipe.preset("digits")
        )
        assert summary.epochs_saved == (8 + 15 - 4) + (100 + 15 - 4)
