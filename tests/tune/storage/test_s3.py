"""Results in a bucket: the whole store and a trial against a real S3 protocol server on loopback."""

import contextlib
import pickle
import threading
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import boto3
import pytest
import torch
from moto.server import ThreadedMotoServer
from s3fs import S3FileSystem

from litesnn import InputError, Recipe, SearchPoint
from litesnn.model import Model
from litesnn.phase import EpochRecord
from tune.storage.paths import StoragePath, check_path, local_copy, local_draft, read_bytes, storage_path, write_bytes
from tune.storage.store import DIVERGED, FAILED, FINISHED, STOPPED, Experiment, TrialFolder
from tune.trials.reasons import CheckpointDamaged, Notice
from tune.trials.shared_data import Arrays
from tune.trials.trial import search_and_retrain

POINT = SearchPoint(lambda1=1e-6, lambda2=1e-9, p=80)
CPU = torch.device("cpu")
TIMES = ["seconds", "search_seconds", "retrain_seconds", "search_core_seconds", "retrain_core_seconds", "ended_at"]


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """A server of an empty store, named to the clients by the usual variables alone."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        S3FileSystem.clear_instance_cache()  # of clients that another server had
        yield f"http://{host}:{port}"
        S3FileSystem.clear_instance_cache()
    server.stop()


@pytest.fixture
def bucket(endpoint: str) -> StoragePath:
    name = f"bucket-{uuid.uuid4().hex}"
    boto3.client("s3").create_bucket(Bucket=name)
    return storage_path("storage", f"s3://{name}/deep/down")


class Killed(Exception):
    """Stands for a process that dies right after an epoch."""


def run(folder: TrialFolder, recipe: Recipe, data: dict[str, Arrays], die_after: int | None = None) -> list[int]:
    reported: list[int] = []

    def report(record: EpochRecord) -> None:
        reported.append(record.epoch)
        if len(reported) == die_after:
            raise Killed

    with contextlib.suppress(Killed):
        search_and_retrain(POINT, recipe, 7, folder, data, CPU, report)
    return reported


def test_a_trial_killed_in_both_phases_ends_with_the_same_bits_as_a_local_one(
    tmp_path: Path, bucket: StoragePath, recipe: Recipe, data: dict[str, Arrays]
) -> None:
    local, remote = Experiment(tmp_path), Experiment(bucket / "name")
    for experiment in (local, remote):
        experiment.check(recipe.to_dict())
        experiment.open(recipe.to_dict())
        experiment.check(recipe.to_dict())
    assert run(local.trial("t"), recipe, data) == [1, 2, 1, 2, 3]
    assert run(remote.trial("t"), recipe, data, die_after=1) == [1]
    assert remote.records()["t"][0]["epoch"] == 1 and remote.table().loc[0, "status"] == "unfinished"
    assert run(remote.trial("t"), recipe, data, die_after=4) == [1, 2, 1, 2]
    assert run(remote.trial("t"), recipe, data) == [2, 3]

    here, there = local.table().drop(columns=TIMES), remote.table().drop(columns=TIMES)
    assert here.equals(there) and list(there["status"]) == [FINISHED]
    assert remote.trial("t").genotype.read_bytes() == local.trial("t").genotype.read_bytes()
    with local_copy(remote.trial("t").model) as path:
        assert path is not None
        mine, other = (
            Model.load(path, CPU).network.state_dict(),
            Model.load(tmp_path / "trials/t/model.safetensors", CPU),
        )
    assert all(torch.equal(tensor, other.network.state_dict()[name]) for name, tensor in mine.items())
    assert {path.name for path in remote.trial("t").path.iterdir()} == {
        path.name for path in local.trial("t").path.iterdir()
    }
    assert run(remote.trial("t"), recipe, data) == []


def test_a_network_starts_from_one_in_the_bucket(bucket: StoragePath, recipe: Recipe, data: dict[str, Arrays]) -> None:
    """Killed after an epoch and continued, like any other trial."""
    plain, folders = replace(recipe, strategy="fixed", warm_epochs=2), Experiment(bucket)
    points = [SearchPoint(lambda1=0, lambda2=0, p=0, held_bits=bits, held_timesteps=1) for bits in (4, 1)]
    search_and_retrain(points[0], plain, 7, folders.trial("root"), data, CPU, lambda record: None)
    epochs: list[int] = []

    def once(record: EpochRecord) -> None:
        epochs.append(record.epoch)
        raise Killed

    with contextlib.suppress(Killed):
        search_and_retrain(points[1], plain, 7, folders.trial("warm"), data, CPU, once, parent="root")
    warm = folders.trial("warm")
    search_and_retrain(points[1], plain, 7, warm, data, CPU, lambda record: epochs.append(record.epoch), parent="root")
    assert epochs == [1, 1, 2] and warm.row()["parent"] == "root" and warm.row()["status"] == FINISHED


def test_a_diverging_point(bucket: StoragePath, recipe: Recipe, data: dict[str, Arrays]) -> None:
    folder = Experiment(bucket).trial("t")
    point = SearchPoint(lambda1=1e300, lambda2=0, p=50)
    search_and_retrain(point, recipe, 0, folder, data, CPU, lambda record: None)
    assert (folder.read_result() or {})["status"] == DIVERGED and folder.has_outcome()


def test_a_damaged_checkpoint_gives_way_to_the_one_before(
    bucket: StoragePath, recipe: Recipe, data: dict[str, Arrays]
) -> None:
    folder = TrialFolder(bucket)
    run(folder, recipe, data, die_after=5)
    whole = read_bytes(folder.checkpoint("retrain")) or b""
    write_bytes(folder.checkpoint("retrain"), whole[: len(whole) // 2])
    said: list[Notice] = []
    search_and_retrain(POINT, recipe, 7, folder, data, CPU, lambda record: None, said.append)
    assert said == [CheckpointDamaged(phase="retrain", epoch=2)]
    assert (folder.read_result() or {})["status"] == FINISHED
    assert read_bytes(folder.checkpoint("retrain")) is read_bytes(folder.previous_checkpoint("retrain")) is None


def test_tables_equal_the_local_ones(tmp_path: Path, bucket: StoragePath) -> None:
    local, remote = Experiment(tmp_path), Experiment(bucket)
    assert list(remote.table()) == list(local.table()) and remote.outcomes() == {}
    for experiment in (local, remote):
        for i, status in enumerate((FINISHED, STOPPED, DIVERGED, FAILED, None, "no metrics")):
            trial = experiment.trial(f"t{i}")
            trial.write_start({"lambda1": 0.0, "lambda2": 0.1, "p": 10.0 * i, "seed": i}, {})
            if status != "no metrics":
                trial.write_records([{"phase": "search", "epoch": 1, "val_accuracy": 5.0 + i, "seconds": 2.0}])
            if status in (FINISHED, STOPPED, DIVERGED, FAILED):
                trial.write_result(status, val_accuracy=50.0 + i)
    (tmp_path / "trials" / "t0" / "result.json").write_text("{")
    (remote.trial("t0").path / "result.json").write_text("{")
    here, there = local.table().drop(columns="ended_at"), remote.table().drop(columns="ended_at")
    assert there.drop(columns="reason").equals(here.drop(columns="reason"))
    assert there.loc[0, "reason"].startswith(f"{remote.path}/trials/t0/result.json: expected an object")
    assert pickle.loads(pickle.dumps(remote)).table().equals(remote.table())
    assert remote.records() == local.records() and remote.outcomes() == local.outcomes()


def test_files_written_by_others_are_seen_at_once(bucket: StoragePath) -> None:
    """Nothing is kept of an earlier listing or of an earlier answer that there is no such file."""
    experiment = Experiment(bucket)
    seen: list[int] = []
    for i in range(5):
        thread = threading.Thread(
            target=lambda i=i: boto3.client("s3").put_object(
                Bucket=bucket.path.partition("/")[0], Key=f"deep/down/trials/t{i}/point.json", Body=b'{"p": 1.0}'
            )
        )
        assert not experiment.trial(f"t{i}").has_outcome()
        thread.start()
        thread.join()
        seen.append(len(experiment.table()))
    assert seen == [1, 2, 3, 4, 5]


def test_what_fails_while_a_file_is_made_leaves_nothing(bucket: StoragePath) -> None:
    with pytest.raises(Killed), local_draft(bucket / "a.bin") as path:
        path.write_bytes(b"half")
        raise Killed
    with local_copy(bucket / "a.bin") as copy:
        assert copy is None
    with local_draft(bucket / "a.bin") as path:
        path.write_bytes(bytes(6 * 2**20))  # in more than one part
    with local_copy(bucket / "a.bin") as copy:
        assert copy is not None and copy.stat().st_size == 6 * 2**20
    assert not copy.exists() and not path.exists()


def test_a_missing_bucket_and_missing_credentials_are_one_line(
    endpoint: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    missing = storage_path("storage", "s3://no-such-bucket/x")
    with pytest.raises(InputError, match=r"^storage: expected a bucket that can be reached, got s3://no-such.*NoSuchB"):
        check_path("storage", missing)
    with pytest.raises(InputError, match=r"^s3://no-such-bucket/x/experiment.json: expected a store that answers"):
        Experiment(missing).open({})
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(InputError, match=r"^storage: .*Unable to locate credentials"):
        Experiment(missing).check({})
