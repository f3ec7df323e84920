"""The metrics' definitions and their page; what is said when, fed as Ray would, with values kept instead of exported."""

import io
import pickle
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from litesnn import Recipe
from litesnn.files import StorageError
from tune.storage.objectives import Reference
from tune.storage.store import Experiment
from tune.trials.patience import Patience
from tune.watching import metrics
from tune.watching.live import LiveTable
from tune.watching.metrics import ACCURACIES, COUNTER, GAUGE, HISTOGRAM, METRICS, STATES, Metric
from tune.watching.metrics_ray import Metrics, is_of_storage

ROOT = Path(__file__).parents[3]
RECORD = {"val_accuracy": 75.0, "model_size_bits": 8000, "bit_synops": 3e6, "timesteps": 2, "seconds": 2.0}


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


class Drive:
    """An experiment of trials with two epochs of search and three of retraining, and what Ray calls during a run."""

    def __init__(self, path: Path) -> None:
        self.recipe = Recipe.preset("digits", search_epochs=2, retrain_epochs=3)
        self.experiment = Experiment(path / "mine")

    def follow(self, count: int, again: set[str] = frozenset()) -> Metrics:  # type: ignore[assignment]
        """A further run of ``count`` trials."""
        before = self.experiment.table()
        reference = Reference(accuracy=10, size_bits=16_000, bit_synops=6e6)
        console = Console(file=io.StringIO())
        self.live = LiveTable(self.recipe, self.experiment, before, reference, count, 2, console, lambda: 0)
        samples = {"search": 100, "retrain": 200}
        self.metrics = Metrics(self.live, self.recipe, before, self.experiment.path, samples, again)
        self.metrics.said = {metric.name: Kept(metric) for metric in METRICS}
        return self.metrics

    def call(self, event: str, name: str, **arguments: Any) -> None:
        """One of Ray's callbacks, to the table first."""
        trial = self.trial(name, arguments.pop("error", ""))
        for follower in (self.live, self.metrics):
            getattr(follower, event)(iteration=0, trials=[], trial=trial, **arguments)

    def trial(self, name: str, error: str = "") -> SimpleNamespace:
        file = self.experiment.path.parent / "error.txt"
        file.write_text(f"Traceback\n  somewhere\n{error}\n")
        point = {"lambda1": 0.0, "lambda2": 0.0, "p": 50.0}
        config = {"trial": name, "point": point, "seed": 0, "recipe": self.recipe.to_dict()}
        return SimpleNamespace(config=config, error_file=str(file))

    def epochs(self, name: str, *epochs: tuple[str, int]) -> None:
        """Writes and reports these epochs."""
        folder = self.experiment.trial(name)
        for phase, epoch in epochs:
            record = {**RECORD, "phase": phase, "epoch": epoch, "epochs": 2 if phase == "search" else 3}
            folder.write_metrics([r for r in folder.read_metrics() if r != record] + [record])
            self.call("on_trial_result", name, result={**record, "trial": name})

    def start(self, name: str) -> None:
        config = self.trial(name).config
        self.experiment.trial(name).write_start({**config["point"], "seed": 0}, config["recipe"])
        self.call("on_trial_start", name)

    def said(self, metric: Metric) -> Any:
        """All values by the labels after ``experiment``; a bare value where there are none."""
        values = self.metrics.said[metric.name].values
        return values.get((), None) if metric.labels == ("experiment",) else {key[0]: v for key, v in values.items()}

    def states(self) -> dict[str, int]:
        counts = self.said(metrics.TRIALS)
        assert tuple(counts) == STATES
        return {state: count for state, count in counts.items() if count}


@pytest.fixture
def drive(tmp_path: Path) -> Drive:
    return Drive(tmp_path)


def test_trials_epochs_and_networks_of_a_run(drive: Drive) -> None:
    with drive.follow(3):
        assert drive.states() == {"waiting": 3}
        assert drive.said(metrics.EPOCHS) == {"search": 0, "retrain": 0} and drive.said(metrics.FAILURES) == 0
        assert drive.said(metrics.BEST_ACCURACY) is None and drive.said(metrics.SMALLEST_SIZE) == {}
        drive.start("a")
        drive.start("b")
        assert drive.states() == {"waiting": 1, "running": 2}
        assert drive.said(metrics.RUNNING_TRIALS) == {"starting": 2, "search": 0, "retrain": 0}
        drive.epochs("a", ("search", 1), ("search", 2), ("retrain", 1))
        drive.epochs("b", ("search", 1), ("search", 2))
        assert drive.said(metrics.RUNNING_TRIALS) == {"starting": 0, "search": 1, "retrain": 1}
        assert drive.said(metrics.SPENT_EPOCHS) == drive.said(metrics.EPOCHS) == {"search": 4, "retrain": 1}
        assert drive.said(metrics.TRAINING_SECONDS) == {"search": 8, "retrain": 2}
        assert drive.said(metrics.EPOCH_SECONDS) == {"search": [2.0] * 4, "retrain": [2.0]}
        assert drive.said(metrics.SAMPLES) == {"search": 400, "retrain": 200}
        assert drive.said(metrics.SAMPLES_PER_SECOND) == {"search": 50, "retrain": 100}

        drive.experiment.trial("b").write_result("stopped", reason="stopped at search epoch 2: rank 2 of 2")
        drive.call("on_trial_complete", "b")
        assert drive.said(metrics.SAVED_EPOCHS) == 3
        drive.epochs("a", ("retrain", 2), ("retrain", 3))
        drive.experiment.trial("a").write_result("finished", **RECORD, bits=[1])
        drive.call("on_trial_complete", "a")
        assert drive.states() == {"waiting": 1, "finished": 1, "stopped": 1}
        assert drive.said(metrics.BEST_ACCURACY) == 0.75 and drive.said(metrics.FRONT_NETWORKS) == 1
        # 0.75 - 0.1 of accuracy share, log10(16000/8000) and log10(6e6/3e6) decades: 0.65 · 0.30103²
        assert drive.said(metrics.HYPERVOLUME) == pytest.approx(0.65 * 0.3010299957**2)
        reached = ("0.50", "0.60", "0.70", "0.75")
        assert drive.said(metrics.SMALLEST_SIZE) == dict.fromkeys(reached, 1000)
        assert drive.said(metrics.FEWEST_BIT_SYNOPS) == dict.fromkeys(reached, 3e6)

        drive.start("c")
        drive.epochs("c", ("search", 1))
        drive.call("on_trial_complete", "c")  # as at Ctrl-C
    assert drive.states() == {"finished": 1, "stopped": 1, "interrupted": 1}
    assert set(drive.said(metrics.RUNNING_TRIALS).values()) == {0}

    # The same command again: c goes on, d is new; a counter begins anew, what is on disk counts as before.
    with drive.follow(2, {"c"}):
        assert drive.states() == {"waiting": 2, "finished": 1, "stopped": 1}
        assert drive.said(metrics.SPENT_EPOCHS) == {"search": 5, "retrain": 3} and drive.said(metrics.SAVED_EPOCHS) == 3
        assert drive.said(metrics.BEST_ACCURACY) == 0.75 and set(drive.said(metrics.SMALLEST_SIZE)) == set(reached)
        drive.start("c")
        drive.epochs("c", ("search", 1))  # its last epoch once more
        assert drive.said(metrics.EPOCHS) == {"search": 0, "retrain": 0}
        drive.epochs("c", ("search", 2))
        assert drive.said(metrics.EPOCHS) == {"search": 1, "retrain": 0}
    assert drive.states() == {"finished": 1, "stopped": 1, "interrupted": 1}  # the time was up for c, and d never began


def test_restarts_failures_and_errors_of_the_storage(drive: Drive, monkeypatch: pytest.MonkeyPatch) -> None:
    with drive.follow(1):
        drive.start("a")
        drive.epochs("a", ("search", 1))
        drive.call("on_trial_recover", "a", error="ray.exceptions.ActorDiedError: The actor died")
        assert drive.states() == {"waiting": 1}
        assert drive.said(metrics.RESTARTS) == 1 and drive.said(metrics.STORAGE_ERRORS) == 0
        drive.start("a")
        drive.call("on_trial_recover", "a", error="OSError: [Errno 28] No space left on device")
        assert drive.said(metrics.RESTARTS) == 2 and drive.said(metrics.STORAGE_ERRORS) == 1

        told: list[str] = []
        answers = iter([StorageError("/results: full"), None])

        def write() -> None:
            if (error := next(answers)) is not None:
                raise error

        monkeypatch.setattr("tune.trials.patience._WORTH_SAYING_S", 0.0)
        Patience(say=told.append)(write)
        drive.start("a")
        drive.call("on_trial_result", "a", result={"notice": told[0]})
        assert drive.said(metrics.STORAGE_ERRORS) == 2

        drive.call("on_trial_error", "a", error="ValueError: expected 3, got 4")
        assert drive.said(metrics.FAILURES) == 1 and drive.said(metrics.STORAGE_ERRORS) == 2


def test_gauges_are_repeated_since_ray_forgets_what_is_not_said_again(drive: Drive) -> None:
    with drive.follow(1):
        drive.start("a")
        drive.epochs("a", ("search", 1))
        gauges = {m.name: dict(drive.metrics.said[m.name].values) for m in METRICS if m.kind == GAUGE}
        counters = {m.name: dict(drive.metrics.said[m.name].values) for m in METRICS if m.kind == COUNTER}
        for name in gauges:
            drive.metrics.said[name].values.clear()
        drive.metrics.repeated -= 1
        drive.metrics.on_step_end(0, [])
        assert {name: drive.metrics.said[name].values for name in gauges} == gauges
        assert {name: drive.metrics.said[name].values for name in counters} == counters


def test_what_counts_as_an_error_of_the_storage() -> None:
    for line in ("OSError: [Errno 5] Input/output error", "PermissionError: x", "litesnn.files.StorageError: /a: full"):
        assert is_of_storage(line), line
    for line in ("ValueError: OSError", "unknown", "", "ray.exceptions.OutOfMemoryError: 1 worker", "print: OSError"):
        assert not is_of_storage(line), line


def test_ray_can_write_it_to_disk_beside_the_trials(drive: Drive) -> None:
    followed = drive.follow(1)
    followed.said["file"] = io.StringIO()  # as little to be pickled as a real metric's lock
    assert pickle.loads(pickle.dumps(followed)).label == {"experiment": "mine"}
