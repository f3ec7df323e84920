"""What a run says to Prometheus: each metric's name, kind, help text and labels, and its value from the run's ledger.

Ray puts ``ray_`` before each name. docs/metrics.md, the dashboard and the alert rules in ``cluster/`` are held to this table by
tests.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tune.storage.objectives import ACCURACY, BIT_SYNOPS, SIZE
from tune.watching.ledger import Ledger
from tune.watching.trial_state import PHASES, STARTING, STATES

GAUGE, COUNTER, HISTOGRAM = "gauge", "counter", "histogram"

ACCURACIES = ("0.50", "0.60", "0.70", "0.75", "0.80", "0.85", "0.90", "0.95", "0.98", "0.99")
"""Least validation accuracies for which the smallest size and the fewest Bit-SynOps are stated."""

RUNNING_PHASES = (STARTING, *PHASES)


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One metric.

    Args:
        name: without Ray's prefix; ends in its unit, a counter's in ``_total``.
        kind: gauge, counter or histogram.
        help: one sentence.
        value: a number from the ledger, or a dict of them by the second label, where there is one; None and what the dict
            lacks are not said. A counter's numbers only grow; a histogram has the list of all its observations.
        labels: all of them are given with every value; ``experiment`` comes first.
        boundaries: upper bounds of a histogram's buckets.
    """

    name: str
    kind: str
    help: str
    value: Callable[[Ledger], Any]
    labels: tuple[str, ...] = ("experiment",)
    boundaries: tuple[float, ...] = ()

    @property
    def exported(self) -> str:
        """The name that Prometheus sees."""
        return f"ray_{self.name}"

    def series(self, ledger: Ledger) -> dict[tuple[str, ...], Any]:
        """The values by their labels after ``experiment``."""
        value = self.value(ledger)
        if isinstance(value, Mapping):
            return {(label,): each for label, each in value.items()}
        return {} if value is None else {(): value}


def _gauge(name: str, text: str, value: Callable[[Ledger], Any], *labels: str) -> Metric:
    return Metric(name=f"litesnn_{name}", kind=GAUGE, help=text, value=value, labels=("experiment", *labels))


def _counter(name: str, text: str, value: Callable[[Ledger], Any], *labels: str) -> Metric:
    return Metric(name=f"litesnn_{name}_total", kind=COUNTER, help=text, value=value, labels=("experiment", *labels))


def _by_phase(value: Callable[[Ledger, str], float]) -> Callable[[Ledger], dict[str, float]]:
    return lambda ledger: {phase: value(ledger, phase) for phase in PHASES}


def _least(column: str, unit: float) -> Callable[[Ledger], dict[str, float]]:
    """The least cost of a network for each of ``ACCURACIES`` that one reaches; a network of the front has it."""

    def value(ledger: Ledger) -> dict[str, float]:
        found = {least: ledger.front[ledger.front[ACCURACY] >= 100 * float(least)] for least in ACCURACIES}
        return {least: networks[column].min() / unit for least, networks in found.items() if len(networks)}

    return value


def _phases(ledger: Ledger) -> dict[str, int]:
    counts = Counter(state.phase for state in ledger.running.values())
    return {phase: counts[phase] for phase in RUNNING_PHASES}


def _speed(ledger: Ledger) -> dict[str, float]:
    last = {phase: seconds[-1] for phase, seconds in ledger.seconds.items() if seconds and seconds[-1] > 0}
    return {phase: ledger.samples[phase] / seconds for phase, seconds in last.items()}


def _free(ledger: Ledger) -> int | None:
    with suppress(OSError):  # the trials say what is wrong with it
        return shutil.disk_usage(ledger.folder).free if isinstance(ledger.folder, Path) else None
    return None


METRICS: tuple[Metric, ...] = (
    _gauge(
        "front_hypervolume",
        "What the finished networks dominate: accuracy share x decades of size x decades of Bit-SynOps",
        lambda run: run.volume,
    ),
    _gauge("front_networks", "Networks on the front of all three objectives", lambda run: len(run.front)),
    _gauge(
        "best_accuracy_ratio",
        "Highest validation accuracy of a finished network, 0 to 1",
        lambda run: run.front[ACCURACY].max() / 100 if len(run.front) else None,
    ),
    _gauge(
        "smallest_model_size_bytes",
        "Size, as the recipe means it, of the smallest finished network of at least this validation accuracy; absent while there is none",
        _least(SIZE, 8),
        "accuracy",
    ),
    _gauge(
        "fewest_bit_synops",
        "Fewest Bit-SynOps per sample of a finished network of at least this validation accuracy; absent while there is none",
        _least(BIT_SYNOPS, 1),
        "accuracy",
    ),
    _gauge("trials", f"Trials by state: {', '.join(STATES)}", lambda run: run.states, "state"),
    _gauge("running_trials", f"Running trials by phase: {', '.join(RUNNING_PHASES)}", _phases, "phase"),
    _gauge(
        "spent_epochs",
        "Epochs that the experiment's trials have finished, earlier runs included",
        _by_phase(lambda run, phase: sum(trial.epochs[phase] for trial in run.trials.values())),
        "phase",
    ),
    _gauge(
        "saved_epochs",
        "Epochs that trials stopped early would still have had, earlier runs included",
        lambda run: run.saved(run.rows),
    ),
    _counter("epochs", "Epochs reported in this run", _by_phase(lambda run, phase: len(run.seconds[phase])), "phase"),
    Metric(
        name="litesnn_epoch_seconds",
        kind=HISTOGRAM,
        help="Duration of an epoch with its evaluation; Ray takes the middle of a bucket for its sum",
        value=lambda run: run.seconds,
        labels=("experiment", "phase"),
        boundaries=(0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200),
    ),
    _counter(
        "training_seconds",
        "Exact sum of the durations of epochs reported in this run",
        _by_phase(lambda run, phase: sum(run.seconds[phase])),
        "phase",
    ),
    _counter(
        "samples",
        "Training samples of the epochs reported in this run",
        _by_phase(lambda run, phase: run.samples[phase] * len(run.seconds[phase])),
        "phase",
    ),
    _gauge("samples_per_second", "Training samples per second in the epoch reported last", _speed, "phase"),
    _counter("restarts", "Attempts of a trial that broke off and were followed by another", lambda run: run.restarts),
    _counter("failures", "Trials that failed for good in this run", lambda run: run.failures),
    _counter(
        "storage_errors",
        "Times that a trial had to wait for storage or broke off because of it",
        lambda run: run.storage_errors,
    ),
    _gauge("storage_free_bytes", "Free space where results are written; absent for an object store", _free),
    _gauge(
        "last_report_timestamp_seconds",
        "Unix time of the newest report of a trial, at first of the run's start",
        lambda run: run.last_report,
    ),
    _gauge("run_start_timestamp_seconds", "Unix time at which this run began", lambda run: run.began),
)
