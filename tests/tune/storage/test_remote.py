"""Results in a bucket with the whole command, and a cluster whose hosts do not all see the folder of results."""

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from tests.tune.clusters import PARETO, RECIPE, Cluster, can_hide_folders, wait_until

pytestmark = [pytest.mark.cluster, pytest.mark.slow]
RUN = ["run", *RECIPE, "--no-early-stopping", "--retrain-epochs"]
TRIAL = "l1_0-l2_0-p_50-seed_0"


@pytest.fixture
def store() -> Iterator[dict[str, str]]:
    """An S3 server with one bucket, as the environment variables that lead there."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    variables = {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
    }
    _client(variables).create_bucket(Bucket="bucket")
    yield variables
    server.stop()


def test_a_run_into_a_bucket_is_killed_continued_and_read(store: dict[str, str], tmp_path: Path) -> None:
    place = ["--storage", "s3://bucket/deep/down"]
    with Cluster(**store) as cluster:
        cluster.start_head()
        arguments = [*RUN, "12", "--address", cluster.address, "--points", "0,0,50", *place]
        process = cluster.start([*PARETO, *arguments], tmp_path)
        wait_until(lambda: len(_lines(store)) >= 4, process)
        for pid in (process.pid, *cluster.trials()):
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not cluster.trials())
        before = _lines(store)
        status = cluster.pareto(["status", *place], tmp_path)
        assert "unfinished" in status or "interrupted" in status

        output = cluster.pareto(arguments, tmp_path)
        assert "1 network on the front" in output and "s3://bucket/deep/down/digits/front.csv" in output
        after = _lines(store)
        assert after[: len(before)] == before
        assert [json.loads(line)["epoch"] for line in after] == [1, 2, *range(1, 13)]
        assert {"front.csv", "front.png", "trials.csv", "experiment.json"} <= _names(store, "deep/down/digits/")
        model = f"deep/down/digits/trials/{TRIAL}/"
        assert {"genotype.json", "metrics.jsonl", "model.safetensors", "result.json"} <= _names(store, model)
        assert not {"search.pt", "retrain.pt"} & _names(store, model)

        picked = json.loads(cluster.pareto(["pick", "--json", *place], tmp_path))
        assert TRIAL in json.dumps(picked)
        _client(store).delete_object(Bucket="bucket", Key="deep/down/digits/front.csv")
        cluster.pareto(["report", *place], tmp_path)
        assert "front.csv" in _names(store, "deep/down/digits/")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not can_hide_folders(), reason="no right to give a process mounts of its own (unshare --mount)")
def test_hosts_that_do_not_share_the_storage_are_refused_at_once(tmp_path: Path) -> None:
    mine, shared, elsewhere = tmp_path / "mine", tmp_path / "shared", tmp_path / "elsewhere"
    for folder in (mine, shared, elsewhere):
        folder.mkdir()
    with Cluster() as cluster:
        cluster.start_head()
        cluster.start_node(blind_to=mine)
        arguments = [*RUN, "3", "--address", cluster.address, "--points", "0,0,0 0,0,50"]
        for storage in (mine, mine / "new"):
            started = time.monotonic()
            refused = cluster.pareto([*arguments, "--storage", str(storage)], elsewhere, code=2)
            assert time.monotonic() - started < 60
            assert refused.count("\n") == 1 and refused.startswith(
                f"pareto.py: storage: expected a folder that all hosts of the cluster share, or s3://…, got {storage}"
            )
        assert not cluster.trials() and list(mine.iterdir()) == list(elsewhere.iterdir()) == []

        # Two nodes with one CPU each have two, but not for one trial.
        refused = cluster.pareto([*arguments, "--storage", str(shared), "--cpus-per-trial", "2"], elsewhere, code=2)
        assert refused == "pareto.py: cpus-per-trial: expected at most the 1 of the largest node, got 2\n"
        refused = cluster.pareto([*arguments, "--storage", str(shared), "--gpus-per-trial", "1"], elsewhere, code=2)
        assert refused == "pareto.py: gpus-per-trial: expected at most the 0 of the largest node, got 1.0\n"
        assert list(shared.iterdir()) == []

        assert "2 finished" in cluster.pareto([*arguments, "--storage", str(shared)], elsewhere)
        assert not [path for path in shared.rglob("*") if path.name.startswith(".seen")]


def _client(variables: dict[str, str]):
    return boto3.client(
        "s3",
        endpoint_url=variables["AWS_ENDPOINT_URL"],
        aws_access_key_id="test",
        aws_secret_access_key="test",
        region_name="us-east-1",
    )


def _lines(variables: dict[str, str]) -> list[str]:
    """The records of the trial's epochs; none before there is a file."""
    client = _client(variables)
    try:
        content = client.get_object(Bucket="bucket", Key=f"deep/down/digits/trials/{TRIAL}/metrics.jsonl")
    except client.exceptions.NoSuchKey:
        return []
    return content["Body"].read().decode().splitlines()


def _names(variables: dict[str, str], prefix: str) -> set[str]:
    found = _client(variables).list_objects_v2(Bucket="bucket", Prefix=prefix).get("Contents", [])
    return {item["Key"].removeprefix(prefix) for item in found}
