"""Metrics as Prometheus sees them: a real cluster, a real run, Debian's Prometheus with our configuration, its HTTP API."""

import json
import re
import shutil
import socket
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.test_grafana import OF_RAY
from tests.tune.clusters import PARETO, RECIPE, ROOT, Cluster, output_of, wait_until
from tune.results.front import front, hypervolume
from tune.storage.store import Experiment
from tune.watching.metrics import ACCURACIES, GAUGE, METRICS, RUNNING_PHASES
from tune.watching.trial_state import PHASES, STATES

pytestmark = [pytest.mark.cluster, pytest.mark.slow]
# Which of them are stopped depends on who reports first; any of the first three ends above the least of ACCURACIES.
POINTS = ["0,0,0", "0,0,20", "1e-7,1e-10,10", "1e-2,1e-2,95"]
RETRAIN_EPOCHS = 24
TRAINING_SAMPLES = 1151  # of digits, without validation and test split


class Watched(Cluster):
    """A cluster whose head exports metrics, every second instead of every ten."""

    def __init__(self) -> None:
        super().__init__(RAY_metrics_report_interval_ms="1000")
        self.metrics_port = _free_port()

    def _start_node(self, arguments: list[str], before: Iterable[str] = ()) -> None:
        super()._start_node([*arguments, f"--metrics-export-port={self.metrics_port}"], before)

    def page(self) -> str:
        """What Prometheus is given."""
        return urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=30).read().decode()


class Prometheus:
    """Our configuration with another path of Ray's file, and a scrape every second."""

    def __init__(self, cluster: Watched, folder: Path) -> None:
        self.address = f"127.0.0.1:{_free_port()}"
        config = (ROOT / "cluster" / "prometheus" / "prometheus.yml").read_text()
        assert "/tmp/ray/" in config and config.count("10s") == 3
        config = config.replace("/tmp/ray/", f"{cluster.folder}/1/").replace("10s", "1s")
        (folder / "prometheus.yml").write_text(config)
        shutil.copy(ROOT / "cluster" / "prometheus" / "alerts.yml", folder)
        command = ["prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
        self.program = cluster.start([*command, f"--web.listen-address={self.address}"], folder)

    def query(self, expression: str, at: float | None = None) -> dict[tuple[str, ...], float]:
        """Values now, or at a time, by the labels' values in the order of the labels' names."""
        answer = self.get("query", query=expression, **({} if at is None else {"time": f"{at:.3f}"}))
        return {
            tuple(value for _, value in sorted(found["metric"].items())): float(found["value"][1])
            for found in answer["result"]
        }

    def last_sample(self, name: str) -> float:
        """The time of the newest sample of a metric."""
        (series,) = self.get("query", query=f"{name}[10m]")["result"]
        return float(series["values"][-1][0])

    def get(self, what: str, **arguments: str) -> Any:
        """An answer of the HTTP API; an empty one while Prometheus starts."""
        url = f"http://{self.address}/api/v1/{what}?{urllib.parse.urlencode(arguments)}"
        try:
            with urllib.request.urlopen(url, timeout=30) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            if error.code != 503:  # it listens before it is ready
                raise
            return {"result": []}
        except OSError:
            return {"result": []}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Watched]:
    if not shutil.which("prometheus"):
        pytest.skip("prometheus is not installed: apt-get install prometheus")
    with Watched() as started:
        started.start_head(cpus=2, dashboard=True)
        yield started


def test_a_run_in_prometheus_and_in_rays_dashboard(cluster: Watched, tmp_path: Path) -> None:
    prometheus = Prometheus(cluster, tmp_path)
    arguments = [
        *RECIPE,
        "--retrain-channels",
        "12",
        "--retrain-epochs",
        str(RETRAIN_EPOCHS),
        "--address",
        cluster.address,
    ]
    arguments += ["--storage", str(tmp_path), "--name", "watched", "--points", " ".join(POINTS)]
    run = cluster.start([*PARETO, *arguments], tmp_path)

    # While it runs: trials at work, and what Ray's dashboard calls them.
    running = "max by (phase) (ray_litesnn_running_trials)"
    wait_until(lambda: sum(prometheus.query(running).values()) == 2, run)
    assert set(prometheus.query(running)) == {(phase,) for phase in RUNNING_PHASES}
    titles = wait_until(lambda: titles_of_trials(cluster), run)
    assert all(re.fullmatch(r"ray::ImplicitFunc l1_\S+-seed_0 after (search|retrain) \d+/\d+", t) for t in titles)
    actors = from_dashboard(cluster, "api/v0/actors?detail=1")["result"]["result"]
    folders = tmp_path / "watched" / "trials"
    names = {f"watched from {folder.name} on" for folder in folders.iterdir()}
    assert len(actors) == 2 and {actor["repr_name"] for actor in actors} <= names
    check_conventions(cluster.page())

    output = output_of(run)
    assert run.returncode == 0, output
    ended = "max by (state) (last_over_time(ray_litesnn_trials[5m]))"
    wait_until(lambda: {prometheus.query(ended)[(state,)] for state in ("waiting", "running")} == {0})
    # Gauges of a run that is over go away, counters stay.
    wait_until(lambda: "ray_litesnn_trials" not in cluster.page())
    page = cluster.page()
    assert {name for name in exported(page) if "litesnn" in name} == {m.exported for m in METRICS if m.kind != GAUGE}

    at = prometheus.last_sample("ray_litesnn_front_hypervolume")
    check_values(prometheus, at, Experiment(tmp_path / "watched"))
    check_panels(prometheus, at)
    rules = [rule for group in prometheus.get("rules")["groups"] for rule in group["rules"]]
    assert len(rules) == 7 and {(rule["health"], rule["state"]) for rule in rules} == {("ok", "inactive")}

    # Ray's agent publishes what a node uses at its own pace; this machine may have no GPU.
    wait_until(lambda: exported(cluster.page()) >= OF_RAY - {"ray_node_gpus_utilization"})
    check_logs(cluster, {folder.name for folder in folders.iterdir()})


def check_conventions(page: str) -> None:
    """What Prometheus' own lint says of our metrics, without the labels that Ray adds."""
    ours = "".join(f"{line}\n" for line in page.splitlines() if "litesnn" in line)
    assert len(exported(ours)) > len(METRICS) / 2
    ours = re.sub(r'\b(?:[A-Z]\w*|otel_\w+)="[^"]*",?', "", ours)
    lint = subprocess.run(["promtool", "check", "metrics"], input=ours, capture_output=True, text=True)
    assert lint.returncode == 0, lint.stdout + lint.stderr


def check_values(prometheus: Prometheus, at: float, experiment: Experiment) -> None:
    """Every metric, against the results on disk."""
    table = experiment.table()
    finished = table[table["status"] == "finished"]
    stopped = table[table["status"] == "stopped"]
    reference = experiment.reference()
    assert len(table) == len(POINTS) and len(finished) >= 1 and reference is not None
    epochs = {(phase,): float(table[f"{phase}_epochs"].sum()) for phase in PHASES}
    seconds = {(phase,): float(table[f"{phase}_seconds"].sum()) for phase in PHASES}
    reached = [a for a in ACCURACIES if (finished["val_accuracy"] / 100 >= float(a)).any()]
    assert reached  # else the test would see nothing of the two metrics that state an accuracy

    def smallest(column: str) -> dict[tuple[str, ...], float]:
        return {(a,): finished[finished["val_accuracy"] / 100 >= float(a)][column].min() for a in reached}

    states = {(state,): float((table["status"] == state).sum()) for state in STATES}
    left = (2 + RETRAIN_EPOCHS) * len(stopped) - stopped["search_epochs"].sum() - stopped["retrain_epochs"].sum()
    expected: dict[str, Any] = {
        "front_hypervolume": {(): hypervolume(table, reference)},
        "front_networks": {(): len(front(table))},
        "best_accuracy_ratio": {(): finished["val_accuracy"].max() / 100},
        "smallest_model_size_bytes": {key: bits / 8 for key, bits in smallest("size_bits").items()},
        "fewest_bit_synops": smallest("bit_synops"),
        "trials": states,
        "running_trials": {(phase,): 0 for phase in RUNNING_PHASES},
        "spent_epochs": epochs,
        "saved_epochs": {(): left},
        "epochs_total": epochs,
        "training_seconds_total": seconds,
        "samples_total": {phase: TRAINING_SAMPLES * count for phase, count in epochs.items()},
        "restarts_total": {(): 0},
        "failures_total": {(): 0},
        "storage_errors_total": {(): 0},
    }
    by_name = {metric.name.removeprefix("litesnn_"): metric for metric in METRICS}
    for name, values in expected.items():
        metric = by_name[name]
        by = ", ".join(metric.labels[1:])
        query = f'max by ({by}) ({metric.exported}{{experiment="watched"}})'
        assert prometheus.query(query, at) == pytest.approx(values), metric.name
    by_phase = "sum by (phase) (ray_litesnn_epoch_seconds_count)"
    assert prometheus.query(by_phase, at) == epochs
    bounds = prometheus.query("count by (le) (ray_litesnn_epoch_seconds_bucket)", at)
    assert {float(bound) for (bound,) in bounds} == {*by_name["epoch_seconds"].boundaries, float("inf")}
    speed = prometheus.query("max by (phase) (ray_litesnn_samples_per_second)", at)
    assert set(speed) == set(epochs) and min(speed.values()) > 0
    (start,), (last,), (free,) = (
        prometheus.query(f"max({by_name[name].exported})", at).values()
        for name in ("run_start_timestamp_seconds", "last_report_timestamp_seconds", "storage_free_bytes")
    )
    assert at - 300 < start < last <= at and free > 0
    other = {"epoch_seconds", "samples_per_second", "run_start_timestamp_seconds", "last_report_timestamp_seconds"}
    assert {*expected, *other, "storage_free_bytes"} == set(by_name)


def check_panels(prometheus: Prometheus, at: float) -> None:
    """Prometheus understands every query of the dashboard and has an answer."""
    dashboard = json.loads((ROOT / "cluster" / "grafana" / "dashboards" / "litesnn.json").read_text())
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", ())]
    assert len(asked) > 25
    for expression in asked:
        for variable, value in (("$experiment", "watched"), ("$accuracy", ".*"), ("$__rate_interval", "5m")):
            expression = expression.replace(variable, value)
        # Ray's agent publishes what a node uses at its own pace; a short run may be over before.
        answered = prometheus.query(expression, at)
        assert answered or "gpus" in expression or "ray_node_" in expression, expression


def check_logs(cluster: Watched, names: set[str]) -> None:
    """Each trial's start, its phases in ten lines at most, its end; nothing else."""
    logs = (cluster.folder / "1" / "session_latest" / "logs").glob("worker-*-01000000-*.out")
    lines = [line for log in logs for line in log.read_text().splitlines() if not line.startswith(":")]
    told = [re.fullmatch(r"\d\d:\d\d:\d\d (\S+-seed_0): (.*)", line) for line in lines]
    assert all(told), lines
    for name in names:
        texts = [match[2] for match in told if match and match[1] == name]
        assert re.match(r"starts on \S+, .*CPU threads: 1$", texts[0])
        assert re.match(r"finished: \S+ % test$|ended early after (search|retrain) \d+/\d+, by the rule", texts[-1])
        for text in texts[1:-1]:
            assert re.match(r"(search [12]/2|retrain \d+/24): loss .* % validation, .* kB, .* Bit-SynOps, T \d, ", text)
        assert 3 <= len(texts) <= 2 + 2 + 10


def titles_of_trials(cluster: Watched) -> list[str]:
    """What ``ps`` shows, and Ray's dashboard on the page of a node."""
    titles = ["".join(process.cmdline()) for process in cluster.alive()]
    return [title for title in titles if re.search(" after ", title)]


def from_dashboard(cluster: Watched, path: str) -> Any:
    token = Path(cluster.secrets["RAY_AUTH_TOKEN_PATH"]).read_text()
    request = urllib.request.Request(f"{cluster.dashboard}/{path}", headers={"Authorization": f"Bearer {token}"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)["data"]


def exported(page: str) -> set[str]:
    """Names of the metrics on a page for Prometheus."""
    return set(re.findall(r"^# TYPE (\w+) ", page, re.MULTILINE))


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]
