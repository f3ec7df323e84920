"""From a file to the normalised input of a packed network. Images need no torch; clips need torchaudio."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from litesnn.checks import InputError, fail
from litesnn.export.packed import Packed

CLIPS = (".wav", ".flac")
_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV", "LAB")


def read_input(path: Path, packed: Packed) -> NDArray[np.float32]:
    """Reads one image or clip as the network was trained on.

    Args:
        path: an image of the network's height and width, or a WAV or FLAC clip of 16 kHz.
        packed: gives shape and statistics.

    Returns:
        float32 ``[C, H, W]``, the same numbers as ``Dataset.normalise`` gives.

    Raises:
        InputError: the file cannot be read or does not fit the network.
    """
    shape = packed.recipe.input_shape
    if path.suffix.lower() in CLIPS:
        values = _features(path, shape)
    else:
        values = _pixels(path, shape).astype(np.float32) / np.float32(255)
    normalised: NDArray[np.float32] = (values - packed.mean) / packed.std
    return normalised


def _features(path: Path, shape: tuple[int, ...]) -> NDArray[np.float32]:
    from litesnn.data.features import FEATURE_SHAPE, clip_features  # its transform is torchaudio's

    if shape != FEATURE_SHAPE:
        raise fail("input", f"an image of {_words(shape)} for this network", str(path))
    features: NDArray[np.float32] = clip_features([path])[0].numpy()
    return features


def _pixels(path: Path, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """uint8 ``[C, H, W]``; transparency is dropped, nothing is resized: as ``litesnn.data.images`` reads them."""
    from PIL import Image

    channels, height, width = shape
    if channels not in (1, 3):
        raise fail("input", f"{channels} channels for this network, which no image has", str(path))
    try:
        with Image.open(path) as image:
            if image.size != (width, height):  # known from the header, before anything is decoded
                raise InputError(f"input: expected {_words(shape)}, got {image.height} x {image.width} in {path}")
            if image.mode not in _MODES:
                raise fail("input", "an image of 8 bits per channel", image.mode)
            pixels = np.asarray(image.convert("L" if channels == 1 else "RGB"), np.uint8)
    except InputError:
        raise
    except Exception as error:  # Pillow's readers let all kinds of errors through when a file is damaged
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"input: expected a readable image, got {path} ({reason})") from None
    return pixels.reshape(height, width, channels).transpose(2, 0, 1)


def _words(shape: tuple[int, ...]) -> str:
    return f"{shape[1]} x {shape[2]} pixels (height x width)"
