"""Checkpoints: written whole or not at all, read without unpickling code, refused when they belong to another search or retraining."""

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from litesnn.checks import InputError
from litesnn.config import Recipe
from litesnn.files import write_bytes

FORMAT = 1


class DamagedCheckpointError(InputError):
    """A file that is no whole checkpoint: truncated, altered, or of another program."""


def save_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Writes the state of a phase (tensors and plain values) atomically."""
    # Through memory: written by torch itself, a full disk is no OSError.
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, **state}, buffer)
    write_bytes(path, buffer.getbuffer())


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Reads what ``save_checkpoint`` wrote, onto the CPU.

    Raises:
        InputError: no such file, or not a checkpoint of this format.
        DamagedCheckpointError: damaged or foreign.
    """
    try:
        content = io.BytesIO(path.read_bytes())
    except OSError as error:
        raise InputError(f"checkpoint: expected a readable file, got {path} ({error.strerror or error})") from None
    try:
        _check_sums(content)
        state = torch.load(content, map_location="cpu", weights_only=True)
    except Exception:  # on foreign bytes torch's restricted unpickler raises almost anything
        raise DamagedCheckpointError(
            f"checkpoint: expected a file written by this program, got {path}, damaged or foreign"
        ) from None
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise InputError(f"checkpoint: expected format {FORMAT}, got another one in {path}")
    return state


def _check_sums(content: io.BytesIO) -> None:
    """Compares every part of the archive with its CRC-32: torch writes them and does not look at them when it reads."""
    with zipfile.ZipFile(content) as archive:
        damaged = archive.testzip()
    content.seek(0)
    if damaged is not None:
        raise ValueError(damaged)


def check_identity(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Refuses a checkpoint of another phase, recipe, point or seed and names the first value that differs.

    A field that the recipe did not have yet when the checkpoint was written had its default then.

    Args:
        found: the identity stored in the checkpoint: nested mappings of plain values.
        wanted: the identity of this phase.
    """
    for key in wanted:
        here, there = wanted[key], found.get(key)
        if isinstance(here, Mapping) and isinstance(there, Mapping):
            check_identity({**Recipe().to_dict(), **there} if key == "recipe" else there, here)
        elif here != there:
            raise InputError(f"checkpoint: expected one with {key} = {here!r}, got one with {key} = {there!r}")
