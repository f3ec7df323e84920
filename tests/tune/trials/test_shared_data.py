"""Data go to a device once in a process, whatever its trials do; on a CPU nothing is copied. The GPU is one of PyTorch's fake mode."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from benchmarks.stand_in import Watch, size
from litesnn import DivergedError, Recipe, SearchPoint
from litesnn.data import eval_batches
from litesnn.data.dataset import Dataset
from litesnn.genotype import Genotype
from litesnn.phase import EpochRecord
from tune.storage.store import TrialFolder
from tune.trials import shared_data
from tune.trials.shared_data import Arrays, from_arrays, on_device
from tune.trials.trial import search_and_retrain

CUDA = torch.device("cuda")
POINTS = [SearchPoint(lambda1=0, lambda2=0, p=p) for p in (50, 80)]


class Passes:
    """Stands for a phase on a GPU: an epoch goes through the training and the validation split and trains nothing."""

    name = ""

    def __init__(self, what: object, recipe: Recipe, dataset: Dataset, **more: Any) -> None:
        self.dataset = dataset
        self.records: list[EpochRecord] = []

    @property
    def done(self) -> bool:
        return len(self.records) == 2

    def run_epoch(self) -> EpochRecord:
        for split in (self.dataset.train, self.dataset.val):
            assert all(x.device.type == "cuda" for x, _ in eval_batches(self.dataset, split, 100))
        values: dict[str, Any] = {
            "loss": 1.0,
            "val_accuracy": 50.0,
            "model_size_bits": 100,
            "bit_synops": 1.0,
            "timesteps": 1,
        }
        epoch = len(self.records) + 1
        self.records.append(EpochRecord(phase=self.name, epoch=epoch, epochs=2, seconds=1.0, **values))
        return self.records[-1]

    def save(self, path: Path) -> None:
        path.write_bytes(b"state")

    def genotype(self) -> Genotype:
        return Genotype(
            nodes=(((0, "conv3x3"), (1, "skip")), ((1, "conv3x3"), (2, "skip"))), bits=(2, 1), timesteps=2, p=50
        )

    def finish(self) -> None:
        raise DivergedError("there is no network")


class SearchPasses(Passes):
    name = "search"


class RetrainPasses(Passes):
    name = "retrain"


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Iterator[Watch]:
    monkeypatch.setattr(shared_data, "_held", {})
    monkeypatch.setattr("tune.trials.trial.Search", SearchPasses)
    monkeypatch.setattr("tune.trials.trial.Retrain", RetrainPasses)
    found = Watch(strict=False)
    with FakeTensorMode(allow_non_fake_inputs=True), found:
        yield found


def sizes(data: Dataset) -> list[int]:
    """Bytes of every tensor."""
    splits = (data.train, data.val, data.test)
    tensors = [tensor for split in splits for tensor in (split.inputs, split.labels)] + [data.mean, data.std]
    return sorted(map(size, tensors))


def test_search_retraining_and_the_next_trial_share_one_copy_on_the_device(
    watch: Watch, tmp_path: Path, recipe: Recipe, data: dict[str, Arrays]
) -> None:
    reported: list[EpochRecord] = []
    wanted, searching = sizes(from_arrays(data["search"])), replace(recipe, strategy="darts")
    for number, point in enumerate(POINTS):
        # Every trial gets what the object store hands out, a dictionary of its own.
        own = pickle.loads(pickle.dumps(data))
        search_and_retrain(point, searching, 0, TrialFolder(tmp_path / str(number)), own, CUDA, reported.append)
    assert [record.phase for record in reported] == 2 * ["search", "search", "retrain", "retrain"]
    assert sorted(watch.uploads) == wanted


def test_another_data_set_is_another_copy_and_no_more_are_kept_than_an_experiment_has(
    watch: Watch, data: dict[str, Arrays]
) -> None:
    first = on_device(data["search"], CUDA)
    assert on_device(pickle.loads(pickle.dumps(data["search"])), CUDA) is first
    for key in ("another", "a third"):
        assert on_device({**data["search"], "key": key}, CUDA) is not first
    assert len(shared_data._held) == 2 and on_device(data["search"], CUDA) is not first


def test_on_a_cpu_the_tensors_are_the_arrays_themselves(data: dict[str, Arrays]) -> None:
    before = dict(shared_data._held)
    found = on_device(data["search"], torch.device("cpu"))
    for name in ("train", "val", "test"):
        split = getattr(found, name)
        assert split.inputs.data_ptr() == data["search"][f"{name}.inputs"].ctypes.data
        assert split.labels.data_ptr() == data["search"][f"{name}.labels"].ctypes.data
    assert shared_data._held == before
