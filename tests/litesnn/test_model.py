"""Saved models: the same logits, without the auxiliary head; files that are no models."""

import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load, save_file

from litesnn.checks import InputError
from litesnn.config import Recipe
from litesnn.data.dataset import Dataset
from litesnn.genotype import Genotype
from litesnn.model import Model
from litesnn.retraining import retrain

CPU = torch.device("cpu")


@pytest.fixture
def model(tiny_recipe: Callable[..., Recipe], tiny_dataset: Dataset, tiny_genotype: Genotype) -> Model:
    return retrain(tiny_genotype, tiny_recipe(retrain_epochs=1), dataset=tiny_dataset).model


def test_there_and_back(model: Model, tiny_dataset: Dataset, tmp_path: Path) -> None:
    model.save(tmp_path / "m.safetensors")
    torch.manual_seed(99)
    again = Model.load(tmp_path / "m.safetensors", CPU)
    x = torch.rand(5, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        first = model.network((x - model.mean) / model.std, 2, measure_rates=True)
        second = again.network((x - again.mean) / again.std, 2, measure_rates=True)
    assert torch.equal(first.logits, second.logits)
    assert first.rates is not None and second.rates is not None and torch.equal(first.rates, second.rates)
    assert first.logits.std() > 0
    assert (again.genotype, again.recipe, again.classes) == (model.genotype, model.recipe, ("a", "b", "c"))
    assert torch.equal(again.mean, tiny_dataset.mean) and torch.equal(again.std, tiny_dataset.std)
    assert not again.network.training


def test_the_auxiliary_head_is_not_in_the_file(model: Model, tmp_path: Path) -> None:
    model.save(tmp_path / "m.safetensors")
    with safe_open(tmp_path / "m.safetensors", framework="pt") as file:
        names = list(file.keys())
        kept = {tuple(file.get_tensor(name).shape) for name in names}
    assert names and not [name for name in names if "aux" in name]
    assert (128, 6, 1, 1) not in kept  # the head's convolution under any name
    assert not [n for n, _ in Model.load(tmp_path / "m.safetensors", CPU).network.named_parameters() if "aux" in n]


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "missing", tmp_path):
        with pytest.raises(InputError, match=r"\Amodel: expected a readable file, got [^\n]+\Z"):
            Model.load(path, CPU)


@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.99])
def test_a_truncated_file_is_refused(model: Model, tmp_path: Path, share: float) -> None:
    path = tmp_path / "m.safetensors"
    model.save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(InputError, match=r"\Amodel: expected a safetensors file, got [^\n]+\Z"):
        Model.load(path, CPU)


@pytest.mark.parametrize("content", [b"hello", b"\x80\x02}q\x00.", bytes(200), b"\xff" * 64])
def test_a_foreign_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "m").write_bytes(content)
    with pytest.raises(InputError, match=r"\Amodel: [^\n]+\Z"):
        Model.load(tmp_path / "m", CPU)


def test_another_programs_safetensors_are_refused(tmp_path: Path) -> None:
    save_file({"x": torch.ones(3)}, tmp_path / "m")
    with pytest.raises(InputError, match=r"\Amodel: expected format [^\n]+, got None in [^\n]+\Z"):
        Model.load(tmp_path / "m", CPU)


def test_a_model_without_its_tensors_is_refused(model: Model, tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    model.save(path)
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    save_file({"x": torch.ones(3)}, path, metadata)
    with pytest.raises(InputError, match=r"\Amodel: [^\n]+\Z"):
        Model.load(path, CPU)


def test_every_flipped_bit_is_found(model: Model, tmp_path: Path) -> None:
    """Anywhere in the file: in the header, in its checksum, in a weight."""
    path = tmp_path / "m.safetensors"
    model.save(path)
    whole, draw = path.read_bytes(), random.Random(0)
    header = 8 + int.from_bytes(whole[:8], "little")
    for number in range(200):
        place = draw.randrange(header if number % 2 else len(whole))
        flipped = bytearray(whole)
        flipped[place] ^= 1 << draw.randrange(8)
        path.write_bytes(flipped)
        if json.loads(whole[8:header]) != _header(flipped):  # a blank at the header's end may be another blank
            with pytest.raises(InputError, match=r"\Amodel: [^\n]+\Z"):
                Model.load(path, CPU)


def test_a_file_of_an_earlier_version_has_no_checksum(model: Model, tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    model.save(path)
    tensors, header = load(path.read_bytes()), _header(path.read_bytes())["__metadata__"]
    crc = header.pop("crc32")
    save_file(tensors, path, {**header, "format": "litesnn-1"})
    assert Model.load(path, CPU).genotype == model.genotype
    for metadata in ({**header, "format": "litesnn-1", "crc32": crc}, header, {**header, "crc33": crc}):
        save_file(tensors, path, metadata)
        with pytest.raises(InputError, match="another checksum"):
            Model.load(path, CPU)


def test_a_network_larger_than_its_file_is_refused(model: Model, tmp_path: Path) -> None:
    wide = replace(model, recipe=replace(model.recipe, retrain_channels=4000, search_channels=4000))
    wide.save(tmp_path / "m.safetensors")
    with pytest.raises(InputError, match="weights in a file of fewer"):
        Model.load(tmp_path / "m.safetensors", CPU)


def _header(content: bytes) -> Any:
    try:
        return json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    except (ValueError, RecursionError):
        return None
