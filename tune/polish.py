"""The command ``polish``: retrains the networks of a front for more epochs, from scratch; their searches are not repeated."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from litesnn.checks import InputError, check_integer, fail
from litesnn.config import Recipe
from litesnn.files import StorageError
from litesnn.options import given_options
from tune.plan.points import Trial, point_in
from tune.reading import existing
from tune.results.front import front
from tune.results.seeds import sure_networks
from tune.run import Design, carry_out
from tune.running.settings import OF_POLISH, Settings
from tune.storage.paths import read_text, storage_path, write_text
from tune.storage.store import Experiment


def polish(args: argparse.Namespace) -> None:
    """Runs the command: an experiment of its own, ``NAME-EPOCHS`` unless ``--out`` names it, with one trial for each network.

    Raises:
        InputError: bad input, or no finished network; nothing has been written then.
        KeyboardInterrupt: as of ``run``.
    """
    source = existing(args.storage, args.name)
    before = Recipe.from_dict(source.recipe())
    epochs = _epochs(args.epochs, before.retrain_epochs)
    table = source.table()
    chosen = sure_networks(table) if args.sure else front(table)
    if chosen.empty:
        raise fail("name", "an experiment with a finished network", args.name)
    found = {_trial(row): _genotype(source, str(row["trial"])) for row in chosen.to_dict("records")}
    given = given_options(_all_settings(args), Settings, dashed=True)
    try:
        settings = Settings(**given, name=args.out or f"{source.path.name}-{epochs}", early_stopping=False)
    except InputError as error:  # the option that names the experiment is called otherwise here
        raise InputError(re.sub("^name:", "out:", str(error))) from None
    recipe = replace(before, retrain_epochs=epochs)
    experiment = Experiment(storage_path("storage", settings.storage) / settings.name)
    if experiment.path == source.path:
        raise fail("out", "another experiment than the one whose networks are retrained", settings.name)

    def begin() -> None:
        for trial, genotype in found.items():
            file = experiment.trial(trial.name).genotype
            if read_text(file) is None:
                write_text(file, genotype)

    carry_out(settings, recipe, experiment, Design(settings, "", recipe, list(found)), begin)


def _epochs(text: str, before: int) -> int:
    try:
        return check_integer("epochs", int(text), minimum=before + 1)
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise fail("epochs", "an integer", text) from None


def _trial(row: Mapping[Any, Any]) -> Trial:
    """The trial of a row of the table."""
    return Trial(point=point_in(row), seed=int(row["seed"]))


def _genotype(source: Experiment, trial: str) -> str:
    try:
        text = read_text(source.trial(trial).genotype)
    except StorageError as error:
        raise InputError(f"name: expected a readable genotype of {trial}, got {error}") from None
    if text is None:
        raise InputError(f"name: expected the genotype of {trial} in {source.path}, got none")
    return text


def _all_settings(args: argparse.Namespace) -> argparse.Namespace:
    """The options as ``run`` has them; what this command lacks was not given."""
    names = [field.name for field in fields(Settings)]
    return argparse.Namespace(**{name: getattr(args, name, None) if name in OF_POLISH else None for name in names})
