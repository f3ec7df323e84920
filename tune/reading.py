"""The commands that only read an experiment: ``status``, ``report``, ``merge`` and ``pick``. Neither Ray nor a GPU."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import pandas as pd
from rich.console import Console

from litesnn.checks import InputError, check_choice, fail
from litesnn.config import Recipe
from litesnn.nearest import hint
from tune.results.amounts import parse_count, parse_percent, parse_size
from tune.results.compare import Comparison, compare
from tune.results.front import front
from tune.results.merge import merge as merged_table
from tune.results.merge import names, recipe_differences
from tune.results.pick import pick as pick_network
from tune.results.reference import reference_in
from tune.results.seeds import shown_front
from tune.results.summary import summarise
from tune.running.settings import COMPARED
from tune.storage.paths import StoragePath, check_path, folder_names, read_bytes, storage_path
from tune.storage.rows import DamagedError
from tune.storage.store import FINISHED, STOPPED, UNFINISHED, Experiment
from tune.views.report import front_table, write_report

_PIPED_WIDTH = 120
_SHOWN_REASONS = 20


def status(args: argparse.Namespace) -> None:
    """Prints trials by state, the front so far and what stopping saved; writes nothing."""
    experiment = existing(args.storage, args.name)
    _show(experiment, experiment.table(), make_console())


def report(args: argparse.Namespace) -> None:
    """Writes all result files anew and prints the front."""
    _check_compare(args.compare)
    experiment = existing(args.storage, args.name)
    check_path("storage", experiment.path)
    show_and_write(experiment, make_console(), args.compare)


def merge(args: argparse.Namespace) -> None:
    """Writes and prints one report of several experiments."""
    _check_compare(args.compare)
    experiments = [existing(args.storage, name, "experiment") for name in args.experiments]
    target = Experiment(_place_of(args.storage, args.out, "out"))
    check_path("out", target.path)
    if read_bytes(target.path / "experiment.json") is not None:
        raise fail("out", "a folder of its own, whose files may be replaced", f"the experiment {args.out}")
    table = merged_table(experiments)
    console = make_console()
    for field, values in recipe_differences(experiments).items():
        found = ", ".join(f"{value!r} in {label}" for label, value in values.items())
        console.print(f"recipes differ in {field}: {found}", highlight=False)
    recipe = Recipe.from_dict(experiments[0].recipe())
    chosen = front(table.assign(row=range(len(table))))
    sources = dict(zip(names(experiments), experiments, strict=True))
    comparison = compare(chosen, recipe) if args.compare else None
    paths = write_report(target, table, reference_in(experiments), recipe, sources, comparison)
    console.print(front_table(shown_front(table), console.width))
    _print_comparison(console, comparison)
    _print_paths(console, paths)


def pick(args: argparse.Namespace) -> None:
    """Prints the best network within the limits; exit code 1 if none fits."""
    limits = {
        "max_size_bits": None if args.max_size is None else parse_size("max-size", args.max_size),
        "max_file_bits": None if args.max_file is None else parse_size("max-file", args.max_file),
        "max_bit_synops": None if args.max_bit_synops is None else parse_count("max-bit-synops", args.max_bit_synops),
        "min_accuracy": None if args.min_accuracy is None else parse_percent("min-accuracy", args.min_accuracy),
    }
    experiment = existing(args.storage, args.name)
    choice = pick_network(experiment.table(), **limits, sure=args.sure)
    folder = None if choice.network is None else experiment.trial(choice.network["trial"]).path
    print(json.dumps(choice.to_dict(folder), indent=2) if args.json else choice.text(folder))
    if not choice.fits:
        raise SystemExit(1)


def show_and_write(experiment: Experiment, console: Console, compared: str | None = None) -> None:
    """Writes all result files of an experiment and prints its front and where they are.

    Args:
        experiment: the experiment.
        console: where to print.
        compared: ``paper`` to hold the front against published networks.
    """
    table = experiment.table()
    recipe = Recipe.from_dict(experiment.recipe())
    comparison = compare(front(table.assign(row=range(len(table)))), recipe) if compared else None
    paths = write_report(experiment, table, reference_in([experiment]), recipe, comparison=comparison)
    _show(experiment, table, console)
    _print_comparison(console, comparison)
    _print_paths(console, {**paths, "trials": experiment.path / "trials"})


def _show(experiment: Experiment, table: pd.DataFrame, console: Console) -> None:
    chosen = shown_front(table)
    if len(chosen):
        console.print(front_table(chosen, console.width))
    left_out = table[~table["status"].isin([FINISHED, STOPPED])]
    for _, row in left_out.head(_SHOWN_REASONS).iterrows():
        reason = row["reason"] or ("no outcome yet" if row["status"] == UNFINISHED else "")
        console.print(f"not in the front: {row['trial']} {row['status']}: {reason}", highlight=False)
    if len(left_out) > _SHOWN_REASONS:
        console.print(f"… and {len(left_out) - _SHOWN_REASONS} more, see trials.csv")
    recipe = Recipe.from_dict(experiment.recipe())
    summary = summarise(table, chosen, reference_in([experiment]), recipe, experiment.planned())
    for sentence in summary.sentences():
        console.print(sentence, highlight=False)


def _check_compare(value: str | None) -> None:
    if value is not None:
        check_choice("compare", value, COMPARED)


def _print_comparison(console: Console, comparison: Comparison | None) -> None:
    if comparison is not None:
        console.print(f"compare: {comparison.sentence()}", highlight=False, soft_wrap=True)


def _print_paths(console: Console, paths: dict[str, object]) -> None:
    for name, what in (
        ("report.html", "page"),
        ("front.png", "plot"),
        ("front.csv", "front"),
        ("points.csv", "points"),
        ("trials.csv", "all trials"),
        ("comparison.csv", "compared"),
        ("trials", "networks"),
    ):
        if name in paths:
            console.print(f"{what:<11}{paths[name]}", highlight=False, soft_wrap=True)


def existing(storage: str, name: str, field: str = "name") -> Experiment:
    """The experiment of that name within the storage, or at that path.

    Raises:
        InputError: there is none; the nearest name is suggested.
    """
    experiment = Experiment(_place_of(storage, name, field))
    if not isinstance(experiment.path, Path):
        check_path("storage", experiment.path)
    try:
        experiment.recipe()
    except DamagedError:
        raise
    except InputError as error:
        known = [] if "/" in name else folder_names(storage_path("storage", storage))
        more = "; a merge has a report only" if name in known else hint(name, known)
        raise InputError(f"{error}{more}") from None
    return experiment


def _place_of(storage: str, name: str, field: str) -> StoragePath:
    """A name within the storage, or a path of its own."""
    if "/" in name:
        return storage_path(field, name)
    return storage_path("storage", storage) / name


def make_console() -> Console:
    """As wide as the terminal; of a fixed width where the output goes elsewhere.

    What is printed has names and paths in it, in which ``[x]`` and ``:x:`` stand for themselves.
    """
    return Console(width=None if sys.stdout.isatty() else _PIPED_WIDTH, markup=False, emoji=False)
