"""Everything that an experiment leaves for people and programs to read: tables, picture and page."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict
from typing import Any

import pandas as pd
from rich.table import Table

from litesnn.config import Recipe
from tune.results.amounts import BITS_PER_MB, count_unit, digits, label, labels, size_unit
from tune.results.compare import Comparison
from tune.results.front import front
from tune.results.seeds import SURE, UNSURE, points, shown_front
from tune.results.summary import Summary, summarise
from tune.storage.objectives import ACCURACY, BIT_SYNOPS, DENSE, EQ18, FILE, Reference
from tune.storage.paths import StoragePath, write_bytes
from tune.storage.rows import NUMBERS
from tune.storage.store import Experiment
from tune.views.page.details import details
from tune.views.page.experiment import experiment_answer
from tune.views.page.one_file import render_page

MOST_DETAILS = 100
"""Trials of an experiment up to which its page has the cells and learning curves of all of them."""
_AT_ONCE = 8

_UNITS = {  # of front.json's keys, where the column's own name does not say it
    ACCURACY: "val_accuracy_percent",
    "test_accuracy": "test_accuracy_percent",
    "p": "p_percent",
    "seconds": "total_seconds",
}


def write_report(
    experiment: Experiment,
    trials: pd.DataFrame,
    reference: Reference,
    recipe: Recipe,
    sources: Mapping[str, Experiment] | None = None,
    comparison: Comparison | None = None,
) -> dict[str, Any]:
    """Writes trials and front as CSV and Parquet, front.json, front.png and report.html into the experiment's folder.

    Where a point has several finished seeds, points.csv and points.parquet too, and the picture shows points.

    Args:
        experiment: where the files go; also where the trials' folders lie.
        trials: its table, of any length.
        reference: reference point of the hypervolume.
        recipe: of the experiment.
        sources: of a merge, by the names in its column ``experiment``: where the trials' folders lie.
        comparison: of the front with published networks, drawn and written as comparison.csv if there are any.

    Returns:
        The files' paths by name.

    Raises:
        InputError: the place cannot be written.
    """
    from tune.views.plot import draw_fronts  # matplotlib, which whoever only prints a front need not wait for

    trials = complete(trials).fillna({"channels": recipe.retrain_channels})
    chosen = front(trials)
    owners = [experiment] * len(trials) if sources is None else [sources[name] for name in trials["experiment"]]
    folders = {
        name: owner.trial(trial).path
        for name, owner, trial in zip(labels(trials), owners, trials["trial"], strict=True)
    }
    grouped = points(trials)
    summary = summarise(trials, shown_front(trials), reference, recipe)
    name = experiment.path.name
    shown = {"trials": with_units(trials), "front": with_units(chosen)}
    if len(grouped):
        named = grouped.assign(trials=grouped["trials"].map("; ".join)).drop(columns="status")
        shown["points"] = with_units(named)
    contents: dict[str, bytes] = {}
    for key, table in shown.items():
        contents[f"{key}.csv"] = table.to_csv(index=False).encode()
        contents[f"{key}.parquet"] = _parquet(table)
    contents["front.json"] = (json.dumps(_front_json(name, shown, summary), indent=2) + "\n").encode()
    contents["front.png"] = draw_fronts(grouped if len(grouped) else trials, _title(name, summary), comparison)
    answer = experiment_answer(
        name,
        trials,
        recipe.without_folders().to_dict(),
        reference,
        hidden=f"{experiment.path.parent}/",
        compared=comparison is not None,
    )
    page = render_page(answer, _details(folders, answer))
    contents["report.html"] = page.encode("utf-8", errors="replace")
    if comparison is not None and len(comparison.table):
        contents["comparison.csv"] = comparison.to_csv().encode()
    paths: dict[str, StoragePath] = {file: experiment.path / file for file in contents}
    for file, content in contents.items():
        write_bytes(paths[file], content)
    for file in ("comparison.csv", "points.csv", "points.parquet"):
        if file not in contents:
            with suppress(OSError):  # that of an earlier report is of another front
                (experiment.path / file).unlink(missing_ok=True)
    return paths


def _title(name: str, summary: Summary) -> str:
    kind = "point" if summary.of_points else "network"
    sure = f", {summary.sure} of them for sure" if summary.of_points else ""
    return f"{name}: {summary.front} {kind}{'s' * (summary.front != 1)} on the front{sure}"


def complete(trials: pd.DataFrame) -> pd.DataFrame:
    """The table with numbers in all columns of numbers, NaN where there is none, also where nothing has any."""
    trials = trials.reset_index(drop=True)
    for column in ("ended_at", *NUMBERS):
        if column not in trials:
            trials[column] = None
    return trials.assign(**{column: pd.to_numeric(trials[column]) for column in NUMBERS})


def _details(folders: Mapping[str, StoragePath], answer: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What the page shows of one network beyond its row: of all trials where they are few, else of the front's."""
    few = len(answer["trials"]) <= MOST_DETAILS
    opened = {point["trials"][0] for point in answer["points"] if point["front"] in (SURE, UNSURE)}
    names = [row["trial"] for row in answer["trials"] if few or row["on_front"] or row["trial"] in opened]
    with ThreadPoolExecutor(_AT_ONCE) as pool:  # a bucket answers in its own time
        found = pool.map(lambda name: details(folders[name], f"{answer['name']}/{name}", None), names)
        return dict(zip(names, found, strict=True))


def with_units(table: pd.DataFrame) -> pd.DataFrame:
    """The table with sizes in MB and Bit-SynOps in M beside the exact counts."""
    shown = table.copy()
    for column, name, unit in ((EQ18, "model_size_mb", BITS_PER_MB), (BIT_SYNOPS, "bit_synops_m", 1e6)):
        shown.insert(list(shown.columns).index(column), name, table[column].astype(float) / unit)
    return shown


def _parquet(table: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    table.to_parquet(buffer, engine="pyarrow", index=False)
    return buffer.getvalue()


def _front_json(name: str, shown: Mapping[str, pd.DataFrame], summary: Summary) -> dict[str, Any]:
    """The front as records, points likewise if there are any, and what the summary says; NaN, which JSON lacks, is null."""
    records = {}
    for key in ("front", "points"):
        if key in shown:
            rows = shown[key].rename(columns=_UNITS).to_dict("records")
            records[key] = [{str(k): None if pd.isna(value) else value for k, value in row.items()} for row in rows]
    reference = asdict(summary.reference)
    return {
        "experiment": name,
        "reference": {
            _UNITS.get(key, "accuracy_percent" if key == "accuracy" else key): v for key, v in reference.items()
        },
        "hypervolume": summary.hypervolume,
        "trials_by_state": dict(summary.states),
        "epochs_spent": summary.epochs_spent,
        "epochs_saved_by_stopping": summary.epochs_saved,
        **records,
    }


def front_table(chosen: pd.DataFrame, width: int = 120) -> Table:
    """The front as it is printed on a terminal of so many characters; what does not fit is left out, the least asked for first.

    A network's name has its point. ``~`` marks those that a smaller or cheaper one may equal. Points over seeds
    (``tune.results.seeds``) have no T and bits of their own.
    """
    grouped = "seeds" in chosen
    file_unit, size = size_unit(chosen.reindex(columns=[FILE, EQ18]).max().max() if len(chosen) else 0)
    count_name, count = count_unit(chosen[BIT_SYNOPS].max() if len(chosen) else 0)
    columns: dict[str, list[str]] = {
        "val %": [_with_interval(row) for _, row in chosen.iterrows()],
        "test %": [f"{value:.2f}" for value in chosen["test_accuracy"]],
        f"file {file_unit}": _digits(chosen, FILE, size),
        "Eq. 18": _digits(chosen, EQ18, size),
        "dense": _digits(chosen, DENSE, size),
        f"Bit-SynOps {count_name}": _digits(chosen, BIT_SYNOPS, count),
        "energy µJ": _digits(chosen, "energy_mj", 1e-3),
    }
    if grouped:
        columns["seeds"] = [str(value) for value in chosen["seeds"]]
    else:
        columns["T"] = [f"{value:.0f}" for value in chosen["timesteps"]]
        columns["bits"] = [str(value) for value in chosen["bits"]]
    last = "point" if grouped else "network"
    columns[last] = [label(row) for _, row in chosen.iterrows()]
    for heading in ("dense", "energy µJ", "Eq. 18", "bits", "T"):
        if heading in columns and sum(2 + max(map(len, [name, *cells])) for name, cells in columns.items()) - 2 > width:
            del columns[heading]
    tied = f"± 90 % of chance; ~ a smaller or cheaper {last} may be as accurate"
    caption = tied if (chosen["ties_with"] != "").any() else None
    what = " of points, means over their seeds" if grouped else ""
    table = Table(title=f"Pareto front{what}, most accurate first", caption=caption, box=None, pad_edge=False)
    table.title_justify = table.caption_justify = "left"
    for heading in columns:
        table.add_column(heading, justify="left" if heading in ("val %", last) else "right", no_wrap=True)
    for cells in zip(*columns.values(), strict=True):
        table.add_row(*cells)
    return table


def _with_interval(row: pd.Series) -> str:
    width = "" if pd.isna(row["val_interval"]) else f" ± {row['val_interval']:.1f}"
    return f"{row[ACCURACY]:.2f}{width}{' ~' if row['ties_with'] else ''}"


def _digits(rows: pd.DataFrame, column: str, unit: float) -> list[str]:
    values = rows[column] if column in rows else [None] * len(rows)
    return ["" if pd.isna(value) else digits(value / unit) for value in values]
