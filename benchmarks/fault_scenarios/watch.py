"""What a fault does to an experiment: every epoch that reaches the disk, and what of it was done twice or lost."""

from __future__ import annotations

import json
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from benchmarks.fault_scenarios.hosts import is_alive
from litesnn.config import Recipe
from tune.plan.points import Trial, parse_points
from tune.results.front import front
from tune.storage.paths import read_bytes
from tune.storage.store import FINISHED, OUTCOMES, Experiment
from tune.trials.shared_data import load_arrays
from tune.trials.trial import search_and_retrain

_LOOK_S = 0.02
_COLUMNS = ["trial", "val_accuracy", "test_accuracy", "model_size_bits", "side_bits", "bit_synops", "bits"]
Epoch = tuple[str, int]


class Watch:
    """Reads the trials' files of an experiment again and again while a run is under way.

    An epoch is told from its repetition by the seconds that it took, which are never the same to the last digit.
    """

    def __init__(self, experiment: Path) -> None:
        self.experiment = Experiment(experiment)
        self.trials = experiment / "trials"
        self.seen: dict[str, dict[Epoch, dict[float, float]]] = {}  # trial, epoch, its seconds: when it was first seen
        self.attempts: dict[str, dict[str, float]] = {}  # trial, who claimed it: when that was first seen
        self._read: dict[Path, tuple[int, int, int]] = {}  # what a file was when it was last read: looks come often
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()

    def _follow(self) -> None:
        while not self._ended.wait(_LOOK_S):
            self._look()
        self._look()

    def _look(self) -> None:
        for path in self.trials.glob("*/attempt.txt"):
            with suppress(OSError):
                who = path.read_text(encoding="utf-8")
                self.attempts.setdefault(path.parent.name, {}).setdefault(who, time.monotonic())
        for path in self.trials.glob("*/metrics.jsonl"):
            with suppress(OSError, ValueError):
                facts = path.stat()
                stamp = facts.st_ino, facts.st_mtime_ns, facts.st_size
                if self._read.get(path) == stamp:
                    continue
                lines = path.read_text(encoding="utf-8").splitlines()
                now, epochs = time.monotonic(), self.seen.setdefault(path.parent.name, {})
                for record in map(json.loads, lines):
                    epochs.setdefault((record["phase"], record["epoch"]), {}).setdefault(record["seconds"], now)
                self._read[path] = stamp

    def epochs(self, trial: str = "") -> int:
        """Epochs that have reached the disk, of one trial or of all; repetitions do not count."""
        return sum(len(epochs) for name, epochs in list(self.seen.items()) if trial in ("", name))

    def claims(self) -> dict[str, int]:
        """The process of every trial that is under way and whose process lives."""
        found = {}
        for path in self.trials.glob("*/attempt.txt"):
            with suppress(OSError, IndexError, ValueError):
                pid = int(path.read_text(encoding="utf-8").split()[1])
                if is_alive(pid):
                    found[path.parent.name] = pid
        return found

    def rows(self) -> dict[str, dict[str, Any]]:
        """The row of every trial that has a state."""
        rows = self.experiment.table().to_dict("records")
        return {str(row["trial"]): {str(key): value for key, value in row.items()} for row in rows}

    def finished_files(self) -> dict[Path, bytes]:
        """Every file of the trials that are finished, diverged or stopped."""
        return {
            path: path.read_bytes()
            for trial in self.experiment.outcomes()
            for path in sorted((self.trials / trial).iterdir())
            if path.is_file() and not path.name.startswith((".", "attempt")) and path.suffix != ".pt"
        }

    def repeated(self, trials: set[str]) -> int:
        """The most epochs that one of these trials ran again although they were on disk."""
        return max((sum(len(takes) - 1 for takes in self.seen.get(name, {}).values()) for name in trials), default=0)

    def recovered_after(self, moment: float, trials: set[str]) -> float | None:
        """Seconds until every one of these trials had written an epoch that it had not; None if none was left to.

        Where another attempt took over, an epoch of that one: a process whose driver was killed may still write one.
        """
        times = []
        for name in trials:
            since = min((seen for seen in self.attempts.get(name, {}).values() if seen > moment), default=moment)
            later = [seen for takes in self.seen.get(name, {}).values() for seen in takes.values() if seen > since]
            if later:
                times.append(min(later) - moment)
        return max(times, default=None)


def calm(recipe: Recipe, points: str, folder: Path) -> Experiment:
    """The results of an undisturbed run of the same points, made in this process without Ray."""
    torch.set_num_threads(1)
    data, found = load_arrays(recipe, None, False), Experiment(folder)
    for point in parse_points(points):
        trial = found.trial(Trial(point=point, seed=0).name)
        search_and_retrain(point, recipe, 0, trial, data, torch.device("cpu"), lambda record: None)
    return found


def front_of(experiment: Experiment, without: set[str]) -> list[dict[str, Any]]:
    """The networks on an experiment's front with their figures, without some trials."""
    table = experiment.table()
    rows = front(table[~table["trial"].isin(without)])[_COLUMNS].to_dict("records")
    return [{str(key): value for key, value in row.items()} for row in rows]


def losses(before: dict[Path, bytes], watch: Watch, expected: set[str]) -> list[str]:
    """What was lost of the files of finished trials when the fault came, and which of the expected trials have no state."""
    lost, rows = [str(path) for path, content in before.items() if read_bytes(path) != content], watch.rows()
    for name in sorted(expected):
        status = rows.get(name, {}).get("status")
        if status not in (*OUTCOMES, "failed"):
            lost.append(f"{name}: no outcome")
        elif status != FINISHED and not rows[name]["reason"]:
            lost.append(f"{name}: no reason")
    return lost
