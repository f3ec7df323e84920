"""What a run says to Prometheus: names, kinds, help texts and labels. Ray puts ``ray_`` before each name.

docs/metrics.md, the dashboard and the alert rules in ``cluster/`` are held to this module by tests.
"""

from __future__ import annotations

from dataclasses import dataclass

GAUGE, COUNTER, HISTOGRAM = "gauge", "counter", "histogram"

ACCURACIES = ("0.50", "0.60", "0.70", "0.75", "0.80", "0.85", "0.90", "0.95", "0.98", "0.99")
"""Least validation accuracies for which the smallest size and the fewest Bit-SynOps are stated."""

STATES = ("waiting", "running", "interrupted", "finished", "stopped", "diverged", "failed")
PHASES = ("search", "retrain")
RUNNING_PHASES = ("starting", *PHASES)


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One metric.

    Args:
        name: without Ray's prefix; ends in its unit, a counter's in ``_total``.
        kind: gauge, counter or histogram.
        help: one sentence.
        labels: all of them are given with every value; ``experiment`` comes first.
        boundaries: upper bounds of a histogram's buckets.
    """

    name: str
    kind: str
    help: str
    labels: tuple[str, ...] = ("experiment",)
    boundaries: tuple[float, ...] = ()

    @property
    def exported(self) -> str:
        """The name that Prometheus sees."""
        return f"ray_{self.name}"


def _gauge(name: str, text: str, *labels: str) -> Metric:
    return Metric(name=f"litesnn_{name}", kind=GAUGE, help=text, labels=("experiment", *labels))


def _counter(name: str, text: str, *labels: str) -> Metric:
    return Metric(name=f"litesnn_{name}_total", kind=COUNTER, help=text, labels=("experiment", *labels))


HYPERVOLUME = _gauge(
    "front_hypervolume", "What the finished networks dominate: accuracy share x decades of size x decades of Bit-SynOps"
)
FRONT_NETWORKS = _gauge("front_networks", "Networks on the front of all three objectives")
BEST_ACCURACY = _gauge("best_accuracy_ratio", "Highest validation accuracy of a finished network, 0 to 1")
SMALLEST_SIZE = _gauge(
    "smallest_model_size_bytes",
    "Size, as the recipe means it, of the smallest finished network of at least this validation accuracy; "
    "absent while there is none",
    "accuracy",
)
FEWEST_BIT_SYNOPS = _gauge(
    "fewest_bit_synops",
    "Fewest Bit-SynOps per sample of a finished network of at least this validation accuracy; absent while there is none",
    "accuracy",
)
TRIALS = _gauge("trials", f"Trials by state: {', '.join(STATES)}", "state")
RUNNING_TRIALS = _gauge("running_trials", f"Running trials by phase: {', '.join(RUNNING_PHASES)}", "phase")
SPENT_EPOCHS = _gauge(
    "spent_epochs", "Epochs that the experiment's trials have finished, earlier runs included", "phase"
)
SAVED_EPOCHS = _gauge("saved_epochs", "Epochs that trials stopped early would still have had, earlier runs included")
EPOCHS = _counter("epochs", "Epochs reported in this run", "phase")
EPOCH_SECONDS = Metric(
    name="litesnn_epoch_seconds",
    kind=HISTOGRAM,
    help="Duration of an epoch with its evaluation; Ray takes the middle of a bucket for its sum",
    labels=("experiment", "phase"),
    boundaries=(0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200),
)
TRAINING_SECONDS = _counter("training_seconds", "Exact sum of the durations of epochs reported in this run", "phase")
SAMPLES = _counter("samples", "Training samples of the epochs reported in this run", "phase")
SAMPLES_PER_SECOND = _gauge("samples_per_second", "Training samples per second in the epoch reported last", "phase")
RESTARTS = _counter("restarts", "Attempts of a trial that broke off and were followed by another")
FAILURES = _counter("failures", "Trials that failed for good in this run")
STORAGE_ERRORS = _counter("storage_errors", "Times that a trial had to wait for storage or broke off because of it")
STORAGE_FREE = _gauge("storage_free_bytes", "Free space where results are written; absent for an object store")
LAST_REPORT = _gauge(
    "last_report_timestamp_seconds", "Unix time of the newest report of a trial, at first of the run's start"
)
RUN_START = _gauge("run_start_timestamp_seconds", "Unix time at which this run began")

METRICS: tuple[Metric, ...] = tuple(value for value in list(globals().values()) if isinstance(value, Metric))
