"""Several experiments as one table, where their accuracies can be compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pandas as pd

from litesnn.checks import InputError
from litesnn.config import Recipe
from tune.storage.objectives import EQ18, FILE, SIZE
from tune.storage.store import COLUMNS, FINISHED, Experiment

COMPARABLE = ("dataset", "classes", "val_fraction", "test_fraction", "split_seed")
"""Fields of the recipe that must agree: otherwise accuracies are those of different questions."""


def merge(experiments: Sequence[Experiment]) -> pd.DataFrame:
    """The trials of all experiments, with a first column ``experiment`` that says which one they are of.

    A last column ``whole_epochs`` has the epochs of a trial that is not stopped: recipes may differ in that.

    Raises:
        InputError: none is given, one twice, a place without an experiment, or data set, classes or validation split
            differ.
    """
    labels = names(experiments)
    for field, values in _differences(experiments, labels).items():
        if field in COMPARABLE:
            found = ", ".join(f"{value!r} in {label}" for label, value in values.items())
            raise InputError(f"merge: expected experiments of the same {field}, got {found}")
    tables = []
    for label, experiment in zip(labels, experiments, strict=True):
        table = experiment.table()
        if len(table):  # an empty table has no types to agree on
            table.insert(0, "experiment", label)
            recipe = experiment.recipe()
            if "retrain_channels" in recipe:
                table = table.fillna({"channels": recipe["retrain_channels"]})
            searches = recipe.get("strategy", Recipe().strategy) == "darts"
            table["whole_epochs"] = recipe["search_epochs"] * searches + recipe["retrain_epochs"]
            tables.append(table)
    if not tables:
        return pd.DataFrame(columns=["experiment", *COLUMNS, "whole_epochs"])
    merged = pd.concat(tables, ignore_index=True)
    if len({experiment.recipe().get("size", Recipe().size) for experiment in experiments}) > 1:
        known = merged.loc[merged["status"] == FINISHED, FILE].notna().all()
        merged[SIZE] = merged[FILE if known else EQ18]  # one axis for all: what everybody has
    return merged


def recipe_differences(experiments: Sequence[Experiment]) -> dict[str, dict[str, Any]]:
    """Where the recipes differ: field to the value in each experiment, by its name; to be shown beside a merge.

    Raises:
        InputError: as ``merge``, except that any difference is allowed.
    """
    return _differences(experiments, names(experiments))


def names(experiments: Sequence[Experiment]) -> list[str]:
    """What each experiment is called in a merge: its folder's name, or the whole path where names recur.

    Raises:
        InputError: none is given, or one twice.
    """
    if not experiments:
        raise InputError("merge: expected at least one experiment, got none")
    paths = [str(experiment.path) for experiment in experiments]
    twice = [path for path, count in Counter(paths).items() if count > 1]
    if twice:
        raise InputError(f"merge: expected different experiments, got {twice[0]} more than once")
    count = Counter(experiment.path.name for experiment in experiments)
    return [path if count[e.path.name] > 1 else e.path.name for path, e in zip(paths, experiments, strict=True)]


def _differences(experiments: Sequence[Experiment], labels: Sequence[str]) -> dict[str, dict[str, Any]]:
    # A field that was added later had its default before.
    later = Recipe().to_dict()
    recipes = {label: later | experiment.recipe() for label, experiment in zip(labels, experiments, strict=True)}
    fields = list(dict.fromkeys(field for recipe in recipes.values() for field in recipe))
    values = {field: {label: recipe.get(field) for label, recipe in recipes.items()} for field in fields}
    return {field: of for field, of in values.items() if any(v != of[labels[0]] for v in of.values())}
