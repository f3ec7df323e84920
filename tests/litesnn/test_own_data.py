"""A folder of photos or clips and nothing else: the recipe gets its numbers, and a shipped network reads the same way."""

import argparse
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from litesnn import InputError, Recipe, cli
from litesnn.export.packed import read_packed
from litesnn.options import add_recipe_options, recipe_from


def recipe_of(*options: str) -> Recipe:
    parser = argparse.ArgumentParser()
    add_recipe_options(parser)
    return recipe_from(parser.parse_args(list(options)))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Three classes by brightness, of mixed sizes and kinds, a class folder each."""
    draw = np.random.default_rng(0)
    for label, name in enumerate(("dark", "grey", "light")):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(12):
            height, width = draw.integers(6, 40, 2)
            pixels = draw.integers(0, 60, (height, width, 3)) + 90 * label
            image = Image.fromarray(pixels.astype(np.uint8))
            exif = Image.Exif()
            exif[0x0112] = number % 8 + 1
            mode = ("RGB", "L", "P", "RGBA")[number % 4]
            image.convert(mode).save(tmp_path / "photos" / name / f"{number}.png", exif=exif)
    return tmp_path / "photos"


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    for number, name in enumerate(("train/no", "train/yes", "test/no", "test/yes")):
        (tmp_path / "clips" / name).mkdir(parents=True)
        noise = np.random.default_rng(number).uniform(-0.5, 0.5, 4000)
        soundfile.write(tmp_path / "clips" / name / "a.ogg", noise, 8000)
    return tmp_path / "clips"


def test_classes_are_counted_and_the_shape_is_the_presets(photos: Path) -> None:
    recipe = recipe_of("--preset", "cifar10-small", "--dataset", f"folder:{photos}")
    assert (recipe.dataset, recipe.classes, recipe.input_shape) == (f"folder:{photos}", 3, (3, 32, 32))
    assert recipe_of("--dataset", f"folder:{photos}").input_shape == (1, 8, 8)


@pytest.mark.parametrize(("size", "shape"), [("16", (3, 16, 16)), ("12x20", (3, 12, 20)), ("12X20", (3, 12, 20))])
def test_image_size(photos: Path, size: str, shape: tuple[int, ...]) -> None:
    options = ["--preset", "cifar10", "--dataset", f"folder:{photos}", "--image-size", size]
    assert recipe_of(*options).input_shape == shape


def test_what_is_given_stays(photos: Path) -> None:
    assert recipe_of("--dataset", f"folder:{photos}", "--classes", "7").classes == 7


def test_a_preset_that_searches_on_other_data_searches_on_the_folder(photos: Path) -> None:
    recipe = recipe_of("--preset", "cifar100", "--dataset", f"folder:{photos}")
    assert (recipe.searched_dataset, recipe.searched_classes) == (recipe.dataset, 3)
    other = recipe_of("--preset", "cifar10", "--search-dataset", f"folder:{photos}")
    assert (other.searched_dataset, other.searched_classes, other.classes) == (f"folder:{photos}", 3, 10)


def test_clips_get_the_shape_of_their_features_and_no_change_made_for_pictures(clips: Path, photos: Path) -> None:
    recipe = recipe_of("--preset", "cifar10", "--dataset", f"folder:{clips}")
    assert (recipe.input_shape, recipe.classes) == ((1, 40, 98), 2)
    assert (recipe.crop_padding, recipe.horizontal_flip, recipe.cutout) == (0, False, 0)
    assert recipe_of("--preset", "gsc", "--dataset", f"folder:{clips}", "--cutout", "3").cutout == 3
    with pytest.raises(InputError, match="^image-size: expected the size that images get, since the recipe is one for"):
        recipe_of("--preset", "gsc", "--dataset", f"folder:{photos}")
    assert recipe_of("--preset", "gsc", "--dataset", f"folder:{photos}", "--image-size", "8").input_shape == (1, 8, 8)


def test_from_photos_to_an_answer(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Searched, trained, shipped: a photo gets the scores that evaluation gives it."""
    tiny = "--preset cifar10-small --image-size 8 --widths 1 --search-channels 2 --retrain-channels 2 --timesteps 1"
    tiny += " --search-epochs 1 --retrain-epochs 1 --crop-padding 0 --cutout 0"
    common = ["--dataset", f"folder:{photos}", "--threads", "1", "--out", str(tmp_path / "out")]
    assert cli.main(["search", *tiny.split(), *common]) == 0
    said = capsys.readouterr().out
    assert f"folder:{photos}: 3 classes (dark, grey, light), 36 images" in said
    assert "held out of the class folders: 20 % of each class for the test, 10 % of the rest for validation" in said
    (photos / "dark" / "bad.png").touch()
    genotype = str(tmp_path / "out" / "genotype.json")
    assert cli.main(["retrain", genotype, *common]) == 2
    assert capsys.readouterr().err.strip().endswith("--skip-damaged leaves it out")
    assert cli.main(["retrain", genotype, *common, "--skip-damaged"]) == 0
    assert "skipped 1 file that cannot be read:" in capsys.readouterr().out
    facts = json.loads((tmp_path / "out" / "result.json").read_text())
    assert facts["additions_exact"] > 0 and facts["additions"] > 0
    assert facts["energy_bits_mj"] > 0 and facts["energy_mj"] > 0
    model = tmp_path / "out" / "model.safetensors"
    assert cli.main(["export", str(model)]) == 0
    assert read_packed(model.with_suffix(".lsnn")).recipe.resize == "crop"
    assert cli.main(["run", str(model.with_suffix(".lsnn")), str(photos / "grey" / "6.png")]) == 0
    assert "dark" in capsys.readouterr().out
