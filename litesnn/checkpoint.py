"""Checkpoints: written whole or not at all, read without unpickling code, refused when they belong to another run."""

import os
import pickle
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from litesnn.checks import InputError

FORMAT = 1


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Lets ``write`` fill a temporary file beside ``path`` and renames it, so that ``path`` is never half-written.

    Raises:
        InputError: the folder cannot be written.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        os.close(handle)
        temporary = Path(name)
        write(temporary)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        raise InputError(f"{path}: expected a place that can be written, got {error.strerror or error}") from None
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Writes a text file atomically."""
    write_atomically(path, lambda temporary: _write_text(temporary, text))


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def save_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Writes a run's state (tensors and plain values) atomically."""
    write_atomically(path, lambda temporary: torch.save({"format": FORMAT, **state}, temporary))


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Reads what ``save_checkpoint`` wrote, onto the CPU.

    Raises:
        InputError: no such file, damaged, or not a checkpoint of this format.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise InputError(f"checkpoint: expected a readable file, got {path} ({error.strerror or error})") from None
    except (RuntimeError, EOFError, ValueError, pickle.UnpicklingError, zipfile.BadZipFile):
        raise InputError(f"checkpoint: expected a file written by this program, got {path}, damaged or foreign") from None
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise InputError(f"checkpoint: expected format {FORMAT}, got another one in {path}")
    return state


def check_identity(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Refuses a checkpoint of another run and names the first value that differs.

    Args:
        found: the identity stored in the checkpoint: nested mappings of plain values.
        wanted: the identity of this run.
    """
    for key in wanted:
        here, there = wanted[key], found.get(key)
        if isinstance(here, Mapping) and isinstance(there, Mapping):
            check_identity(there, here)
        elif here != there:
            raise InputError(f"checkpoint: expected one with {key} = {here!r}, got one with {key} = {there!r}")
