"""What there is to know of one experiment, as plain values that JSON can hold: the page draws from nothing else."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import pandas as pd

from litesnn.checks import InputError
from litesnn.config import Recipe
from tune.results.amounts import labels
from tune.results.compare import Comparison, compare
from tune.results.front import front, hypervolume, on_front
from tune.results.intervals import half_width
from tune.results.seeds import points, shown_front
from tune.results.summary import count_states, hypervolume_curve, states_text, summarise
from tune.storage.objectives import BIT_SYNOPS, EQ18, SIZE, Reference
from tune.storage.rows import COLUMNS


def experiment_answer(
    name: str,
    table: pd.DataFrame,
    recipe: Mapping[str, Any] | None,
    reference: Reference | None,
    *,
    planned: int = 0,
    version: str = "",
    error: str | None = None,
    hidden: str = "",
    compared: bool = True,
) -> dict[str, Any]:
    """One experiment with all its trials.

    Args:
        name: of the experiment.
        table: of ``tune.storage.store``, or of a merge, whose trials are then named after their experiments too.
        recipe: None where it cannot be read.
        reference: of the hypervolume; None likewise.
        planned: how many trials there are to be.
        version: another one for another state of the files.
        error: what is damaged.
        hidden: a path that reasons of trials are not to tell.
        compared: whether published networks are to be held against the front.

    Returns:
        The fields of ``tune.views.dashboard.answers.Experiment``.
    """
    known = None if recipe is None else _known(recipe)
    if recipe is not None and "retrain_channels" in recipe:
        table = table.fillna({"channels": recipe["retrain_channels"]})
    table = table.assign(row=range(len(table)))
    chosen = front(table)
    names = labels(table)
    summary = None
    if known is not None and reference is not None:
        summary = summarise(table, shown_front(table), reference, known, planned)
    return {
        "name": name,
        "version": version,
        "recipe": recipe,
        "reference": None if reference is None else asdict(reference),
        "hypervolume": None if reference is None else hypervolume(table, reference),
        "summary": [states_text(count_states(table))] if summary is None else summary.sentences(),
        "progress": [] if reference is None else _progress(table, reference, names),
        "points": _records(points(table).drop(columns="status")),
        "comparison": _comparison(compare(chosen, known)) if compared and known is not None else None,
        "trials": _trials(table, chosen, names, hidden),
        "error": error,
    }


def listed(answer: Mapping[str, Any]) -> dict[str, Any]:
    """The experiment's entry in the list of all."""
    states = Counter(row["status"] or "unknown" for row in answer["trials"])
    return {"name": answer["name"], "version": answer["version"], "states": states, "error": answer["error"]}


def _known(recipe: Mapping[str, Any]) -> Recipe | None:
    try:
        return Recipe.from_dict(recipe)
    except (InputError, TypeError):  # of another version
        return None


def _trials(table: pd.DataFrame, chosen: pd.DataFrame, names: list[str], hidden: str) -> list[dict[str, Any]]:
    """The table row by row, with the fronts and how sure a network's place on them is."""
    shown = table[COLUMNS].assign(
        trial=names,
        reason=[text.replace(hidden, "") if isinstance(text, str) and hidden else text for text in table["reason"]],
        on_front=on_front(table, [SIZE, BIT_SYNOPS]),
        on_size_front=on_front(table, [SIZE]),
        on_bit_synops_front=on_front(table, [BIT_SYNOPS]),
        val_interval=half_width(table),
        ties_with=table["row"].map(dict(zip(chosen["row"], chosen["ties_with"], strict=True))),
    )
    return _records(shown)


def _progress(table: pd.DataFrame, reference: Reference, names: list[str]) -> list[dict[str, Any]]:
    """The first and the last point of the curve and all steps between."""
    curve = hypervolume_curve(table, reference)
    steps = curve["hypervolume"].diff().fillna(1) != 0
    curve = curve[steps | (curve.index == len(curve) - 1)]
    return _records(curve.assign(trial=[names[row] for row in curve["row"]]).drop(columns="row"))


def _comparison(found: Comparison) -> dict[str, Any]:
    table = found.table
    if table.empty:
        return {"sentence": found.sentence(), "networks": []}
    columns = ["method", "accuracy", EQ18, BIT_SYNOPS, "source", "relation"]
    ours = [f"our_{column}" for column in ("accuracy", EQ18, BIT_SYNOPS)]
    shown = table[columns + ours].assign(own=found.own, ours=labels(table))
    return {"sentence": found.sentence(), "networks": _records(shown)}


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Row by row in plain values; what is no number is None."""
    columns = {str(name): [_plain(value) for value in table[name].tolist()] for name in table}
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
