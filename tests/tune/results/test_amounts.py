"""Units by size, and places on the error axis of the fronts."""

import pandas as pd
import pytest

from tune.results.amounts import count_text, error, size_name, size_text, zero_error


def test_units_change_where_the_numbers_grow_long() -> None:
    assert [size_text(bits) for bits in (0, 80, 799_000, 8e5, 8e6)] == [
        "0 kB",
        "0.0100 kB",
        "99.9 kB",
        "0.100 MB",
        "1.00 MB",
    ]
    assert [count_text(count) for count in (12, 9_990, 1e4, 2.5e9)] == ["0.0120 k", "9.99 k", "0.0100 M", "2500 M"]
    assert size_text(float("nan")) == "nan kB"


def test_sizes_are_called_files_where_all_of_them_are() -> None:
    sizes = pd.DataFrame({"size_bits": [1.0, None], "file_bits": [1.0, 5.0]})
    assert size_name(sizes) == "file"
    assert size_name(sizes.assign(file_bits=2.0)) == size_name(sizes.iloc[1:]) == "model size"


def test_error_without_any_error_stands_half_below_the_smallest() -> None:
    trials = pd.DataFrame({"val_accuracy": [100.0, 98.0], "test_accuracy": [99.9, None]})
    assert zero_error(trials) == pytest.approx(0.05)
    assert error(trials["val_accuracy"], 0.05).tolist() == [0.05, 2.0]
    assert zero_error(trials.iloc[1:]) is None
    assert zero_error(trials.iloc[:0]) is None
    assert zero_error(pd.DataFrame({"val_accuracy": [100.0], "test_accuracy": [100.0]})) == 0.1
