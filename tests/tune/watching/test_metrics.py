"""The metrics' definitions, their page, their values from a ledger that is told by hand, and what Ray is told of them."""

import re
from pathlib import Path
from typing import Any

import pytest

from tests.tune.watching.runs import A, B, C, Run, report
from tune.running.facts import AttemptBroke, RunOver
from tune.trials.reasons import Broken, StorageDelayed
from tune.watching.metrics import ACCURACIES, COUNTER, GAUGE, HISTOGRAM, METRICS, Metric
from tune.watching.metrics_ray import Metrics
from tune.watching.trial_state import STATES

ROOT = Path(__file__).parents[3]


def test_names_are_those_that_prometheus_asks_for() -> None:
    assert len(METRICS) == len({metric.name for metric in METRICS})
    for metric in METRICS:
        assert re.fullmatch(r"litesnn_[a-z]+(_[a-z]+)*", metric.name)
        assert metric.name.endswith("_total") == (metric.kind == COUNTER)
        assert bool(metric.boundaries) == (metric.kind == HISTOGRAM)
        assert metric.boundaries == tuple(sorted(set(metric.boundaries)))
        assert metric.labels[0] == "experiment" and metric.help.isascii() and not metric.help.endswith(".")
    assert list(ACCURACIES) == sorted(ACCURACIES) and all(f"{float(text):.2f}" == text for text in ACCURACIES)


def test_the_page_lists_exactly_these_metrics() -> None:
    page = (ROOT / "docs" / "metrics.md").read_text()
    listed = re.findall(r"^\| `(ray_litesnn_\w+)` \| (\w+) \| (.*?) \| (.*) \|$", page, re.MULTILINE)
    assert listed == [
        (metric.exported, metric.kind, ", ".join(f"`{label}`" for label in metric.labels), metric.help)
        for metric in METRICS
    ]
    exported = {metric.exported for metric in METRICS}
    assert set(re.findall(r"ray_litesnn_\w+", page)) == exported
    alerts = (ROOT / "cluster" / "prometheus" / "alerts.yml").read_text()
    assert re.findall(r"^\| `([A-Z]\w+)` \|", page, re.MULTILINE) == re.findall(r"alert: (\w+)", alerts)


def said(run: Run, name: str) -> Any:
    """The values of a metric by the label after ``experiment``; a bare value where there is none."""
    (metric,) = (metric for metric in METRICS if metric.name == f"litesnn_{name}")
    values = metric.series(run.ledger)
    assert all(len(labels) == len(metric.labels) - 1 for labels in values)
    return values.get(()) if metric.labels == ("experiment",) else {label: value for (label,), value in values.items()}


def states(run: Run) -> dict[str, int]:
    counts = said(run, "trials")
    assert tuple(counts) == STATES
    return {state: count for state, count in counts.items() if count}


def test_trials_epochs_and_networks_of_a_run(tmp_path: Path) -> None:
    run = Run(tmp_path / "mine")
    assert states(run) == {"waiting": 3}
    assert said(run, "epochs_total") == {"search": 0, "retrain": 0} and said(run, "failures_total") == 0
    assert said(run, "best_accuracy_ratio") is None and said(run, "smallest_model_size_bytes") == {}
    assert said(run, "samples_per_second") == {} and said(run, "front_hypervolume") == 0
    run.start(A)
    run.start(B)
    assert states(run) == {"waiting": 1, "running": 2}
    assert said(run, "running_trials") == {"starting": 2, "search": 0, "retrain": 0}
    run.epochs(A, ("search", 1), ("search", 2), ("retrain", 1))
    run.epochs(B, ("search", 1), ("search", 2))
    assert said(run, "running_trials") == {"starting": 0, "search": 1, "retrain": 1}
    assert said(run, "spent_epochs") == said(run, "epochs_total") == {"search": 4, "retrain": 1}
    assert said(run, "training_seconds_total") == {"search": 8, "retrain": 2}
    assert said(run, "epoch_seconds") == {"search": [2.0] * 4, "retrain": [2.0]}
    assert said(run, "samples_total") == {"search": 400, "retrain": 200}
    assert said(run, "samples_per_second") == {"search": 50, "retrain": 100}

    run.end(B, "stopped")
    assert said(run, "saved_epochs") == 3
    run.epochs(A, ("retrain", 2), ("retrain", 3))
    run.end(A, "finished", bits=[1])
    assert states(run) == {"waiting": 1, "finished": 1, "stopped": 1}
    assert said(run, "best_accuracy_ratio") == 0.75 and said(run, "front_networks") == 1
    # 0.75 - 0.1 of accuracy share, log10(16000/8000) and log10(6e6/3e6) decades: 0.65 · 0.30103²
    assert said(run, "front_hypervolume") == pytest.approx(0.65 * 0.3010299957**2)
    reached = ("0.50", "0.60", "0.70", "0.75")
    assert said(run, "smallest_model_size_bytes") == dict.fromkeys(reached, 1000)
    assert said(run, "fewest_bit_synops") == dict.fromkeys(reached, 3e6)

    run.start(C)
    run.epochs(C, ("search", 1))
    run.end(C)  # as at Ctrl-C
    run.ledger.tell(RunOver())
    assert states(run) == {"finished": 1, "stopped": 1, "interrupted": 1}
    assert set(said(run, "running_trials").values()) == {0}

    # The same command again: c goes on, another one is new; a counter begins anew, what is on disk counts as before.
    run = Run(tmp_path / "mine", 2, {C.name})
    assert states(run) == {"waiting": 2, "finished": 1, "stopped": 1}
    assert said(run, "spent_epochs") == {"search": 5, "retrain": 3} and said(run, "saved_epochs") == 3
    assert said(run, "best_accuracy_ratio") == 0.75 and set(said(run, "smallest_model_size_bytes")) == set(reached)
    run.start(C)
    run.epochs(C, ("search", 1))  # its last epoch once more
    assert said(run, "epochs_total") == {"search": 0, "retrain": 0}
    run.epochs(C, ("search", 2))
    assert said(run, "epochs_total") == {"search": 1, "retrain": 0}
    run.ledger.tell(RunOver())
    assert states(run) == {
        "finished": 1,
        "stopped": 1,
        "interrupted": 1,
    }  # the time was up for c, the other never began


def test_restarts_failures_and_errors_of_the_storage(tmp_path: Path) -> None:
    run = Run(tmp_path / "mine", 1)
    counts = ("restarts_total", "failures_total", "storage_errors_total")
    died, full = Broken(error="ActorDiedError: gone"), Broken(error="OSError: full", of_storage=True)
    run.start(A)
    for fact, expected in [
        (AttemptBroke(trial=A, reason=died), [1, 0, 0]),
        (AttemptBroke(trial=A, reason=full), [2, 0, 1]),
        (report(A, "search", 1, StorageDelayed(seconds=7, error="full")), [2, 0, 2]),
        (AttemptBroke(trial=A, reason=died, last=True), [2, 1, 2]),
    ]:
        run.ledger.tell(fact)
        assert [said(run, name) for name in counts] == expected


def test_free_space_of_a_folder_and_moments(tmp_path: Path) -> None:
    run = Run(tmp_path)
    assert said(run, "storage_free_bytes") > 0 and said(run, "run_start_timestamp_seconds") > 1.7e9
    assert said(run, "last_report_timestamp_seconds") == said(run, "run_start_timestamp_seconds")
    run.ledger.tell(report(A, "search", 1))
    assert said(run, "last_report_timestamp_seconds") > said(run, "run_start_timestamp_seconds")
    run.ledger.folder = tmp_path / "gone"
    assert said(run, "storage_free_bytes") is None


class Kept:
    """In place of one of Ray's metrics: the last value of a gauge, the sum of a counter, what a histogram observed."""

    def __init__(self, metric: Metric) -> None:
        self.metric = metric
        self.values: dict[tuple[str, ...], Any] = {}

    def set(self, value: float, tags: dict[str, str]) -> None:
        self.values[self._key(tags)] = value

    def _record(self, value: float, tags: dict[str, str]) -> None:
        assert self.metric.kind == COUNTER and value >= 0
        self.values[self._key(tags)] = self.values.get(self._key(tags), 0) + value

    def observe(self, value: float, tags: dict[str, str]) -> None:
        self.values.setdefault(self._key(tags), []).append(value)

    def _key(self, tags: dict[str, str]) -> tuple[str, ...]:
        assert set(tags) == set(self.metric.labels) and tags["experiment"] == "mine"
        return tuple(tags[label] for label in self.metric.labels[1:])


def test_ray_is_told_gauges_again_and_of_the_others_what_has_come(tmp_path: Path) -> None:
    """Ray forgets a gauge that is not said again, and adds up by itself what a counter and a histogram are told."""
    run = Run(tmp_path / "mine")
    metrics = Metrics(run.ledger)
    metrics.made = {metric.name: Kept(metric) for metric in METRICS}

    def kept(*kinds: str) -> dict[str, Any]:
        return {metric.name: dict(metrics.made[metric.name].values) for metric in METRICS if metric.kind in kinds}

    metrics.say()
    assert kept(COUNTER)["litesnn_failures_total"] == {(): 0}  # else Prometheus takes the first count for no increase
    run.start(A)
    for last in (1, 2):
        run.epochs(A, ("search", last))
        metrics.say()
    expected = {metric.name: metric.series(run.ledger) for metric in METRICS}
    for name, values in kept(GAUGE, COUNTER).items():
        assert values == expected[name] or name == "litesnn_storage_free_bytes"
    assert kept(HISTOGRAM) == {"litesnn_epoch_seconds": {("search",): [2.0, 2.0]}}
    for name in kept(GAUGE):
        metrics.made[name].values.clear()
    others = kept(COUNTER, HISTOGRAM)
    metrics.repeat()
    assert not any(kept(GAUGE).values())  # said within the last second
    metrics._repeated -= 1
    metrics.repeat()
    assert kept(GAUGE)["litesnn_trials"] == expected["litesnn_trials"] and kept(COUNTER, HISTOGRAM) == others
