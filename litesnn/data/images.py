"""Image files as tensors; ``litesnn.pixels`` says how each is read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from litesnn.data.sources import import_package
from litesnn.pixels import read_pixels


def read_images(files: Sequence[Path], shape: tuple[int, ...], resize: str = "crop") -> Tensor:
    """Reads k images as uint8 [k, C, H, W], each as ``read_image`` does."""
    return torch.stack([read_image(file, shape, resize) for file in files])


def read_image(path: Path, shape: tuple[int, ...], resize: str = "crop") -> Tensor:
    """Reads one image.

    Args:
        path: file in a format that Pillow knows.
        shape: (C, H, W) wanted; C = 1 converts to grey, C = 3 to RGB.
        resize: what happens to one of another size: ``crop`` or ``none``.

    Returns:
        uint8 [C, H, W].

    Raises:
        InputError: the file cannot be read, with ``none`` it has another size, or Pillow is not installed.
    """
    import_package("PIL.Image", "pillow")
    return torch.from_numpy(read_pixels(path, shape, resize).copy())
