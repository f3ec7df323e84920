"""An experiment on disk or in a bucket. A trial owns a folder and writes whole files; tables are a function of them.

NAME/experiment.json               the recipe that all trials share, the reference of the hypervolume, the number of trials to come
NAME/trials/<trial>/point.json     λ1, λ2, p and seed; recipe.json beside it
                    metrics.jsonl  one line per epoch
                    genotype.json  once the search is over
                    search.pt, retrain.pt   checkpoints, until the trial is over; search.previous.pt, …: those before
                    attempt.txt             which process may write here, until the trial is over
                    notes.txt               what was out of the ordinary, if anything was
                    model.safetensors       the network of a finished trial
                    result.json    the outcome: the trial's whole row of the table
NAME/searches/<point>.json         genotypes of finished searches, for trials of the same point at another width
NAME/trials.csv, front.csv, front.png, and points.csv where a point has several seeds
NAME/ray/                          what Ray Tune keeps of each run; nothing here reads it
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from litesnn.checks import InputError
from litesnn.config import Recipe
from tune.storage.folder import TrialFolder, read_json, read_rows, write_json
from tune.storage.objectives import Reference
from tune.storage.paths import StoragePath, check_path, folder_names, read_bytes, read_files
from tune.storage.rows import (
    COLUMNS,
    DIVERGED,
    FAILED,
    FINISHED,
    OUTCOMES,
    STOPPED,
    UNFINISHED,
    DamagedError,
    Row,
    parse_object,
    parse_records,
    tidy,
    to_table,
)

__all__ = [
    "COLUMNS",
    "DIVERGED",
    "FAILED",
    "FINISHED",
    "OUTCOMES",
    "STOPPED",
    "UNFINISHED",
    "Experiment",
    "TrialFolder",
]

_CHUNK = 2000  # trials whose files are held in memory at once


@dataclass(frozen=True)
class Experiment:
    """The folder of one experiment."""

    path: StoragePath

    def check(self, recipe: Mapping[str, Any]) -> None:
        """Checks, without writing anything, that ``open`` will work.

        Raises:
            InputError: the place cannot be reached or written, or holds an experiment of another recipe; every
                difference is named.
        """
        check_path("storage", self.path)
        if read_bytes(self.path / "experiment.json") is None:
            return
        # A field that was added later had its default before.
        found = {**{key: value for key, value in Recipe().to_dict().items() if key in recipe}, **self.recipe()}
        others = [key for key in {**recipe, **found} if recipe.get(key) != found.get(key)]
        if others:
            differences = "; ".join(f"{key}: there {found.get(key)!r}, here {recipe.get(key)!r}" for key in others)
            raise InputError(
                f"name: expected the recipe of the experiment in {self.path}, got another {differences}; "
                "choose another --name"
            )

    def open(
        self,
        recipe: Mapping[str, Any],
        reference: Reference | None = None,
        measured: Sequence[Sequence[float]] | None = None,
        planned: int | None = None,
    ) -> None:
        """Creates the experiment if it is not there yet; ``check`` first.

        Args:
            recipe: what all trials share.
            reference: corner of the hypervolume; added to an experiment of an earlier version, never replaced.
            measured: ranges of λ1 and λ2 that were measured for it; added likewise.
            planned: how many trials it has once the run that begins is through; replaces that of the run before.
        """
        found = read_json(self.path / "experiment.json") or {"recipe": recipe}
        more = {
            **({} if reference is None else {"reference": asdict(reference)}),
            **({} if measured is None else {"measured_lambda_ranges": measured}),
        }
        wanted = {**more, **found, **({} if planned is None else {"planned_trials": planned})}
        if wanted != read_json(self.path / "experiment.json"):
            write_json(self.path / "experiment.json", wanted)

    def recipe(self) -> dict[str, Any]:
        """The recipe that all trials share.

        Raises:
            InputError: there is no experiment here, or a damaged one.
        """
        found = (read_json(self.path / "experiment.json") or {}).get("recipe")
        if not isinstance(found, dict):
            raise InputError(f"name: expected an experiment with its recipe in {self.path}, got none")
        return found

    def strategy(self) -> str | None:
        """Where the networks of the experiment come from; None as long as there is none.

        Raises:
            InputError: the place cannot be reached or written, or the experiment is damaged.
        """
        check_path("storage", self.path)
        if read_bytes(self.path / "experiment.json") is None:
            return None
        return str(self.recipe().get("strategy", Recipe().strategy))

    def reference(self) -> Reference | None:
        """The hypervolume's reference; None in an experiment of an earlier version.

        Raises:
            InputError: it is damaged.
        """
        found = (read_json(self.path / "experiment.json") or {}).get("reference")
        return None if found is None else Reference.from_dict(found)

    def measured(self) -> tuple[tuple[float, float], tuple[float, float]] | None:
        """Ranges of λ1 and λ2 that were measured earlier: measured elsewhere, a digit of them might be another.

        Raises:
            InputError: they are damaged.
        """
        found = (read_json(self.path / "experiment.json") or {}).get("measured_lambda_ranges")
        if found is None:
            return None
        try:
            (low1, high1), (low2, high2) = found
            return (float(low1), float(high1)), (float(low2), float(high2))
        except (TypeError, ValueError):
            raise InputError(
                f"name: expected two ranges as measured_lambda_ranges in {self.path / 'experiment.json'}, got {found!r}"
            ) from None

    def planned(self) -> int:
        """How many trials it has once its last run is through; 0 where nobody has said so."""
        found = (read_json(self.path / "experiment.json") or {}).get("planned_trials")
        return found if isinstance(found, int) else 0

    def trial(self, name: str) -> TrialFolder:
        """The folder of a trial by its name."""
        return TrialFolder(self.path / "trials" / name)

    def row(self, name: str) -> Row | None:
        """One trial's line of the table, as ``TrialFolder.row``; None where it has not started."""
        found = read_rows(self.path / "trials", [name])
        return tidy(found[0]) if found else None

    def table(self) -> pd.DataFrame:
        """All trials that have started, one row each sorted by name, columns ``COLUMNS``.

        One small file is read of a trial that is over, three of any other. A damaged file makes its trial a failed one
        and hides no other.
        """
        return to_table(read_rows(self.path / "trials", names) for names in self._chunks())

    def records(self) -> dict[str, list[dict[str, Any]]]:
        """The records of all epochs of every trial that has any, by its name; damaged ones are left out."""
        return {name: records for name, records in self._readable("metrics.jsonl", parse_records) if records}

    def outcomes(self) -> dict[str, str]:
        """The status of every trial that is over, by its name: what need not be run again."""
        found = {name: result.get("status") for name, result in self._readable("result.json", parse_object)}
        return {name: status for name, status in found.items() if status in OUTCOMES}

    def _chunks(self) -> Iterator[list[str]]:
        names = folder_names(self.path / "trials")
        for start in range(0, len(names), _CHUNK):
            yield names[start : start + _CHUNK]

    def _readable(self, file: str, parse: Callable[[bytes, object], Any]) -> Iterator[tuple[str, Any]]:
        """The name of every trial whose file is there and not damaged, and what is in it."""
        for names in self._chunks():
            for name, content in zip(names, read_files(self.path / "trials", names, file), strict=True):
                try:
                    parsed = parse(content, name) if isinstance(content, bytes) else None
                except DamagedError:
                    continue
                if parsed is not None:
                    yield name, parsed
