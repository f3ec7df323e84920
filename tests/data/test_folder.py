"""A user's folder of images or clips: what is read, and one line for everything that can be wrong with it."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image

from litesnn.checks import InputError
from litesnn.config import Recipe
from litesnn.data.features import mfcc, read_clip
from litesnn.data.folder import load_folder

IMAGES = Recipe.preset("cifar10", input_shape=(3, 4, 5), classes=2, val_fraction=0.5, resize="none")
CLIPS = Recipe.preset("gsc", classes=2)


def _save_image(path: Path, value: int = 0, size: tuple[int, int] = (5, 4)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (value, value, value)).save(path)


def _save_clip(path: Path, seed: int = 0, rate: int = 16000) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.random.default_rng(seed).normal(0, 0.1, 16000), rate)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Two classes; the pixel value tells part, class and number: train 10, 11, 20, 21; test 30, 40."""
    for part, first in (("train", 10), ("test", 30)):
        for label, name in enumerate(("cat", "dog")):
            for number in range(2 if part == "train" else 1):
                _save_image(tmp_path / part / name / f"{number}.png", first + 10 * label + number)
    return tmp_path


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    for part in ("train", "val", "test"):
        for name in ("no", "yes"):
            _save_clip(tmp_path / part / name / "a.wav", seed=len(part + name))
            _save_clip(tmp_path / part / name / "b.FLAC", seed=2 * len(part + name))
    return tmp_path


def _samples(split) -> list[tuple[int, int]]:
    """(label, pixel value) of each sample; an image has one value all over."""
    assert split.inputs.dtype == torch.uint8 and split.inputs.shape[1:] == (3, 4, 5)
    assert (split.inputs == split.inputs[:, :1, :1, :1]).all()
    return list(zip(split.labels.tolist(), split.inputs[:, 0, 0, 0].tolist(), strict=True))


def test_images_get_the_label_of_their_folder(images):
    dataset = load_folder(str(images), IMAGES, 2)
    assert dataset.classes == ("cat", "dog") and dataset.name == f"folder:{images}"
    assert sorted(_samples(dataset.train) + _samples(dataset.val)) == [(0, 10), (0, 11), (1, 20), (1, 21)]
    assert sorted(dataset.val.labels.tolist()) == [0, 1]  # val_fraction 0.5 of two images in each class
    assert _samples(dataset.test) == [(0, 30), (1, 40)]


def test_an_own_validation_folder_is_used_as_it_is(images):
    _save_image(images / "val" / "cat" / "x.png", 50)
    _save_image(images / "val" / "dog" / "x.png", 60)
    dataset = load_folder(str(images), IMAGES, 2)
    assert _samples(dataset.train) == [(0, 10), (0, 11), (1, 20), (1, 21)]
    assert _samples(dataset.val) == [(0, 50), (1, 60)]


def test_suffixes_are_read_in_any_case_and_litter_is_skipped(images):
    for suffix in (".JPG", ".jpeg", ".BMP", ".WebP"):
        _save_image(images / "test" / "dog" / f"more{suffix}")
    (images / "test" / "dog" / ".DS_Store").write_bytes(b"x")
    (images / "test" / "dog" / "Thumbs.db").write_bytes(b"x")
    (images / "test" / ".cache").mkdir()
    (images / "test" / "README.txt").write_text("x")
    assert load_folder(str(images), IMAGES, 2).test.labels.tolist() == [0, 1, 1, 1, 1, 1]


def test_a_grey_recipe_gives_one_channel(images):
    dataset = load_folder(str(images), Recipe.preset("cifar10", input_shape=(1, 4, 5), val_fraction=0.5), 2)
    assert dataset.test.inputs.shape == (2, 1, 4, 5)


def test_clips_become_features(clips):
    dataset = load_folder(str(clips), CLIPS, 2)
    assert dataset.classes == ("no", "yes")
    for part, split in (("train", dataset.train), ("val", dataset.val), ("test", dataset.test)):
        files = [clips / part / name / file for name in ("no", "yes") for file in ("a.wav", "b.FLAC")]
        expected = mfcc(torch.stack([read_clip(file) for file in files]))
        torch.testing.assert_close(split.inputs, expected)
        assert split.labels.tolist() == [0, 0, 1, 1]
    assert dataset.mean.shape == (1, 40, 1)


def test_progress_counts_the_files_of_all_splits(clips):
    seen = []
    load_folder(str(clips), CLIPS, 2, lambda *counts: seen.append(counts))
    assert seen == [(4, 12), (8, 12), (12, 12)]


def test_a_leading_tilde_is_the_home_folder(images, monkeypatch):
    monkeypatch.setenv("HOME", str(images.parent))
    assert len(load_folder(f"~/{images.name}", IMAGES, 2).test) == 2


def _remove_class(root: Path) -> None:
    (root / "test" / "dog" / "0.png").unlink()
    (root / "test" / "dog").rmdir()


def _nest(root: Path) -> None:
    """All one level deeper than it should be."""
    (root / "mine").mkdir()
    for part in ("train", "test"):
        (root / part).rename(root / "mine" / part)


def _resize_two(root: Path) -> None:
    for part in ("train", "test"):
        _save_image(root / part / "dog" / "0.png", size=(6, 4))


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:40])


BROKEN = [  # what is done to the good folder, the start of the text with {} for the folder
    (_nest, "{0}/mine/test: expected only files in a class folder, got this folder; is folder:{0}/mine what is meant?"),
    (lambda r: (r / "val").mkdir(), "{}/val: expected one folder per class, got none"),
    (_remove_class, "{}/test: expected the classes of train/, got no 'dog'"),
    (
        lambda r: _save_image(r / "test" / "cow" / "0.png"),
        "{}/test: expected the classes of train/, got 'cow' besides",
    ),
    (lambda r: _save_image(r / "val" / "cat" / "0.png"), "{}/val: expected the classes of train/, got no 'dog'"),
    (lambda r: (r / "train" / "bee").mkdir(), "{}/train/bee: expected at least 1 image or clip, got an empty class"),
    (lambda r: (r / "test" / "dog" / "0.png").unlink(), "{}/test/dog: expected at least 1 image or clip, got an empty"),
    (lambda r: _save_image(r / "train" / "0.png"), "{}/train/0.png: expected it inside a class folder, got it beside"),
    (lambda r: (r / "train" / "dog" / "a.txt").touch(), "{}/train/dog/a.txt: expected only .png "),
    (lambda r: (r / "train" / "dog" / "more").mkdir(), "{}/train/dog/more: expected only files in a class "),
    (lambda r: _save_clip(r / "test" / "dog" / "a.wav"), "{}/test/dog/a.wav: expected only images or only clips in "),
    (lambda r: _truncate(r / "train" / "dog" / "1.png"), "{}/train/dog/1.png: expected a readable image, got "),
    (
        _resize_two,
        "{}/train/dog/0.png: expected 4 x 5 pixels (height x width), got 4 x 6",
    ),
]


@pytest.mark.parametrize(("change", "text"), BROKEN)
def test_a_bad_image_folder_is_one_line_that_says_where(images, change, text):
    load_folder(str(images), IMAGES, 2)  # it is the change that makes it bad
    change(images)
    with pytest.raises(InputError) as error:
        load_folder(str(images), IMAGES, 2)
    assert str(error.value).startswith(text.format(images))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (
            lambda r: _truncate(r / "val" / "no" / "b.FLAC"),
            "{}/val/no/b.FLAC: expected a readable WAV, FLAC, Ogg or MP3 file, got ",
        ),
        (
            lambda r: _save_clip(r / "train" / "yes" / "a.wav", rate=80),
            "{}/train/yes/a.wav: expected a rate of 1000 to 1000000 Hz, got 80",
        ),
    ],
)
def test_a_bad_clip_folder_is_one_line_that_says_where(clips, change, text):
    change(clips)
    with pytest.raises(InputError) as error:
        load_folder(str(clips), CLIPS, 2)
    assert str(error.value).startswith(text.format(clips))


def test_recipe_and_folder_must_fit(images, tmp_path_factory):
    with pytest.raises(InputError, match=r"train: expected 3 class folders \(the recipe's classes\), got 2$"):
        load_folder(str(images), IMAGES, 3)
    with pytest.raises(InputError, match=r"^input_shape: expected 1 or 3 channels for images, got \(2, 4, 5\)$"):
        load_folder(str(images), Recipe.preset("cifar10", input_shape=(2, 4, 5)), 2)
    root = tmp_path_factory.mktemp("clips")
    for part in ("train", "test"):
        for name in ("a", "b"):
            _save_clip(root / part / name / "0.wav")
    with pytest.raises(InputError, match=r"^input_shape: expected \(1, 40, 98\) for clips, got \(3, 4, 5\)$"):
        load_folder(str(root), IMAGES, 2)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(InputError, match="^folder:.*nowhere: expected a folder, got none at "):
        load_folder(str(tmp_path / "nowhere"), IMAGES, 2)


def test_without_a_test_folder_a_share_of_each_class_is_held_out(tmp_path):
    """20 files of each class: 4 for the test, half of the rest to validate; by names and seed alone."""
    for label, name in enumerate(("cat", "dog")):
        for number in range(20):
            _save_image(tmp_path / name / f"{number:02}.png", 100 * label + number)
    recipe = Recipe.preset("cifar10", input_shape=(3, 4, 5), classes=2, val_fraction=0.5)
    said: list[str] = []
    dataset = load_folder(str(tmp_path), recipe, 2, say=said.append)
    parts = [_samples(split) for split in (dataset.train, dataset.val, dataset.test)]
    assert [len(part) for part in parts] == [16, 16, 8]
    assert sorted(sum(parts, [])) == [(label, 100 * label + number) for label in (0, 1) for number in range(20)]
    assert dataset.test.labels.tolist() == [0] * 4 + [1] * 4
    assert said[0] == f"folder:{tmp_path}: 2 classes (cat, dog), 40 images"
    assert said[1] == (
        "16 to train, 16 to validate, 8 to test; held out of the class folders: 20 % of each class for the test, "
        "50 % of the rest for validation, seed 0"
    )
    again = load_folder(str(tmp_path), recipe, 2)
    assert torch.equal(again.test.inputs, dataset.test.inputs)
    other = load_folder(str(tmp_path), dataclasses.replace(recipe, split_seed=1), 2)
    assert not torch.equal(other.test.inputs, dataset.test.inputs)


def test_images_of_any_size_are_resized(images):
    _save_image(images / "train" / "cat" / "1.png", 11, size=(50, 12))
    dataset = load_folder(str(images), dataclasses.replace(IMAGES, resize="crop"), 2)
    assert sorted(_samples(dataset.train) + _samples(dataset.val)) == [(0, 10), (0, 11), (1, 20), (1, 21)]


def test_damaged_files_are_refused_by_name_or_left_out_and_listed(images):
    _truncate(images / "train" / "dog" / "1.png")
    (images / "train" / "cat" / "notes.txt").touch()
    with pytest.raises(InputError, match="notes.txt: expected only .png"):
        load_folder(str(images), IMAGES, 2)
    said: list[str] = []
    dataset = load_folder(str(images), IMAGES, 2, skip_damaged=True, say=said.append)
    assert sorted(_samples(dataset.train) + _samples(dataset.val)) == [(0, 10), (0, 11), (1, 20)]
    start = said.index("skipped 2 files that cannot be read:")
    assert said[start + 1] == f"  {images}/train/cat/notes.txt: of another kind"
    assert said[start + 2].startswith(f"  {images}/train/dog/1.png: expected a readable image, got ")
    _truncate(images / "test" / "dog" / "0.png")
    with pytest.raises(InputError, match="test/dog: expected at least 1 readable file, got expected a readable image"):
        load_folder(str(images), IMAGES, 2, skip_damaged=True)


def test_few_and_unbalanced_samples_are_warned_of(images):
    for number in range(50):
        _save_image(images / "train" / "cat" / f"more{number}.png")
    said: list[str] = []
    load_folder(str(images), dataclasses.replace(IMAGES, val_fraction=0.1), 2, say=said.append)
    warnings = [text for text in said if text.startswith("warning: ")]
    assert warnings == [
        "warning: 1 class with fewer than 20 samples to train on, the smallest 'dog' with 1; expect little",
        "warning: classes are unbalanced, 'cat' has 47 times the samples of 'dog'; always answering 'cat' would be right "
        "in 98 % of cases",
        "warning: 6 samples in the validation split; one of them moves its accuracy by 16.7 points",
        "warning: 2 samples in the test split; one of them moves its accuracy by 50.0 points",
    ]


def test_a_retraining_of_few_steps_is_warned_of(images):
    for number in range(2):
        _save_image(images / "train" / "cat" / f"more{number}.png")
    said: list[str] = []
    recipe = dataclasses.replace(IMAGES, val_fraction=0.1, retrain_batch=2, retrain_epochs=8)
    dataset = load_folder(str(images), recipe, 2, say=said.append)
    batches = len(dataset.train) // 2
    assert (
        f"warning: a retraining has {8 * batches} steps, 8 epochs of {batches} batch{'es' * (batches > 1)}; "
        "a smaller --retrain-batch and more --retrain-epochs give more"
    ) in said
    said.clear()
    load_folder(str(images), dataclasses.replace(recipe, retrain_epochs=200), 2, say=said.append)
    assert not any("a retraining has" in text for text in said)
