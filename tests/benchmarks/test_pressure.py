"""Medians and the largest step by hand, a search decoded in both ways, and a command that finds all its searches done."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from benchmarks import pressure
from benchmarks.pressure import main, medians, report, searched
from litesnn.config import Recipe


def table(values: list[float], largest: list[float], expected: list[float]) -> pd.DataFrame:
    """Three seeds: the cost given, half of it, and four times as much."""
    rows = [
        {
            "term": "lambda1",
            "value": value,
            "seed": seed,
            "timesteps": 4 - seed,
            "mean_bits": 2.5,
            "bits_largest": "4 4",
            "bits_expected": "2 4",
            "cost_largest": kilobytes * factor * 8e3,
            "cost_expected": other * factor * 8e3,
        }
        for value, kilobytes, other in zip(values, largest, expected, strict=True)
        for seed, factor in enumerate([1, 0.5, 4])
    ]
    return pd.DataFrame([*rows, {**rows[0], "term": "lambda2", "cost_largest": 1.0, "cost_expected": 1.0}])


def test_medians_and_the_largest_step() -> None:
    # From 0 to 1e-7 is no step between neighbours; a step up counts as one down.
    rows = table([0, 1e-7, 2e-7, 4e-7], [40, 20, 5, 4], [18, 10, 5, 15])
    assert medians(rows, "lambda1").to_numpy().tolist() == [[40, 18], [20, 10], [5, 5], [4, 15]]
    lines = report(rows, "lambda1").splitlines()
    assert lines[3] == "| 1e-07 | 2.50 | 4, 3, 2 | 20 | 4 4, 4 4, 4 4 | 10 | 2 4, 2 4, 2 4 |"
    assert lines[-1] == "| largest step |  |  | 4.00 |  | 3.00 |  |"


def test_a_search_is_decoded_in_both_ways() -> None:
    recipe = Recipe.preset("digits", search_epochs=1, widths=(1,), search_channels=4, beta_lr=0, timesteps=2)
    size, operations = (searched(recipe, term, 0.0, 1) for term in ("lambda1", "lambda2"))
    # Without learning beta is nearly even: (1 + 2 + 4) / 3 bits are expected, 2 is next to them.
    assert size["mean_bits"] == pytest.approx(7 / 3, abs=0.01) and size["bits_expected"] == "2"
    assert size["beta_entropy"] == 1
    factor = {"1": 0.5, "2": 1.0, "4": 2.0}[str(operations["bits_largest"])]
    assert (operations["cost_largest"] > operations["cost_expected"]) == (factor > 1)
    assert (size["cost_largest"] > size["cost_expected"]) == (factor > 1)


def test_what_is_done_is_not_searched_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    values = [0.0, *(float(f"{10 ** (-8 + step / 4):.4g}") for step in range(9))]
    rows = table(values, list(range(20, 10, -1)), list(range(20, 10, -1)))
    file, picture = tmp_path / "rows.csv", tmp_path / "picture.png"
    rows.drop(index=4).to_csv(file, index=False)
    asked = []

    def search(recipe: Recipe, term: str, value: float, seed: int) -> dict[str, Any]:
        asked.append((recipe.dataset, term, value, seed))
        return dict(rows.iloc[4])

    monkeypatch.setattr(pressure, "searched", search)
    assert main(f"digits lambda1 --least -8 --out {file} --picture {picture}".split()) == 0
    assert asked == [("digits", "lambda1", 1e-8, 1)]
    assert len(pd.read_csv(file)) == len(rows) and picture.stat().st_size > 1000
    assert "| largest step |" in capsys.readouterr().out
