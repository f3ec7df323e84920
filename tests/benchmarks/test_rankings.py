"""Ranks, spread and choices of a table that is small enough to do by hand, and of the committed one."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.rankings import Measured, choices, report, taus, variances

DATA = Path(__file__).parents[2] / "docs" / "data" / "cells-digits.csv"


def rows() -> pd.DataFrame:
    """Three cells, two searches, two retrainings; a fourth cell has no retraining yet, nor the first cell a third one."""
    searches = [
        {"phase": "search", "seed": seed, "cell": cell, "alpha_score": alpha, "inherited_accuracy": inherited}
        for seed, scores in enumerate(
            ([(-1, 30), (-2, 20), (-3, 10), (-4, 5)], [(-3, 30), (-2, 10), (-1, 20), (-4, 5)])
        )
        for cell, (alpha, inherited) in zip("abcd", scores, strict=True)
    ]
    retrainings = [
        {
            "phase": "retrain",
            "seed": seed,
            "cell": cell,
            "val_accuracy": value,
            "test_accuracy": value + 1,
            "model_size_bits": size,
        }
        for seed, values in enumerate(([90, 80, 70], [92, 84, 76], [99, 98]))
        for cell, value, size in zip(
            "abc" if seed < 2 else "bc", values, (20, 30, 10) if seed < 2 else (30, 10), strict=True
        )
    ]
    return pd.DataFrame(searches + retrainings)


def test_only_whole_seeds_of_retrained_cells_count() -> None:
    found = Measured.of(rows())
    assert found.alpha.tolist() == [[-1, -2, -3], [-3, -2, -1]] and found.size.tolist() == [20, 30, 10]
    assert found.validation.tolist() == [[90, 80, 70], [92, 84, 76]]


def test_taus_by_hand() -> None:
    """Three cells make three pairs: all agree 1, one against two is ±1/3; with size a and b agree by 1/3, so the partial tau of 1/3 is 1/2."""
    lines = [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in taus(Measured.of(rows())).splitlines()
        if "|" in line
    ]
    assert lines[2][1:] == ["+0.00 ± 1.41"] * 3 + ["-1.00"]  # 1 and -1
    assert lines[3][1:] == ["+0.67 ± 0.47"] * 2 + ["+0.75 ± 0.35", "+0.33"]  # 1 and 1/3; 1 and 1/2
    assert lines[4][1:] == ["+0.33"] * 2 + [""] * 2
    assert lines[5][1:4] == ["+1.00"] * 3 and lines[6][1:4] == ["+1.00 ± 0.00"] * 3
    assert "same search: +0.33 ± 0.94" in taus(Measured.of(rows()))  # 1 and -1/3


def test_variances_by_hand() -> None:
    """Means 91, 82, 73; within cells 2, 8 and 18, mean 28/3; between 2 · 81."""
    found = variances(Measured.of(rows()).validation)
    within, between = 28 / 3, 2 * 81
    assert found["mean"] == pytest.approx(82) and found["deviation over cells"] == pytest.approx(9)
    assert found["over seeds within a cell"] == pytest.approx(within**0.5)
    assert found["over cells, less what seeds add"] == pytest.approx(((between - within) / 2) ** 0.5)
    assert found["intraclass correlation"] == pytest.approx((between - within) / (between + within))
    assert found["F"] == pytest.approx(between / within) and 0.01 < found["p"] < 0.05


def test_equal_cells_differ_by_nothing() -> None:
    found = variances(np.array([[90.0, 90.0, 91.0], [92.0, 92.0, 91.0]]))
    assert found["over cells, less what seeds add"] == 0 and found["intraclass correlation"] < 0


def test_rules_take_their_cells() -> None:
    """a has 92 on test, b 83, c 74."""
    found = Measured.of(rows())
    rules = choices(found, found.test.mean(axis=0))
    assert rules["argmax of alpha"].tolist() == [92, 74]
    assert rules["best inherited accuracy of all cells"].tolist() == [92, 92]
    assert rules["largest cell"].tolist() == [83, 83] and rules["any cell"].tolist() == [83, 83]
    assert choices(found, found.size)["argmax of alpha"].tolist() == [20, 10]
    drawn = rules["best inherited accuracy of 16 drawn"]
    assert 91.9 < drawn[0] <= 92 and 88 < drawn[1] < 92  # a is drawn once in 11 times in the second search


def test_the_committed_table_is_what_the_code_reads() -> None:
    found = pd.read_csv(DATA)
    for space in found.loc[found["phase"] == "search", "space"].unique():
        text = report(found[found["space"] == space])
        assert "nan" not in text and text.count("\n\n") == 3 and "largest cell" in text
