"""From image files to pixels: what is refused, and how the rest is converted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from litesnn.checks import InputError, fail
from litesnn.data.sources import import_package, one_line

_EIGHT_BIT_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV", "LAB")


def read_images(files: Sequence[Path], shape: tuple[int, ...]) -> Tensor:
    """Reads k images as uint8 [k, C, H, W], each as ``read_image`` does."""
    return torch.stack([read_image(file, shape) for file in files])


def read_image(path: Path, shape: tuple[int, ...]) -> Tensor:
    """Reads one image; transparency is dropped, nothing is resized.

    Args:
        path: file in a format that Pillow knows.
        shape: (C, H, W) expected; C = 1 converts to grey, C = 3 to RGB.

    Returns:
        uint8 [C, H, W].

    Raises:
        InputError: the file cannot be read, has another size or more than 8 bits per channel, or Pillow is not
            installed.
    """
    pillow = import_package("PIL.Image", "pillow")
    channels, height, width = shape
    try:
        with pillow.open(path) as image:
            if image.size != (width, height):  # known from the header, before anything is decoded
                raise InputError(
                    f"{path}: expected {height} x {width} pixels (height x width), got {image.height} x {image.width}"
                )
            if image.mode not in _EIGHT_BIT_MODES:  # a conversion would clip 16-bit values, not scale them
                raise fail(str(path), "an image of 8 bits per channel", image.mode)
            pixels = bytearray(image.convert("L" if channels == 1 else "RGB").tobytes())
    except InputError:
        raise
    except Exception as error:  # Pillow's readers let all kinds of errors through when a file is damaged
        raise InputError(f"{path}: expected a readable image, got {one_line(error)!r}") from error
    return torch.frombuffer(pixels, dtype=torch.uint8).reshape(height, width, channels).permute(2, 0, 1)
