"""What a recipe says about own data, read off the folder, so that every trial has concrete numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from litesnn.checks import InputError
from litesnn.config import Recipe
from litesnn.data.features import FEATURE_SHAPE
from litesnn.data.listing import list_folder

_OF_PICTURES = {"crop_padding": 0, "horizontal_flip": False, "cutout": 0}  # off for clips: a flipped word is none


def fields_of_folder(path: str, before: Recipe, given: Mapping[str, Any], skip_damaged: bool) -> dict[str, Any]:
    """Recipe fields that follow from a folder, by the names of its files alone.

    The classes are counted. Clips give features of one shape and are not cropped, flipped or blanked like pictures.

    Args:
        path: the folder.
        before: the recipe that they become part of.
        given: fields that the user has set, which stay as they are.
        skip_damaged: whether files of another kind are passed over.

    Raises:
        InputError: see ``list_folder``; or images, and a shape meant for speech.
    """
    listing = list_folder(path, skip_damaged)
    fields: dict[str, Any] = {"classes": len(listing.classes)}
    if listing.clips:
        fields |= {"input_shape": FEATURE_SHAPE, **_OF_PICTURES}
    elif before.input_shape == FEATURE_SHAPE and "input_shape" not in given:
        raise InputError(
            f"image-size: expected the size that images get, since the recipe is one for speech, got none "
            f"for those in {listing.root}"
        )
    return {name: value for name, value in fields.items() if name not in given}
