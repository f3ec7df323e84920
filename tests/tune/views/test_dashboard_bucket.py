"""The dashboard over a bucket: the same answers as over a folder, few requests, and a store that fails for a while."""

import json
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
from moto.server import DomainDispatcherApplication, create_backend_app
from s3fs import S3FileSystem
from werkzeug.serving import make_server

from tests.tune.dashboards import EPOCH, NETWORK, POINT, serving
from tune.storage.objectives import Reference
from tune.storage.paths import StoragePath, storage_path
from tune.storage.store import FINISHED, Experiment
from tune.views.dashboard.snapshot import Snapshot


class Store:
    """An S3 server's application that can be told to refuse everything."""

    def __init__(self) -> None:
        self.refuses = False
        self._app = DomainDispatcherApplication(create_backend_app)

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if not self.refuses:
            return self._app(environ, start_response)
        start_response("403 Forbidden", [("Content-Type", "application/xml")])
        return [b"<Error><Code>AccessDenied</Code><Message>no more</Message></Error>"]


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    """An empty one, named to the clients by the usual variables alone."""
    store = Store()
    server = make_server("127.0.0.1", 0, store, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.port}")
        S3FileSystem.clear_instance_cache()  # of clients that another server had
        yield store
        S3FileSystem.clear_instance_cache()
    server.shutdown()
    thread.join()


@pytest.fixture
def storage(store: Store) -> StoragePath:
    name = f"bucket-{uuid.uuid4().hex}"
    boto3.client("s3").create_bucket(Bucket=name)
    return storage_path("storage", f"s3://{name}/deep")


def fill(storage: StoragePath) -> Experiment:
    experiment = Experiment(storage / "digits")
    experiment.open({"dataset": "digits"}, Reference(accuracy=10, size_bits=1e6, bit_synops=1e6))
    for name in "ab":
        experiment.trial(name).write_start(POINT, {})
        experiment.trial(name).write_records([EPOCH])
    trial = experiment.trial("a")
    (trial.path / "genotype.json").write_text(NETWORK.to_json())
    (trial.path / "model.safetensors").write_bytes(b"network")
    trial.write_result(FINISHED, val_accuracy=90.0, model_size_bits=900, bit_synops=70.0, bits=[2, 1], timesteps=3)
    (experiment.trial("c").path / "result.json").write_text("{")  # damaged
    return experiment


def test_a_bucket_and_a_folder_give_the_same_answers(storage: StoragePath, tmp_path: Path) -> None:
    (tmp_path / "digits" / "trials" / "c").mkdir(parents=True)
    fill(tmp_path)
    fill(storage)
    with serving(tmp_path) as local, serving(storage) as remote:
        compare(local, remote)


def compare(local: httpx.Client, remote: httpx.Client) -> None:
    one = "/api/experiments/digits"
    for path in ("/api/experiments", one, *(f"{one}/trials/{name}" for name in "abc")):
        here, there = local.get(path), remote.get(path)
        assert here.status_code == there.status_code == 200
        assert _comparable(there) == _comparable(here), path
    assert "deep" not in remote.get(one).text
    for file in ("genotype.json", "model.safetensors"):
        here, there = (client.get(f"{one}/trials/a/{file}") for client in (local, remote))
        assert there.content == here.content != b""
        assert there.headers["content-disposition"] == here.headers["content-disposition"]
        assert remote.get(f"{one}/trials/b/{file}").status_code == 404
    for path in ("/api/experiments/..", "/api/experiments/deep", f"{one}/trials/..%2f..", f"{one}/trials/none"):
        assert remote.get(path).status_code == 404


def _comparable(answer: httpx.Response) -> object:
    values = json.loads(answer.text)
    for holder in (values, *values.get("experiments", [])):
        holder.pop("version", None)  # made of times and sizes
    for row in [values.get("trial"), *values.get("trials", [])]:
        if row is not None:
            row.pop("ended_at")
            assert row["trial"] != "c" or "result.json" in row.pop("reason")
    for progress in values.get("progress", []):
        progress.pop("seconds")
    return values


def test_only_what_changed_is_read_again(storage: StoragePath) -> None:
    experiment = fill(storage)
    snapshot = Snapshot(storage)
    before = snapshot.versions()
    assert list(before) == ["digits"] and snapshot.trials_read == 3
    assert snapshot.versions() == before and snapshot.trials_read == 3
    experiment.trial("b").write_result(FINISHED, val_accuracy=99.0)
    after = snapshot.versions()
    assert after != before and snapshot.trials_read == 4
    (experiment.trial("b").path / "model.safetensors").write_bytes(b"12345")
    assert snapshot.versions() != after and snapshot.trials_read == 4 and snapshot.model_bytes("digits", "b") == 5


def test_names_that_are_no_names_are_left_out(storage: StoragePath) -> None:
    fill(storage)
    bucket, _, folder = storage.path.partition("/")
    for key in ("../x/experiment.json", "digits/trials/../point.json", "digits/trials/stray", "stray.json"):
        boto3.client("s3").put_object(Bucket=bucket, Key=f"{folder}/{key}", Body=b"{}")
    snapshot = Snapshot(storage)
    shown = snapshot.experiment("digits")
    assert snapshot.names() == ["digits"] and shown is not None
    assert [row["trial"] for row in shown["trials"]] == ["a", "b", "c"]


def test_a_store_that_fails_is_an_error_and_tried_again(store: Store, storage: StoragePath) -> None:
    fill(storage)
    file = "/api/experiments/digits/trials/a/genotype.json"
    with serving(storage) as client, client.stream("GET", "/api/events") as stream:
        lines = stream.iter_lines()
        assert next(line for line in lines if line.startswith("data: "))
        store.refuses = True
        try:
            assert next(line for line in lines if line == "event: storage")
            assert "expected a store that answers" in json.loads(next(lines)[6:])["error"]
            found = client.get("/api/experiments").json()
            assert "expected a store that answers" in found["error"] and storage.path not in found["error"]
            assert [e["name"] for e in found["experiments"]] == ["digits"]  # what was known stays
            lost = client.get(file)
            assert lost.status_code == 503 and lost.json()["detail"].startswith("genotype.json: expected a store")
        finally:
            store.refuses = False
        assert next(line for line in lines if line == "event: storage")
        assert json.loads(next(lines)[6:]) == {"error": None}
        assert client.get("/api/experiments").json()["error"] is None and client.get(file).status_code == 200
