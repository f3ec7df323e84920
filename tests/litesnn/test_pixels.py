"""Photos as people have them: turned by the camera, transparent, with palettes, of 16 bits, of any size."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from litesnn.checks import UnreadableError
from litesnn.pixels import read_pixels

NOISE = np.random.default_rng(0).integers(0, 256, (6, 9, 3), np.uint8)  # height 6, width 9


def read(path: Path, shape: tuple[int, int, int], resize: str = "crop") -> np.ndarray:
    """[H, W, C], as Pillow has it."""
    pixels = read_pixels(path, shape, resize)
    assert pixels.shape == shape and pixels.dtype == np.uint8
    return pixels.transpose(1, 2, 0)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_of_the_camera(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(NOISE).save(tmp_path / "x.png", exif=exif)
    upright = ImageOps.exif_transpose(Image.open(tmp_path / "x.png"))
    whole = read(tmp_path / "x.png", (3, upright.height, upright.width), "none")  # as it is seen, not as it is stored
    assert np.array_equal(whole, np.asarray(upright))
    left, top = (upright.width - 6) / 2, (upright.height - 6) / 2
    expected = upright.resize((4, 4), Image.Resampling.BILINEAR, box=(left, top, left + 6, top + 6))
    assert np.array_equal(read(tmp_path / "x.png", (3, 4, 4)), np.asarray(expected))


def test_orientation_of_nonsense_turns_nothing(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 77
    Image.fromarray(NOISE).save(tmp_path / "x.png", exif=exif)
    assert np.array_equal(read(tmp_path / "x.png", (3, 6, 9)), NOISE)
    Image.fromarray(NOISE).save(tmp_path / "y.png", exif=b"Exif\0\0 no TIFF at all")
    assert np.array_equal(read(tmp_path / "y.png", (3, 6, 9)), NOISE)


@pytest.mark.parametrize(("height", "width"), [(8, 16), (16, 8), (4, 4), (5, 4), (2, 3), (1, 40), (300, 7)])
def test_shorter_side_to_size_and_the_middle(tmp_path: Path, height: int, width: int) -> None:
    """A ramp from left to right or from top to bottom stays a ramp around the value in the middle."""
    ramp = np.linspace(0, 255, max(height, width))
    image = np.tile(ramp, (height, 1)) if width > height else np.tile(ramp[:, None], (1, width))
    Image.fromarray(image.round().astype(np.uint8)).save(tmp_path / "x.png")
    pixels = read(tmp_path / "x.png", (1, 4, 4))[:, :, 0].astype(float)
    lines = pixels if width > height else pixels.T
    assert np.abs(lines - lines[:1]).max() <= 1
    assert abs(lines.mean() - 127.5) <= 1.5
    spread = 255 / (max(height, width) - 1) * (min(height, width) / 4) if height != width else 255 / 3
    if min(height, width) >= 4:
        np.testing.assert_allclose(np.diff(lines[0])[1:-1], spread, atol=2)


def test_exact_sizes_are_untouched(tmp_path: Path) -> None:
    Image.fromarray(NOISE).save(tmp_path / "x.png")
    assert np.array_equal(read(tmp_path / "x.png", (3, 6, 9)), NOISE)


def test_a_large_photo_is_decoded_at_a_smaller_scale_to_the_same_picture(tmp_path: Path) -> None:
    smooth = Image.fromarray(NOISE).resize((900, 600), Image.Resampling.BICUBIC)
    smooth.save(tmp_path / "x.jpg", quality=95)
    expected = Image.open(tmp_path / "x.jpg").resize((8, 8), Image.Resampling.BILINEAR, box=(150, 0, 750, 600))
    got = read(tmp_path / "x.jpg", (3, 8, 8)).astype(int)
    assert np.abs(got - np.asarray(expected).astype(int)).max() <= 6


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize(("value", "expected"), [(0, 0), (128, 0), (129, 1), (40_000, 156), (65_535, 255)])
def test_sixteen_bits_are_scaled_and_not_cut_off(tmp_path: Path, suffix: str, value: int, expected: int) -> None:
    Image.fromarray(np.full((4, 6), value, np.uint16)).save(tmp_path / f"x.{suffix}")
    assert (read(tmp_path / f"x.{suffix}", (3, 4, 6)) == expected).all()
    assert (read(tmp_path / f"x.{suffix}", (1, 2, 2)) == expected).all()


def test_transparent_places_become_white(tmp_path: Path) -> None:
    Image.new("RGBA", (2, 2), (200, 100, 0, 51)).save(tmp_path / "rgba.png")  # a fifth of it over white
    assert np.abs(read(tmp_path / "rgba.png", (3, 2, 2)) - np.array([244, 224, 204])).max() <= 1
    Image.new("LA", (2, 2), (0, 0)).save(tmp_path / "la.png")
    assert (read(tmp_path / "la.png", (1, 2, 2)) == 255).all()
    palette = Image.new("P", (2, 2), 1)
    palette.putpalette([0, 0, 0, 9, 8, 7])
    palette.save(tmp_path / "p.png")
    assert (read(tmp_path / "p.png", (3, 2, 2)) == [9, 8, 7]).all()
    for name in ("p.png", "p.gif"):
        palette.save(tmp_path / name, transparency=1)
        assert (read(tmp_path / name, (3, 2, 2)) == 255).all()
    Image.new("RGB", (2, 2), (1, 2, 3)).save(tmp_path / "key.png", transparency=(1, 2, 3))
    assert (read(tmp_path / "key.png", (3, 2, 2)) == 255).all()


def test_what_is_refused(tmp_path: Path) -> None:
    Image.new("F", (4, 4)).save(tmp_path / "f.tif")
    with pytest.raises(UnreadableError, match=r"f\.tif: expected an image of 8 or 16 bits per channel, got 'F'$"):
        read_pixels(tmp_path / "f.tif", (3, 4, 4), "crop")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(NOISE).save(tmp_path / "x.png", exif=exif)
    with pytest.raises(
        UnreadableError, match=r"^input: expected 6 x 9 pixels \(height x width\), got 9 x 6 in .*x\.png$"
    ):
        read_pixels(tmp_path / "x.png", (3, 6, 9), "none", "input")
