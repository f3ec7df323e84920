"""Files become the same numbers for a packed network as for the one that was trained."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image

from litesnn.checks import InputError
from litesnn.config import Recipe
from litesnn.data.dataset import Dataset, Split
from litesnn.data.features import clip_features
from litesnn.data.images import read_image
from litesnn.export.inputs import read_input
from litesnn.export.packed import Packed
from tests.litesnn.export.conftest import Trained


def fitting(trained: Trained, shape: tuple[int, ...], dataset: Dataset) -> Packed:
    """A packed network of other inputs; only what reading looks at."""
    recipe = dataclasses.replace(trained.model.recipe, input_shape=shape, crop_padding=0)
    mean, std = dataset.mean.numpy(), dataset.std.numpy()
    return dataclasses.replace(trained.packed, recipe=recipe, mean=mean, std=std)


def dataset_of(inputs: torch.Tensor) -> Dataset:
    split = Split(inputs, torch.zeros(len(inputs), dtype=torch.int64))
    return Dataset.build("own", ("a",), split, split, split)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P"])
@pytest.mark.parametrize(("channels", "size"), [(1, (9, 7)), (3, (9, 7)), (3, (20, 31))])
def test_images_to_the_last_bit(
    mode: str, channels: int, size: tuple[int, int], trained: Trained, tmp_path: Path
) -> None:
    draw = np.random.default_rng(0)
    exif = Image.Exif()
    exif[0x0112] = 6 if size != (9, 7) else 1
    Image.fromarray(draw.integers(0, 256, (*size, 4), np.uint8), "RGBA").convert(
        "RGBA" if mode == "RGBA" else "RGB"
    ).convert(mode).save(tmp_path / "x.png", exif=exif)
    dataset = dataset_of(torch.from_numpy(draw.integers(0, 256, (5, channels, 9, 7), np.uint8)))
    packed = fitting(trained, (channels, 9, 7), dataset)
    expected = dataset.normalise(read_image(tmp_path / "x.png", (channels, 9, 7))[None])[0]
    got = read_input(tmp_path / "x.png", packed)
    assert got.dtype == np.float32 and np.array_equal(got, expected.numpy())


def test_the_digits_to_the_last_bit(trained: Trained, tmp_path: Path) -> None:
    for n in range(5):
        Image.fromarray(trained.dataset.test.inputs[n, 0].numpy()).save(tmp_path / f"{n}.png")
        assert np.array_equal(read_input(tmp_path / f"{n}.png", trained.packed), trained.x[n].numpy())


def test_clips_to_the_last_bit(trained: Trained, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (3, 12_000))
    files = [tmp_path / f"{n}.wav" for n in range(3)]
    for file, wave in zip(files, noise, strict=True):
        soundfile.write(file, wave, 16_000)
    features = clip_features(files)
    dataset = dataset_of(features)
    got = read_input(files[1], fitting(trained, (1, 40, 98), dataset))
    assert np.array_equal(got, dataset.normalise(features)[1].numpy())


def test_files_that_do_not_fit(trained: Trained, tmp_path: Path) -> None:
    Image.new("L", (9, 8)).save(tmp_path / "wide.png")
    Image.new("F", (8, 8)).save(tmp_path / "deep.tif")
    (tmp_path / "text.png").write_text("no picture")
    soundfile.write(tmp_path / "clip.wav", np.zeros(100), 16_000)
    strict = dataclasses.replace(trained.packed, recipe=dataclasses.replace(trained.packed.recipe, resize="none"))
    assert read_input(tmp_path / "wide.png", trained.packed).shape == (1, 8, 8)
    cases = {"wide.png": "expected 8 x 8 pixels", "deep.tif": "16 bits per channel", "text.png": "a readable image"}
    cases |= {"clip.wav": "an image of 8 x 8 pixels", "missing.png": "a readable image", "": "a readable image"}
    for name, expected in cases.items():
        with pytest.raises(InputError, match=r"\Ainput: expected [^\n]+\Z") as error:
            read_input(tmp_path / name, strict)
        assert expected in str(error.value)
    with pytest.raises(InputError, match="input: expected 2 channels"):
        packed = dataclasses.replace(trained.packed, recipe=Recipe(input_shape=(2, 8, 8), crop_padding=0))
        read_input(tmp_path / "wide.png", packed)
