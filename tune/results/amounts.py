"""Amounts as people write and see them: ``0.6MB`` and ``300M`` read and written, log axes of sizes and of accuracy."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import pandas as pd

from litesnn.checks import fail

BITS_PER_MB = 8e6

SIZE_UNITS = (("MB", 8e6, 8e5), ("kB", 8e3, 0.0))
COUNT_UNITS = (("M", 1e6, 1e4), ("k", 1e3, 0.0))
"""Units of sizes in bits and of counts: name, worth, and the largest value from which one is shown in it."""

SIZE_NAMES = {"file_bits": "file", "model_size_bits": "model size"}
"""What a size is called: that of the packed file, or the paper's (Eq. 18)."""

_NUMBER = re.compile(r"\s*([0-9]*\.?[0-9]+(?:e[+-]?[0-9]+)?)\s*([a-z]*)\s*", re.IGNORECASE)
_SIZES = {"": 8e6, "b": 8, "kb": 8e3, "mb": 8e6, "gb": 8e9, "bit": 1, "kbit": 1e3, "mbit": 1e6, "gbit": 1e9}
_COUNTS = {"": 1, "k": 1e3, "m": 1e6, "g": 1e9}


def parse_size(field: str, text: str | float) -> float:
    """A model size in bits from ``0.6MB``, ``450KB``, ``4.8Mbit`` or a plain number, which is taken as MB.

    Units are decimal (1 MB = 8e6 bits) and read without regard to case: ``mb`` is megabytes, megabits are ``Mbit``.

    Raises:
        InputError: not a positive amount of a known unit.
    """
    return _parse(field, text, _SIZES, "a size such as 0.6MB, 450KB or 4.8Mbit (a plain number is MB)")


def parse_count(field: str, text: str | float) -> float:
    """A count of operations from ``300M``, ``2.8G``, ``450k`` or a plain number, which is the count itself.

    Raises:
        InputError: not a positive amount of a known unit.
    """
    return _parse(field, text, _COUNTS, "a count such as 300M, 2.8G or 450k (a plain number is the count itself)")


def parse_percent(field: str, text: str | float) -> float:
    """Percent from ``90`` or ``90%``.

    Raises:
        InputError: not a number from 0 to 100.
    """
    expected = "percent from 0 to 100, such as 90"
    match = _NUMBER.fullmatch(str(text).strip().removesuffix("%"))
    if match is None or match[2] or not float(match[1]) <= 100:
        raise fail(field, expected, text)
    return float(match[1])


def _parse(field: str, text: str | float, units: dict[str, float], expected: str) -> float:
    match = _NUMBER.fullmatch(str(text))
    if match is None or match[2].lower() not in units:
        raise fail(field, expected, text)
    amount = float(match[1]) * units[match[2].lower()]
    if not 0 < amount < math.inf:
        raise fail(field, expected, text)
    return amount


def label(row: Mapping[str, Any] | pd.Series) -> str:
    """The name of a trial or a point, after its experiment's in merged tables."""
    return " / ".join(str(row[key]) for key in ("experiment", "trial", "point") if not pd.isna(row.get(key)))


def labels(table: pd.DataFrame) -> list[str]:
    """Of all trials of a table."""
    rows: list[Any] = table.to_dict("records")
    return [label(row) for row in rows]


def size_unit(largest: float) -> tuple[str, float]:
    """Name of the unit, and its bits, in which sizes up to ``largest`` bits are shown."""
    return _unit(SIZE_UNITS, largest)


def count_unit(largest: float) -> tuple[str, float]:
    """Name of the unit, and its worth, in which counts up to ``largest`` are shown."""
    return _unit(COUNT_UNITS, largest)


def _unit(units: tuple[tuple[str, float, float], ...], largest: float) -> tuple[str, float]:
    return next(((name, worth) for name, worth, least in units if largest >= least), units[-1][:2])


def sizes_text(row: Mapping[str, Any] | pd.Series) -> str:
    """``a file of 6.1 kB (Eq. 18 2.93 kB, dense 5.9 kB)``: the packed file, as the paper counts, and all weights.

    Where the file is not known: ``2.93 kB (dense 5.9 kB)``.
    """
    file, paper, dense = (row.get(name) for name in ("file_bits", "model_size_bits", "dense_bits"))
    first = (
        f"a file of {size_text(file)}" if file is not None and not pd.isna(file) else size_text(row["model_size_bits"])
    )
    others = [("Eq. 18", paper if not pd.isna(file) else None), ("dense", dense)]
    named = [f"{word} {size_text(bits)}" for word, bits in others if not pd.isna(bits)]
    return first + (f" ({', '.join(named)})" if named else "")


def size_name(trials: pd.DataFrame) -> str:
    """What the trials' size is: ``file`` where it is that of the packed file, else ``model size`` (Eq. 18)."""
    sizes = [pd.to_numeric(trials[name]) for name in ("size_bits", "file_bits") if name in trials]
    known = len(sizes) == 2 and sizes[0].notna().any()
    is_file = known and (sizes[0] == sizes[1])[sizes[0].notna()].all()
    return SIZE_NAMES["file_bits" if is_file else "model_size_bits"]


def size_text(bits: float) -> str:
    """``0.71 MB``, ``7.79 kB``: three digits that count."""
    name, unit = size_unit(bits)
    return f"{digits(bits / unit)} {name}"


def count_text(count: float) -> str:
    """``0.914 M``, ``284 M``: three digits that count."""
    name, unit = count_unit(count)
    return f"{digits(count / unit)} {name}"


def digits(value: float) -> str:
    """Three digits that count and no exponent: ``0.0123``, ``7.79``, ``46.0``, ``1234``."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    value = float(f"{value:.3g}") if abs(value) < 1000 else value  # 9.999 is 10.0
    return f"{value:.{max(0, 2 - math.floor(math.log10(abs(value))))}f}"


def log_ticks(low: float, high: float) -> list[float]:
    """Round numbers to mark on a log axis from ``low`` to ``high``, as many as can be read beside each other.

    Args:
        low: smallest value shown, above 0.
        high: largest value shown, at least ``low``.

    Returns:
        Values within the range, ascending: every power of ten where there are many, finer steps where there are few.
    """
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    decades = range(first, last + 1)
    ticks: list[float] = []
    for steps in ("1 1.5 2 2.5 3 4 5 6 7 8 9", "1 2 3 4 5 6 8", "1 2 5", "1 3", "1"):
        ticks = [float(f"{s}e{d}") for d in decades for s in steps.split()]
        ticks = [tick for tick in ticks if low * 0.999 <= tick <= high * 1.001]
        if len(ticks) <= 7:
            break
    return ticks[:: max(1, math.ceil(len(ticks) / 7))]


def zero_error(finished: pd.DataFrame) -> float | None:
    """Where an accuracy of 100 % stands on a log axis of the error: half the smallest error that there is.

    At most 0.1; None where no network, by validation or test, is without error.
    """
    found = 100 - finished[["val_accuracy", "test_accuracy"]].to_numpy(dtype=float)
    if not (found <= 0).any():
        return None
    return float(found[found > 0].min(initial=0.2)) / 2


def error(accuracy: pd.Series, zero: float | None) -> pd.Series:
    """Distance from 100 % for a log axis; that of 100 % itself is ``zero``."""
    distance = 100 - accuracy.astype(float)
    return distance if zero is None else distance.where(distance.isna() | (distance > 0), zero)
