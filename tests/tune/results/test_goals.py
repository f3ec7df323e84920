"""When an experiment has enough."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from litesnn.checks import InputError
from tune.results.goals import Goals, parse_target
from tune.storage.objectives import Reference
from tune.storage.rows import COLUMNS

REFERENCE = Reference(accuracy=10, size_bits=8e6, bit_synops=1e9)


def table(*rows: tuple[str, float, float]) -> pd.DataFrame:
    """Trials that ended one a minute: status, validation accuracy, bytes of the file; Bit-SynOps are as many as bits."""
    filled: list[dict[str, Any]] = [
        {
            "trial": f"t{number}",
            "status": status,
            "val_accuracy": accuracy,
            "test_accuracy": accuracy,
            "size_bits": 8 * size,
            "file_bits": 8 * size,
            "model_size_bits": 4 * size,
            "bit_synops": 8 * size,
            "ended_at": f"2026-01-01T00:{number:02}:00+00:00" if status != "unfinished" else None,
        }
        for number, (status, accuracy, size) in enumerate(rows)
    ]
    return pd.DataFrame(filled, columns=COLUMNS)


def goals(target: str = "", patience: int = 0) -> Goals:
    return Goals(target=target, patience=patience, reference=REFERENCE)


def test_targets_are_read_in_any_spelling() -> None:
    assert parse_target("acc>=85,file<=50kB") == {"min_accuracy": 85, "max_file_bits": 4e5}
    assert parse_target(" Accuracy ≥ 85 % , size<=0.1MB,bit-synops ≤ 3M") == {
        "min_accuracy": 85,
        "max_size_bits": 8e5,
        "max_bit_synops": 3e6,
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("acc>85", "target: expected limits such as acc>=85,file<=50kB"),
        ("acc<=85", "target: expected limits such as"),
        ("file>=5kB", "target: expected limits such as"),
        ("acc>=85,", "target: expected limits such as"),
        ("acc>=85,acc>=86", "target: expected limits such as"),
        ("loss<=1", "target: expected limits such as"),
        ("acc>=110", "target: expected percent from 0 to 100, such as 90, got '110' for acc"),
        ("file<=5parsec", "target: expected a size such as"),
    ],
)
def test_others_are_refused_in_a_line(text: str, expected: str) -> None:
    with pytest.raises(InputError) as error:
        parse_target(text)
    assert str(error.value).startswith(expected) and "\n" not in str(error.value)


def test_a_target_wants_one_finished_network_within_all_limits() -> None:
    wanted = goals("acc>=85,file<=50kB")
    assert not wanted.reached(table())
    apart = table(("finished", 90, 60_000), ("finished", 80, 10_000), ("stopped", 88, 10_000), ("unfinished", 99, 10))
    assert not wanted.reached(apart)
    assert wanted.reached(pd.concat([apart, table(("finished", 85, 50_000))])) == (
        "The target acc>=85,file<=50kB is met by t0."
    )
    unmeasured = table(("finished", 90, 10_000)).assign(file_bits=None)  # of an earlier version
    assert not wanted.reached(unmeasured)


def test_stalled_is_so_many_in_a_row_that_add_nothing() -> None:
    first, better, worse = ("finished", 90, 1000), ("finished", 95, 1000), ("finished", 80, 2000)
    wanted = goals(patience=2)
    assert not wanted.reached(table(first, worse))
    assert not wanted.reached(table(first, worse, better, worse))
    assert wanted.reached(table(first, worse, better, worse, ("stopped", 99, 1))) == (
        "Stalled: the last 2 trials have added less than 0.1 % to the hypervolume."
    )
    assert not goals(patience=3).reached(table(first, worse, better, worse, worse))
    assert not wanted.reached(table(("failed", 0, 1), ("failed", 0, 1), ("failed", 0, 1)))  # no front yet
    assert not wanted.reached(table(first, worse, ("unfinished", 0, 1), ("unfinished", 0, 1)))
    assert not goals().reached(table(first, worse, worse, worse))


def test_a_gain_of_a_tenth_of_a_percent_counts() -> None:
    base = ("finished", 90.0, 1000)
    assert not goals(patience=1).reached(table(base, ("finished", 90.2, 1000)))  # 0.25 % of 80 points
    assert goals(patience=1).reached(table(base, ("finished", 90.04, 1000)))
