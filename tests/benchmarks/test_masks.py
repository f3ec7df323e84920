"""Masks by bytes: comparison at equal bytes by hand, and one run of a variant."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.comparisons import masks
from benchmarks.comparisons.repeats import run as command
from litesnn.config import Recipe

TINY = "digits --seeds 1 --threads 1 --widths 1,2 --retrain-epochs 1 --search-channels 8"


def row(variant: str, seed: int, file_bytes: int, accuracy: float) -> dict[str, Any]:
    return {"variant": variant, "seed": seed, "file_bytes": file_bytes, "test_accuracy": accuracy}


def test_at_equal_bytes_by_hand() -> None:
    runs = [
        row("unpruned, C 8", 0, 1000, 90.0),
        row("unpruned, C 16", 0, 4000, 94.0),
        row("unpruned, C 8", 1, 1000, 80.0),
        row("80 % 1:5, C 16", 0, 2000, 93.0),  # half way between 1000 and 4000: 92
        row("80 % 1:5, C 16", 1, 2000, 93.0),  # nothing larger of its seed
    ]
    assert masks.at_equal_bytes(runs, "80 % 1:5, C 16") == [pytest.approx(1.0)]


def test_runs_have_their_masks_and_their_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(masks, "VARIANTS", ["80 % free, C 16", "80 % 1:5, C 16"])
    out = tmp_path / "masks.json"
    options = [*TINY.split(), "--out", str(out)]
    assert command(masks, options) == 0
    free, grouped = json.loads(out.read_text())["presets"]["digits"]["runs"]
    assert free["model_size_bits"] == grouped["model_size_bits"]
    assert grouped["position_bytes"] < 0.75 * free["position_bytes"] and grouped["file_bytes"] < free["file_bytes"]
    assert "| digits 80 % 1:5, C 16 |" in capsys.readouterr().out
    assert command(masks, [*options, "--bits", "4"]) == 2
    assert "bits: expected 2 as in the record, got 4" in capsys.readouterr().err


def test_variants_fit_the_preset() -> None:
    recipe = Recipe.preset("digits")
    assert all(int(name.partition(", C ")[2]) % recipe.nodes == 0 for name in masks.VARIANTS)
