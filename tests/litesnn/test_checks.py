"""Checks at their bounds."""

from typing import Any

import pytest

from litesnn.checks import InputError, check_choice, check_integer, check_integers, check_number


@pytest.mark.parametrize(
    ("value", "bounds", "accepted"),
    [
        (0, {"minimum": 0}, True),
        (-1e-300, {"minimum": 0}, False),
        (0, {"above": 0}, False),
        (1e-300, {"above": 0}, True),
        (1, {"maximum": 1}, True),
        (1.0000001, {"maximum": 1}, False),
        (1, {"below": 1}, False),
        (0.9999999, {"below": 1}, True),
        (float("nan"), {}, False),
        (float("-inf"), {}, False),
        (False, {}, False),
        ("1", {}, False),
        (1j, {}, False),
    ],
)
def test_numbers(value: Any, bounds: dict[str, float], accepted: bool) -> None:
    if accepted:
        assert check_number("x", value, **bounds) == value
    else:
        with pytest.raises(InputError, match=r"\Ax: expected a finite number[^\n]*, got [^\n]+\Z"):
            check_number("x", value, **bounds)


def test_the_message_names_field_bounds_and_value() -> None:
    with pytest.raises(InputError) as error:
        check_number("p", 100, minimum=0, below=100)
    assert str(error.value) == "p: expected a finite number at least 0 and below 100, got 100"
    assert isinstance(error.value, ValueError)


def test_integers() -> None:
    assert check_integer("n", 3, minimum=3, maximum=3) == 3
    for value in (2, 4, 3.0, True, "3", None):
        with pytest.raises(InputError, match=r"\An: expected an integer of at least 3 and at most 3, got [^\n]+\Z"):
            check_integer("n", value, minimum=3, maximum=3)


def test_tuples_of_integers() -> None:
    assert check_integers("n", [1, 2], minimum=1) == (1, 2)
    assert check_integers("n", (1, 2), minimum=1, length=2) == (1, 2)
    for value in ([], "12", 12, None, [0, 1], [1, 2, 3], [1, True], [1, 2.0], {1: 2, 2: 3}):
        with pytest.raises(InputError, match=r"\An: expected 2 integers of at least 1, got [^\n]+\Z"):
            check_integers("n", value, minimum=1, length=2)


def test_choices() -> None:
    assert check_choice("c", "a", {"a": 1}) == "a"
    for value in ("b", None, 1):
        with pytest.raises(InputError, match=r"\Ac: expected one of a, got [^\n]+\Z"):
            check_choice("c", value, {"a": 1})


def test_a_text_with_line_breaks_stays_one_line() -> None:
    with pytest.raises(InputError, match=r"\Ac: [^\n]+\Z"):
        check_choice("c", "two\nlines", ["a"])
