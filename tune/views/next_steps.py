"""What to do with an experiment: commands with its real names, to be copied."""

from __future__ import annotations

import math
import shlex
from pathlib import Path

import pandas as pd

from tune.results.front import front
from tune.running.program import invocation
from tune.running.settings import Settings
from tune.storage.objectives import ACCURACY, FILE
from tune.storage.store import Experiment

_BITS_PER_KB = 8000


def next_steps(experiment: Experiment, storage: str, table: pd.DataFrame) -> list[str]:
    """The next three commands.

    Args:
        experiment: what has just been run.
        storage: the ``--storage`` that it lies in, as it was given.
        table: its trials.

    Returns:
        Commands for a shell; how to go on where no network has finished.
    """
    program = invocation()
    place = "" if storage == Settings.storage else f" --storage {shlex.quote(storage)}"
    name = f"{place} --name {shlex.quote(experiment.path.name)}"
    look = f"{program} serve{place}"
    chosen = front(table)
    if chosen.empty:
        return [f"{program} status{name}", look, f"{program} report{name}"]
    limit = ""
    files = chosen[FILE].dropna() if FILE in chosen else chosen.iloc[:0, 0]
    if len(files):
        limit = f" --max-file {math.ceil(10 * float(files.median()) / _BITS_PER_KB) / 10:g}kB"  # which one of them fits
    best = experiment.trial(str(chosen.sort_values(ACCURACY).iloc[-1]["trial"])).model
    last = f"litesnn export {shlex.quote(str(best))}" if isinstance(best, Path) else f"{program} report{name}"
    return [look, f"{program} pick{name}{limit}", last]
