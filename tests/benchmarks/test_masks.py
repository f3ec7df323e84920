"""Masks by bytes: comparison at equal bytes by hand, and one run of a variant."""

from pathlib import Path
from typing import Any

import pytest

from benchmarks.comparisons import masks
from benchmarks.comparisons.repeats import Record, parser
from litesnn.config import Recipe
from litesnn.data import load
from litesnn.options import recipe_from

TINY = "digits --seeds 1 --threads 1 --widths 1,2 --retrain-epochs 1 --search-channels 8"


def run(variant: str, seed: int, file_bytes: int, accuracy: float) -> dict[str, Any]:
    return {"variant": variant, "seed": seed, "file_bytes": file_bytes, "test_accuracy": accuracy}


def test_at_equal_bytes_by_hand() -> None:
    runs = [
        run("unpruned, C 8", 0, 1000, 90.0),
        run("unpruned, C 16", 0, 4000, 94.0),
        run("unpruned, C 8", 1, 1000, 80.0),
        run("80 % 1:5, C 16", 0, 2000, 93.0),  # half way between 1000 and 4000: 92
        run("80 % 1:5, C 16", 1, 2000, 93.0),  # nothing larger of its seed
    ]
    assert masks.at_equal_bytes(runs, "80 % 1:5, C 16") == [pytest.approx(1.0)]


def test_one_run_has_its_masks_and_its_file(tmp_path: Path) -> None:
    made = parser("masks", masks.__doc__, ["digits"])
    options = made.parse_args([*TINY.split(), "--out", str(tmp_path / "masks.json")])
    record = Record("masks", options, recipe_from(options))
    record.here["bits"] = 2
    rows = {name: masks.train(record, name, 0, load(record.recipe)) for name in ("80 % free, C 16", "80 % 1:5, C 16")}
    free, grouped = rows.values()
    assert free["model_size_bits"] == grouped["model_size_bits"]
    assert grouped["position_bytes"] < 0.75 * free["position_bytes"] and grouped["file_bytes"] < free["file_bytes"]
    record.here["runs"] = [{"variant": name, "seed": 0, **row} for name, row in rows.items()]
    masks.draw(record.here["runs"], "two", tmp_path / "two.png")
    assert (tmp_path / "two.png").stat().st_size > 5000
    record.write()
    assert "digits, 80 % 1:5, C 16" in masks.report(record.result)


def test_variants_fit_the_preset() -> None:
    recipe = Recipe.preset("digits")
    assert all(int(name.partition(", C ")[2]) % recipe.nodes == 0 for name in masks.VARIANTS)
