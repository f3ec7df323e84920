"""Image files with known pixels, and the files that are refused."""

import numpy as np
import pytest
import torch
from PIL import Image

from litesnn.checks import InputError
from litesnn.data.images import read_image, read_images

COLOURS = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3) * 3  # height 4, width 6


@pytest.mark.parametrize("suffix", [".png", ".bmp"])
def test_colour_pixels_come_channels_first(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    Image.fromarray(COLOURS).save(path)
    image = read_image(path, (3, 4, 6))
    assert image.dtype == torch.uint8
    np.testing.assert_array_equal(image, COLOURS.transpose(2, 0, 1))


def test_webp_is_read(tmp_path):
    Image.fromarray(COLOURS).save(tmp_path / "a.webp", lossless=True)
    np.testing.assert_array_equal(read_image(tmp_path / "a.webp", (3, 4, 6)), COLOURS.transpose(2, 0, 1))


def test_colour_becomes_grey_and_grey_becomes_colour(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(COLOURS).save(path)
    luma = COLOURS.astype(float) @ [0.299, 0.587, 0.114]  # ITU-R 601
    np.testing.assert_allclose(read_image(path, (1, 4, 6))[0], luma, atol=1)
    Image.fromarray(COLOURS[:, :, 0]).save(path)
    np.testing.assert_array_equal(read_image(path, (3, 4, 6)), np.stack([COLOURS[:, :, 0]] * 3))


@pytest.mark.parametrize("mode", ["RGBA", "P", "1", "LA"])
def test_other_eight_bit_modes_are_converted(tmp_path, mode):
    Image.fromarray(COLOURS).convert(mode).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png", (3, 4, 6)).shape == (3, 4, 6)


def test_images_are_stacked_in_order(tmp_path):
    paths = [tmp_path / f"{value}.png" for value in (7, 3, 9)]
    for path in paths:
        Image.new("L", (2, 2), int(path.stem)).save(path)
    assert read_images(paths, (1, 2, 2)).flatten(1)[:, 0].tolist() == [7, 3, 9]


def _save_cut_off(path):
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:-30])


@pytest.mark.parametrize(
    ("save", "text"),
    [
        (lambda path: Image.new("RGB", (4, 6)).save(path), "expected 4 x 6 pixels (height x width), got 6 x 4"),
        (_save_cut_off, "expected a readable image, got "),
        (lambda path: path.write_bytes(b"no image"), "expected a readable image, got "),
        (lambda path: path.write_bytes(b""), "expected a readable image, got "),
        (lambda path: None, "expected a readable image, got "),
    ],
)
def test_a_bad_image_is_named(tmp_path, save, text):
    path = tmp_path / "bad.png"
    save(path)
    with pytest.raises(InputError) as error:
        read_image(path, (3, 4, 6), "none")
    assert str(error.value).startswith(f"{path}: {text}")
    assert "\n" not in str(error.value)
