"""CIFAR from tiny archives in the official layout: pickled dictionaries of [n, 3072] rows."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision.datasets.cifar

from litesnn.checks import InputError
from litesnn.config import Recipe
from litesnn.data.cifar import load_cifar

TRAIN_FILES = [f"data_batch_{number}" for number in range(1, 6)]


@pytest.fixture(autouse=True)
def _own_checksums(monkeypatch):
    """Only the official files have the checksums torchvision knows; ours are intact if they are there at all."""
    monkeypatch.setattr(torchvision.datasets.cifar, "check_integrity", lambda path, md5=None: Path(path).is_file())


def _rows(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 3072), dtype=np.uint8)


def _dump(path: Path, content: dict) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(pickle.dumps(content, protocol=2))


@pytest.fixture
def cifar10(tmp_path: Path) -> Path:
    folder = tmp_path / "cifar-10-batches-py"
    for seed, name in enumerate([*TRAIN_FILES, "test_batch"]):
        _dump(folder / name, {"data": _rows(20, seed), "labels": [n % 10 for n in range(20)]})
    _dump(folder / "batches.meta", {"label_names": [f"class {n}" for n in range(10)]})
    return tmp_path


def test_cifar10_rows_become_channels_first_images(cifar10):
    dataset = load_cifar("cifar10", Recipe.preset("cifar10"), cifar10, download=False)
    assert dataset.classes == tuple(f"class {n}" for n in range(10))
    # A row is 1024 red, 1024 green and 1024 blue pixels, each row by row.
    assert dataset.test.inputs.dtype == torch.uint8
    np.testing.assert_array_equal(dataset.test.inputs, _rows(20, 5).reshape(20, 3, 32, 32))
    assert dataset.test.labels.tolist() == [n % 10 for n in range(20)]

    assert dataset.val.labels.bincount().tolist() == [1] * 10  # 10 % of 10 images in each class
    labels = {row.tobytes(): n % 10 for seed in range(5) for n, row in enumerate(_rows(20, seed))}
    for split in (dataset.train, dataset.val):
        assert [labels.pop(image.tobytes()) for image in split.inputs.numpy()] == split.labels.tolist()
    assert not labels  # all 100 images were there, each once


def test_cifar100_uses_the_fine_labels(tmp_path):
    folder = tmp_path / "cifar-100-python"
    for seed, (name, count) in enumerate((("train", 200), ("test", 100))):
        labels = {"fine_labels": [n % 100 for n in range(count)], "coarse_labels": [0] * count}
        _dump(folder / name, {"data": _rows(count, seed), **labels})
    _dump(folder / "meta", {"fine_label_names": [f"fine {n}" for n in range(100)]})
    dataset = load_cifar("cifar100", Recipe.preset("cifar100"), tmp_path, download=False)
    assert len(dataset.classes) == 100
    assert dataset.test.labels.tolist() == list(range(100))


def test_missing_data_says_what_where_and_how_to_get_it(tmp_path):
    with pytest.raises(InputError) as error:
        load_cifar("cifar10", Recipe.preset("cifar10"), tmp_path, download=False)
    assert str(error.value).startswith(f"cifar10: expected the folder 'cifar-10-batches-py' in '{tmp_path}', got no ")
    assert "--download" in str(error.value) and "--data-root" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("file", ["data_batch_3", "test_batch", "batches.meta"])
@pytest.mark.parametrize("content", [None, b"", b"\x80\x02", b"no pickle", pickle.dumps({})])
def test_damaged_data_is_one_line(cifar10, file, content):
    path = cifar10 / "cifar-10-batches-py" / file
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(
        InputError, match="^cifar10: expected intact files in '.*cifar-10-batches-py', got .*--download$"
    ):
        load_cifar("cifar10", Recipe.preset("cifar10"), cifar10, download=False)


def test_wrong_checksums_are_refused(cifar10, monkeypatch):
    monkeypatch.undo()  # with the official checksums these files are damaged ones
    with pytest.raises(InputError, match="^cifar10: expected intact files in .*, got a file that is missing or whose"):
        load_cifar("cifar10", Recipe.preset("cifar10"), cifar10, download=False)


@pytest.mark.parametrize("error", [OSError("no route\nto host"), RuntimeError("File not found or corrupted.")])
def test_a_failed_download_is_one_line(tmp_path, monkeypatch, error):
    def refuse(*args, **kwargs):
        raise error

    monkeypatch.setattr(torchvision.datasets.cifar, "download_and_extract_archive", refuse)
    with pytest.raises(
        InputError, match="^cifar10: expected to download it to .*, got '(no route to host|File not)"
    ) as e:
        load_cifar("cifar10", Recipe.preset("cifar10"), tmp_path, download=True)
    assert "\n" not in str(e.value)
