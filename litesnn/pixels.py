"""From an image file to pixels of the network's size. The same code reads data sets and what ``litesnn run`` is given.

Without torch: a packed network classifies photos on machines that have none.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from litesnn.checks import UnreadableError

if TYPE_CHECKING:
    from PIL.Image import Image

RESIZES = ("crop", "none")
"""What happens to an image of another size: shorter side to size and the middle cut out, or it is refused."""

_ORIENTATION = 0x0112  # the EXIF tag
_DRAFT_FACTOR = 2  # a JPEG is decoded at a smaller scale, as long as it stays so many times the size that is needed
_HEADED = ("JPEG", "MPO")  # formats that have their orientation at the start, and can be decoded at a smaller scale
_SIXTEEN_BITS = ("I;16", "I;16B", "I;16L", "I;16N", "I")
_EIGHT_BITS = ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV", "LAB")
_BACKGROUND = (255, 255, 255)  # what shows through transparent places


def read_pixels(path: Path, shape: tuple[int, ...], resize: str, field: str = "") -> NDArray[np.uint8]:
    """Reads one image, upright.

    The camera's orientation (EXIF) is applied, palettes become colours, transparent places white, 16 bits per channel 8.
    An image of height and width as expected is not resampled; any other has its shorter side brought to size (bilinear,
    averaging where it shrinks) and the middle cut out, unless ``resize`` is ``none``.

    Args:
        path: file in a format that Pillow knows.
        shape: (C, H, W) wanted; C = 1 converts to grey, C = 3 to RGB.
        resize: one of ``RESIZES``.
        field: what a complaint names first; by default the file.

    Returns:
        uint8 ``[C, H, W]``.

    Raises:
        UnreadableError: the file cannot be read, has other kinds of pixels, or with ``none`` another size.
    """
    from PIL import Image

    where = f" in {path}" if field else ""
    try:
        with Image.open(path) as image:
            return _fitted(image, shape, resize, field or str(path), where)
    except (UnreadableError, MemoryError):
        raise
    except Exception as error:  # Pillow's readers let all kinds of errors through when a file is damaged
        raise _unreadable(error, field or str(path), where) from None


def fit_image(image: Image, shape: tuple[int, ...], resize: str, field: str) -> NDArray[np.uint8]:
    """Pixels of an image that Pillow has opened or made, as ``read_pixels`` gives them; it stays as it is.

    A large JPEG is decoded whole before it shrinks, so that its pixels may differ by a few grey levels from those of its file.
    """
    try:
        image.load()
        return _fitted(image, shape, resize, field, "")
    except (UnreadableError, MemoryError):
        raise
    except Exception as error:
        raise _unreadable(error, field, "") from None


def _unreadable(error: Exception, field: str, where: str) -> UnreadableError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return UnreadableError(f"{field}: expected a readable image, got {reason!r}{where}")


def _fitted(image: Image, shape: tuple[int, ...], resize: str, field: str, where: str) -> NDArray[np.uint8]:
    from PIL import Image

    channels, height, width = shape
    if image.mode not in (*_EIGHT_BITS, *_SIXTEEN_BITS):
        raise UnreadableError(f"{field}: expected an image of 8 or 16 bits per channel, got {image.mode!r}{where}")
    if image.format not in _HEADED:
        image.load()  # a PNG may have its orientation behind its pixels, and what is wrong with these shows here
    turn = _turn(image)
    sideways = turn in _SIDEWAYS
    # Cutting and turning can change places, as the cut is in the middle: the turn is cheap when it comes last.
    size = (height, width) if sideways else (width, height)
    if image.size != size:
        if resize == "none":
            got = image.size if sideways else image.size[::-1]
            raise UnreadableError(
                f"{field}: expected {height} x {width} pixels (height x width), got {got[0]} x {got[1]}{where}"
            )
        image.draft(image.mode, (_DRAFT_FACTOR * size[0], _DRAFT_FACTOR * size[1]))  # nothing once it is decoded
    plain = _plain(image, "L" if channels == 1 else "RGB")
    if plain.size != size:
        plain = plain.resize(size, Image.Resampling.BILINEAR, box=_middle(plain.size, size))
    pixels = np.asarray(plain if turn is None else plain.transpose(turn), np.uint8)
    return pixels.reshape(height, width, channels).transpose(2, 0, 1)


def _middle(size: tuple[int, int], wanted: tuple[int, int]) -> tuple[float, float, float, float]:
    """The largest box in the middle of an image that has the proportions of ``wanted``: left, top, right, bottom.

    Resampling this box alone is resizing the shorter side and cutting out the middle.
    """
    scale = min(size[0] / wanted[0], size[1] / wanted[1])
    margins = [max(0.0, (length - scale * part) / 2) for length, part in zip(size, wanted, strict=True)]
    return margins[0], margins[1], size[0] - margins[0], size[1] - margins[1]


_TURNS = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}  # EXIF orientation to Pillow's Transpose
_SIDEWAYS = (2, 4, 5, 6)  # those that exchange height and width


def _turn(image: Image) -> Any:
    """The transposition that brings a photo upright; None where it is. Damaged EXIF turns nothing."""
    from PIL import Image

    try:
        found = _TURNS.get(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # what a camera or an editor left there may be anything
        return None
    return None if found is None else Image.Transpose(found)


def _plain(image: Image, mode: str) -> Image:
    """The image in ``mode``, L or RGB, without transparency."""
    from PIL import Image

    if image.mode in _SIXTEEN_BITS:
        return Image.fromarray(_eight_bits(np.asarray(image))).convert(mode)
    if not image.has_transparency_data:
        return image.convert(mode)
    colours = image.convert("RGBA")
    background = Image.new("RGBA", colours.size, (*_BACKGROUND, 255))
    return Image.alpha_composite(background, colours).convert(mode)


def _eight_bits(values: NDArray[Any]) -> NDArray[np.uint8]:
    """16-bit values 0 … 65535 to 0 … 255, rounded."""
    if values.min() < 0 or values.max() > 65535:
        raise ValueError("values beyond 16 bits")
    scaled: NDArray[np.uint8] = ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)
    return scaled
