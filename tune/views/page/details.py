"""What the panel of one trial shows beyond its row of the table."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

from litesnn.checks import InputError
from litesnn.genotype import Genotype
from tune.storage.paths import StoragePath, read_text
from tune.storage.store import TrialFolder
from tune.views.cell_drawing import draw_cell, in_words

_LONGEST_NOTES = 4000  # characters


def details(folder: StoragePath, name: str, model_bytes: int | None) -> dict[str, Any]:
    """Learning curves, genotype, drawing and notes of a trial; what is damaged is named and costs nothing else.

    Args:
        folder: of the trial.
        name: what a screen reader calls its network.
        model_bytes: size of ``model.safetensors``; None if there is none to download.

    Returns:
        ``records``, ``genotype``, ``drawing``, ``words``, ``notes``, ``model_bytes`` and ``errors``.
    """
    trial = TrialFolder(folder)
    errors: list[str] = []

    def read(file: str, reader: Callable[[], Any]) -> Any:
        try:
            return reader()
        except (InputError, TypeError, ValueError) as error:
            errors.append(f"{file}: {str(error).replace(str(folder), '').lstrip('/')}")
            return None

    def genotype_here() -> Genotype | None:
        text = read_text(trial.genotype)
        return None if text is None else Genotype.from_json(text)

    genotype = read("genotype.json", genotype_here)
    notes = read("notes.txt", lambda: read_text(folder / "notes.txt"))
    return {
        "records": _finite(read("metrics.jsonl", trial.read_records) or []),
        "genotype": None if genotype is None else json.loads(genotype.to_json()),
        "drawing": None if genotype is None else draw_cell(genotype, name),
        "words": None if genotype is None else in_words(genotype),
        "notes": None if notes is None else notes[-_LONGEST_NOTES:],
        "model_bytes": model_bytes,
        "errors": errors,
    }


def _finite(value: Any) -> Any:
    """JSON has no NaN and no infinity, though Python writes and reads them: None instead."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, list):
        return [_finite(item) for item in value]
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return value
