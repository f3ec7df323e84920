"""Says the metrics of ``tune.watching.metrics`` from the driver, through Ray: nothing per batch, and nothing from the trials.

Ray exports what was said every ten seconds and once more when the driver ends. A gauge that is not said again is gone
twenty seconds later: here they are repeated while the run lasts, so none goes on telling of one that is over or was
killed. Counters stay, as those of Prometheus do.
"""

from __future__ import annotations

import builtins
import shutil
import time
from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from ray.tune import Callback
from ray.util import metrics as ray_metrics

from litesnn.config import Recipe
from tune.storage.places import Place
from tune.storage.store import FINISHED, STOPPED, UNFINISHED
from tune.watching import metrics
from tune.watching.live import LiveTable
from tune.watching.metrics import ACCURACIES, COUNTER, GAUGE, METRICS, PHASES, RUNNING_PHASES, STATES, Metric
from tune.watching.watchdog import error_line

_SECONDS_BETWEEN_LOOKS_AT_THE_DISK = 10.0
_SECONDS_BETWEEN_REPEATS = 1.0


class Metrics(Callback):
    """Follows a ``Tuner.fit``; stands after the live table among the callbacks, whose view of the trials it shares.

    Args:
        live: knows trials, front and hypervolume.
        recipe: says how many epochs a trial has.
        before: the table of the experiment's trials so far.
        path: the experiment's folder; its name is the label ``experiment``.
        samples: training samples of an epoch, by phase.
        again: trials of the table that this run takes up again.
    """

    def __init__(
        self,
        live: LiveTable,
        recipe: Recipe,
        before: pd.DataFrame,
        path: Place,
        samples: Mapping[str, int],
        again: Collection[str] = (),
    ) -> None:
        self.live, self.path, self.samples, self.over = live, path, samples, False
        self.label = {"experiment": path.name.encode("ascii", "backslashreplace").decode()}  # Ray takes no others
        self.full = recipe.search_epochs + recipe.retrain_epochs
        self.said: dict[str, Any] = {metric.name: _made(metric) for metric in METRICS}
        rows: list[Any] = before.to_dict("records")
        self.states: dict[str, str] = {row["trial"]: _state(row["status"]) for row in rows if row["trial"] not in again}
        self.phases: dict[str, str] = {}
        self.spent = {phase: int(before[f"{phase}_epochs"].fillna(0).sum()) for phase in PHASES}
        self.epochs: dict[str, dict[str, int]] = {row["trial"]: _epochs(row) for row in rows}
        self.saved: dict[str, int] = {row["trial"]: self._saved(row) for row in rows}
        self.best: dict[str, float] = {}
        self.gauges: dict[tuple[str, ...], tuple[Metric, float, dict[str, str]]] = {}
        self.looked = self.repeated = -_SECONDS_BETWEEN_LOOKS_AT_THE_DISK
        for row in rows:
            self._compare(row)

    def __getstate__(self) -> dict[str, Any]:
        """Ray writes its callbacks to disk beside the trials; these numbers are of this run alone."""
        return {"label": self.label}

    def __enter__(self) -> Metrics:
        """Says how things stand before the first trial."""
        now = time.time()
        self._set(metrics.RUN_START, now)
        self._set(metrics.LAST_REPORT, now)
        for metric in METRICS:
            if metric.kind == COUNTER:  # begins at 0, else Prometheus takes the first count for no increase
                for phase in PHASES if "phase" in metric.labels else ("",):
                    self._count(metric, 0, **({"phase": phase} if phase else {}))
        self._say_trials()
        self._say_front()
        self._say_epochs()
        self._look_at_the_disk()
        return self

    def __exit__(self, *error: object) -> None:
        """Nothing runs or waits any more; what was running without coming to an end was interrupted."""
        self.states |= {name: "interrupted" for name, state in self.states.items() if state in ("running", "waiting")}
        self.phases.clear()
        self.over = True
        self._say_trials()
        self._say_front()
        self._say_epochs()
        self._repeat()

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Says the gauges again, whether or not anything has happened."""
        if time.monotonic() - self.repeated >= _SECONDS_BETWEEN_REPEATS:
            self._look_at_the_disk()
            self._repeat()

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial got its resources."""
        name = trial.config["trial"]
        self.states[name], self.phases[name] = "running", RUNNING_PHASES[0]
        self.saved.pop(name, None)
        self._say_trials()

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """A trial finished an epoch, or reports again the one after which it was interrupted, which counts once."""
        self._set(metrics.LAST_REPORT, time.time())
        if "for the storage" in (result.get("notice") or ""):  # as ``tune.trials.patience`` says it
            self._count(metrics.STORAGE_ERRORS, 1)
        if "phase" not in result:
            return
        name, phase = trial.config["trial"], result["phase"]
        known = self.epochs.setdefault(name, dict.fromkeys(PHASES, 0))
        if result["epoch"] > known[phase]:
            self.spent[phase] += result["epoch"] - known[phase]
            known[phase] = result["epoch"]
            self._say_epoch(phase, float(result["seconds"]))
        if self.phases.get(name) != phase:
            self.phases[name] = phase
            self._say_trials()

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """An attempt broke off; another one follows."""
        name = trial.config["trial"]
        self.states[name] = "waiting"
        self.phases.pop(name, None)
        self._count(metrics.RESTARTS, 1)
        self._count_storage_error(trial)
        self._say_trials()

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial came to its end, or the run did."""
        self._end(trial.config["trial"])

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial failed for good."""
        self._count(metrics.FAILURES, 1)
        self._count_storage_error(trial)
        self._end(trial.config["trial"])

    def _end(self, name: str) -> None:
        row = self.live.rows[name]
        self.states[name] = _state(row["status"])
        self.phases.pop(name, None)
        self.saved[name] = self._saved(row)
        self._say_trials()
        self._say_epochs()
        if row["status"] == FINISHED:
            self._compare(row)
            self._say_front()

    def _say_trials(self) -> None:
        states = Counter(self.states.values())
        left = 0 if self.over else self.live.to_come - sum(self.live.ended.values()) - states["running"]
        states["waiting"] = max(0, left)
        for state in STATES:
            self._set(metrics.TRIALS, states[state], state=state)
        phases = Counter(self.phases.values())
        for phase in RUNNING_PHASES:
            self._set(metrics.RUNNING_TRIALS, phases[phase], phase=phase)

    def _say_front(self) -> None:
        self._set(metrics.HYPERVOLUME, self.live.volume)
        self._set(metrics.FRONT_NETWORKS, len(self.live.front))
        if "accuracy" in self.best:
            self._set(metrics.BEST_ACCURACY, self.best["accuracy"])
        for accuracy in ACCURACIES:
            if f"size {accuracy}" in self.best:
                self._set(metrics.SMALLEST_SIZE, self.best[f"size {accuracy}"] / 8, accuracy=accuracy)
                self._set(metrics.FEWEST_BIT_SYNOPS, self.best[f"bit-synops {accuracy}"], accuracy=accuracy)

    def _say_epochs(self) -> None:
        for phase in PHASES:
            self._set(metrics.SPENT_EPOCHS, self.spent[phase], phase=phase)
        self._set(metrics.SAVED_EPOCHS, sum(self.saved.values()))

    def _say_epoch(self, phase: str, seconds: float) -> None:
        self._set(metrics.SPENT_EPOCHS, self.spent[phase], phase=phase)
        self._count(metrics.EPOCHS, 1, phase=phase)
        self._count(metrics.TRAINING_SECONDS, seconds, phase=phase)
        self._count(metrics.SAMPLES, self.samples[phase], phase=phase)
        self.said[metrics.EPOCH_SECONDS.name].observe(seconds, {**self.label, "phase": phase})
        if seconds > 0:
            self._set(metrics.SAMPLES_PER_SECOND, self.samples[phase] / seconds, phase=phase)

    def _look_at_the_disk(self) -> None:
        now = time.monotonic()
        if isinstance(self.path, Path) and now - self.looked >= _SECONDS_BETWEEN_LOOKS_AT_THE_DISK:
            self.looked = now
            try:
                self._set(metrics.STORAGE_FREE, shutil.disk_usage(self.path).free)
            except OSError:  # the trials say what is wrong with it
                return

    def _compare(self, row: Mapping[str, Any]) -> None:
        """Whether a trial's network is the best so far in any of what is stated."""
        if row["status"] != FINISHED:
            return
        figures = [row["val_accuracy"], row["size_bits"], row["bit_synops"]]
        if any(pd.isna(figure) for figure in figures):
            return
        accuracy, size, bit_synops = float(figures[0]) / 100, float(figures[1]), float(figures[2])
        self.best["accuracy"] = max(accuracy, self.best.get("accuracy", 0.0))
        for least in ACCURACIES:
            if accuracy >= float(least):
                self.best[f"size {least}"] = min(size, self.best.get(f"size {least}", size))
                self.best[f"bit-synops {least}"] = min(bit_synops, self.best.get(f"bit-synops {least}", bit_synops))

    def _saved(self, row: Mapping[str, Any]) -> int:
        return max(0, self.full - sum(_epochs(row).values())) if row["status"] == STOPPED else 0

    def _count_storage_error(self, trial: Any) -> None:
        if is_of_storage(error_line(trial)):
            self._count(metrics.STORAGE_ERRORS, 1)

    def _set(self, metric: Metric, value: float, **labels: str) -> None:
        self.gauges[(metric.name, *labels.values())] = metric, value, {**self.label, **labels}
        self.said[metric.name].set(value, {**self.label, **labels})

    def _repeat(self) -> None:
        self.repeated = time.monotonic()
        for metric, value, labels in self.gauges.values():
            self.said[metric.name].set(value, labels)

    def _count(self, metric: Metric, value: float, **labels: str) -> None:
        self.said[metric.name]._record(float(value), {**self.label, **labels})  # ``inc`` refuses the 0 of the beginning


def is_of_storage(reason: str) -> bool:
    """Whether an error, by its last line, came from reading or writing files: ``OSError: [Errno 28] No space left …``."""
    name = reason.partition(":")[0].rpartition(".")[2]
    kind = getattr(builtins, name, None)
    return name == "StorageError" or (isinstance(kind, type) and issubclass(kind, OSError))


def _made(metric: Metric) -> Any:
    if metric.kind == GAUGE:
        return ray_metrics.Gauge(metric.name, metric.help, metric.labels)
    if metric.kind == COUNTER:
        return ray_metrics.Counter(metric.name, metric.help, metric.labels)
    return ray_metrics.Histogram(metric.name, metric.help, list(metric.boundaries), metric.labels)


def _state(status: str) -> str:
    return "interrupted" if status == UNFINISHED else status


def _epochs(row: Mapping[str, Any]) -> dict[str, int]:
    counts = {phase: row.get(f"{phase}_epochs") for phase in PHASES}
    return {phase: int(count) if count is not None and not pd.isna(count) else 0 for phase, count in counts.items()}
