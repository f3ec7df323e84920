"""The command as a job on a real cluster of two nodes with tokens: submitted, refused, stopped, continued."""

import json
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from tests.tune.clusters import RECIPE, Cluster, copy_project, output_of, wait_until

pytestmark = [pytest.mark.cluster, pytest.mark.slow]
LONG = [*RECIPE, "--retrain-epochs", "40", "--no-early-stopping"]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster() as started:
        started.start_head(dashboard=True)
        started.start_node()
        yield started


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_project(tmp_path_factory.mktemp("project"))


def test_nothing_is_answered_without_the_token(cluster: Cluster, project: Path) -> None:
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(f"{cluster.dashboard}/api/jobs/", timeout=60)
    refused = cluster.run(cluster.submit(["--help"]), project, code=1, without=cluster.secrets)
    assert "Missing authentication token" in refused


def test_a_job_runs_on_both_nodes_to_its_report(cluster: Cluster, project: Path, tmp_path: Path) -> None:
    points = ["--points", "0,0,0 0,0,50 0,0,80 0,0,90"]
    process = cluster.start(cluster.submit([*LONG, *points, "--storage", str(tmp_path)]), project)
    workers: dict[int, int] = {}  # process to the node's own process, its parent

    def ended() -> bool:
        workers.update(cluster.trials())
        return process.poll() is not None

    wait_until(ended)
    log = output_of(process)
    assert process.returncode == 0, log
    assert len(workers) == len(set(workers.values())) == 2  # one process per node, used again for further trials
    for name in ("front.png", "front.csv", "trials.csv"):
        assert (tmp_path / "digits" / name).is_file()
    assert set(pd.read_csv(tmp_path / "digits" / "trials.csv")["status"]) == {"finished"}

    lines = log[log.index("4 trials, 0 of them over") :].splitlines()
    ours = [line for line in lines if not re.search(r"cli\.py|^-+$|Job '", line)]
    assert sum(line.startswith("finished  l1_0-l2_0-p_") for line in ours) == 4
    assert any(re.match(r".*\d running, \d waiting; front \d, hypervolume .* so far", line) for line in ours)
    assert any("Pareto front" in line for line in ours)
    assert not any("\x1b" in line or "\r" in line for line in ours)  # nothing for a terminal


def test_a_stopped_job_reports_and_the_next_one_continues(cluster: Cluster, project: Path, tmp_path: Path) -> None:
    arguments = [*LONG, "--points", "0,0,50", "--storage", str(tmp_path)]
    cluster.run(cluster.submit(arguments, "--no-wait", "--submission-id", "stopped"), project)
    metrics = tmp_path / "digits" / "trials" / "l1_0-l2_0-p_50-seed_0" / "metrics.jsonl"
    wait_until(lambda: metrics.exists() and len(metrics.read_text().splitlines()) >= 5)
    at = ["--address", cluster.dashboard]
    assert "was stopped" in cluster.run(cluster.ray("job", "stop", *at, "stopped"), project)
    log = cluster.run(cluster.ray("job", "logs", *at, "stopped"), project)
    assert "interrupted; the same command continues" in log and "Traceback" not in log
    assert list(pd.read_csv(tmp_path / "digits" / "trials.csv")["status"]) == ["unfinished"]

    before = metrics.read_text().splitlines()
    log = cluster.run(cluster.submit(arguments), project)
    after = metrics.read_text().splitlines()
    assert after[: len(before)] == before
    assert [json.loads(line)["epoch"] for line in after] == [1, 2, *range(1, 41)]
    assert "1 network on the front" in log
