"""From what a user has in hand, a file, a picture or numbers, to one sample as a network's data set holds it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from litesnn.checks import InputError, user_path
from litesnn.config import Recipe
from litesnn.data.features import FEATURE_SHAPE, fit_second, mfcc
from litesnn.export.inputs import read_sample
from litesnn.pixels import fit_image

if TYPE_CHECKING:
    from PIL.Image import Image

_SAMPLES_16_BITS = 2**15


def sample_of(given: str | Path | Image | NDArray[Any] | Tensor, recipe: Recipe) -> Tensor:
    """One sample as the network's data set holds it.

    Args:
        given: one of

            - the path of an image or a clip, read as ``litesnn run`` reads it;
            - a Pillow image, fitted likewise;
            - numbers of the network's shape ``[C, H, W]``, or ``[H, W]`` where C is 1: uint8 pixels 0 to 255, floats on
              the scale 0 to 1, or the features of a clip;
            - uint8 pixels of any size, ``[height, width]`` or ``[height, width, 3 or 4]``, fitted like an image;
            - for networks of speech a clip at 16 kHz, ``[n]``, floats in -1 to 1 or int16: its first second counts.
        recipe: gives shape and ``resize``.

    Returns:
        ``[C, H, W]``, uint8 or float32.

    Raises:
        InputError: it cannot be read or does not fit the network.
    """
    if isinstance(given, str | Path):
        return torch.from_numpy(read_sample(user_path("input", given), recipe).copy())
    if isinstance(given, np.ndarray | Tensor):
        return _of_numbers(given.detach().cpu().numpy() if isinstance(given, Tensor) else given, recipe)
    from PIL import Image

    if not isinstance(given, Image.Image):
        raise InputError(f"input: expected a path, an image, an array or a tensor, got {type(given).__name__}")
    _check_channels(recipe)
    return torch.from_numpy(fit_image(given, recipe.input_shape, recipe.resize, "input").copy())


def _of_numbers(values: NDArray[Any], recipe: Recipe) -> Tensor:
    shape = recipe.input_shape
    floats = np.issubdtype(values.dtype, np.floating)
    if values.shape == shape or (values.ndim == 2 and (1, *values.shape) == shape):
        if floats or values.dtype == np.uint8:
            kind = np.float32 if floats else np.uint8
            return torch.from_numpy(values.reshape(shape).astype(kind))
    elif shape == FEATURE_SHAPE and values.ndim == 1 and len(values) and (floats or values.dtype == np.int16):
        clip = values.astype(np.float32) / (1 if floats else _SAMPLES_16_BITS)
        return mfcc(fit_second(torch.from_numpy(clip))[None])[0]
    elif values.dtype == np.uint8 and values.size and (values.ndim == 2 or values.shape[2:] in ((3,), (4,))):
        from PIL import Image

        _check_channels(recipe)
        return torch.from_numpy(fit_image(Image.fromarray(values), shape, recipe.resize, "input").copy())
    more = " or a clip [n] at 16 kHz" if shape == FEATURE_SHAPE else ", or uint8 pixels [height, width, 3] of an image"
    raise InputError(
        f"input: expected {list(shape)} as uint8 or floats{more}, got {list(values.shape)} of {values.dtype}"
    )


def _check_channels(recipe: Recipe) -> None:
    if recipe.input_shape[0] not in (1, 3) or recipe.input_shape == FEATURE_SHAPE:
        raise InputError(f"input: expected numbers of shape {list(recipe.input_shape)} for this network, got an image")
