"""From a file to the normalised input of a packed network. Images need no torch; clips need torchaudio."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from litesnn.checks import fail
from litesnn.config import Recipe
from litesnn.export.packed import Packed
from litesnn.pixels import read_pixels

CLIPS = (".wav", ".flac", ".ogg", ".mp3")


def read_input(path: Path, packed: Packed) -> NDArray[np.float32]:
    """Reads one image or clip as the network was trained on.

    Args:
        path: an image, brought to the network's size as its recipe says; or a WAV, FLAC, Ogg or MP3 clip.
        packed: gives shape, ``resize`` and statistics.

    Returns:
        float32 ``[C, H, W]``, the same numbers as ``Dataset.normalise`` gives.

    Raises:
        InputError: the file cannot be read or does not fit the network.
    """
    values = read_sample(path, packed.recipe)
    if values.dtype == np.uint8:
        values = values.astype(np.float32) / np.float32(255)
    normalised: NDArray[np.float32] = (values - packed.mean) / packed.std
    return normalised


def read_sample(path: Path, recipe: Recipe) -> NDArray[Any]:
    """Reads one image or clip as ``read_input`` does, before it is normalised.

    Args:
        path: see there.
        recipe: gives shape and ``resize``.

    Returns:
        ``[C, H, W]``: uint8 pixels of an image, float32 features of a clip.

    Raises:
        InputError: see there.
    """
    if path.suffix.lower() in CLIPS:
        return _features(path, recipe.input_shape)
    return _pixels(path, recipe.input_shape, recipe.resize)


def _features(path: Path, shape: tuple[int, ...]) -> NDArray[np.float32]:
    from litesnn.data.features import FEATURE_SHAPE, clip_features  # its transform is torchaudio's

    if shape != FEATURE_SHAPE:
        raise fail("input", f"an image of {_words(shape)} for this network", str(path))
    features: NDArray[np.float32] = clip_features([path])[0].numpy()
    return features


def _pixels(path: Path, shape: tuple[int, ...], resize: str) -> NDArray[np.uint8]:
    """uint8 ``[C, H, W]``."""
    if shape[0] not in (1, 3):
        raise fail("input", f"{shape[0]} channels for this network, which no image has", str(path))
    return read_pixels(path, shape, resize, "input")


def _words(shape: tuple[int, ...]) -> str:
    return f"{shape[1]} x {shape[2]} pixels (height x width)"
