"""``load``: which data set, from where, checked against the recipe."""

import subprocess
import sys

import pytest
from PIL import Image

from litesnn.checks import InputError
from litesnn.config import Recipe
from litesnn.data import load


@pytest.fixture
def folder(tmp_path):
    for part, count in (("train", 2), ("test", 1)):
        for name in "abc":
            for number in range(count):
                path = tmp_path / "mine" / part / name / f"{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.new("L", (8, 8), 10 * number).save(path)
    return tmp_path / "mine"


def test_digits_need_no_folder():
    dataset = load(Recipe.preset("digits"))
    assert dataset.name == "digits" and dataset.input_shape == (1, 8, 8) and len(dataset.classes) == 10


def test_searching_reads_the_data_set_of_the_search(folder):
    recipe = Recipe.preset("digits", search_dataset=f"folder:{folder}", search_classes=3, val_fraction=0.5)
    assert load(recipe).name == "digits"
    assert load(recipe, searching=True).classes == ("a", "b", "c")
    same = Recipe.preset("digits")
    assert load(same, searching=True).name == "digits"


def test_everything_lies_on_the_device():
    dataset = load(Recipe.preset("digits"), device="meta")
    for tensor in (dataset.train.inputs, dataset.val.labels, dataset.test.inputs, dataset.mean, dataset.std):
        assert tensor.device.type == "meta"


def test_progress_reaches_the_folder_loader(folder):
    seen = []
    recipe = Recipe.preset("digits", dataset=f"folder:{folder}", classes=3)
    load(recipe, progress=lambda *counts: seen.append(counts))
    assert seen == [(6, 9), (9, 9)]


@pytest.mark.parametrize(
    ("preset", "changes", "options", "text"),
    [
        ("digits", {"input_shape": (3, 8, 8)}, {}, "input_shape: expected (1, 8, 8) for digits, got (3, 8, 8)"),
        ("cifar10", {"input_shape": (3, 8, 8)}, {}, "input_shape: expected (3, 32, 32) for cifar10, got (3, 8, 8)"),
        (
            "gsc",
            {"input_shape": (1, 40, 99)},
            {},
            "input_shape: expected (1, 40, 98) for speech_commands, got (1, 40, 99)",
        ),
        ("digits", {"classes": 9}, {}, "classes: expected 10 for digits, got 9"),
        ("cifar100", {"classes": 10}, {}, "classes: expected 100 for cifar100, got 10"),
        ("cifar100", {"search_classes": 20}, {"searching": True}, "search_classes: expected 10 for cifar10, got 20"),
        ("digits", {}, {"device": "cuda:99"}, "device: expected a device that torch can use here, got 'cuda:99'"),
        ("digits", {}, {"device": "gpu"}, "device: expected a device that torch can use here, got 'gpu'"),
        ("digits", {}, {"data_root": "/no/such"}, "data-root: expected an existing folder, got '/no/such'"),
    ],
)
def test_what_does_not_fit_is_one_line(preset, changes, options, text):
    with pytest.raises(InputError) as error:
        load(Recipe.preset(preset, **changes), **options)
    assert str(error.value) == text


def test_the_default_root_is_looked_up_when_called(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(InputError, match=f"^cifar10: .* in '{tmp_path}/.cache/litesnn'"):
        load(Recipe.preset("cifar10"))
    assert not (tmp_path / ".cache").exists()  # looking makes nothing


def test_a_given_root_is_used(tmp_path):
    for preset in ("cifar10", "cifar100", "gsc"):
        with pytest.raises(InputError, match=f" in '{tmp_path}'"):
            load(Recipe.preset(preset), data_root=str(tmp_path))


def test_importing_needs_none_of_the_readers():
    code = (
        "import sys, litesnn.data\n"
        "print(sorted({'sklearn', 'torchvision', 'torchaudio', 'soundfile', 'PIL', 'ray'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
