"""Checks of user input: each failure is one line that names the field, what was expected and what came."""

import math
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from litesnn.nearest import hint

LARGEST_SEED = 2**32 - 1


class InputError(ValueError):
    """Bad input from outside: its text is one line fit to be shown to the user as it stands."""


class UnreadableError(InputError):
    """One of the user's files whose content cannot be used; a data set can do without it."""


def fail(field: str, expected: str, got: Any) -> InputError:
    """Builds the error ``field: expected …, got …``; the caller raises it."""
    return InputError(f"{field}: expected {expected}, got {got!r}")


def user_path(field: str, text: str | Path) -> Path:
    """A path as a user writes it, ``~`` and ``~name`` expanded."""
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise fail(field, "a path below a home folder that exists", str(text)) from None


def check_number(
    field: str,
    value: Any,
    *,
    minimum: float = -math.inf,
    above: float = -math.inf,
    below: float = math.inf,
    maximum: float = math.inf,
) -> float:
    """Returns ``value`` as a finite float in [minimum, maximum], strictly above ``above`` and below ``below``."""
    bounds = []
    if minimum != -math.inf:
        bounds.append(f"at least {minimum:g}")
    if above != -math.inf:
        bounds.append(f"above {above:g}")
    if maximum != math.inf:
        bounds.append(f"at most {maximum:g}")
    if below != math.inf:
        bounds.append(f"below {below:g}")
    expected = " ".join(["a finite number", " and ".join(bounds)]).strip()
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise fail(field, expected, value)
    try:
        finite = math.isfinite(value)
    except OverflowError:  # an integer beyond every float
        finite = False
    if not finite or not (minimum <= value <= maximum and above < value < below):
        raise fail(field, expected, value)
    return float(value) + 0.0  # -0.0 becomes 0.0: they are one value, and must not get two names


def check_integer(field: str, value: Any, *, minimum: int, maximum: int | None = None) -> int:
    """Returns ``value`` as an int in [minimum, maximum]."""
    expected = f"an integer of at least {minimum}" + ("" if maximum is None else f" and at most {maximum}")
    if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
        raise fail(field, expected, value)
    if maximum is not None and value > maximum:
        raise fail(field, expected, value)
    return value


def check_choice(field: str, value: Any, choices: Collection[Any]) -> Any:
    """Returns ``value``, which must be one of ``choices``."""
    if value not in choices:
        text = f"{field}: expected one of {', '.join(map(str, choices))}, got {value!r}"
        raise InputError(text + hint(value, choices))
    return value


def check_integers(field: str, value: Any, *, minimum: int, length: int | None = None) -> tuple[int, ...]:
    """Returns ``value`` as a non-empty tuple of ints of at least ``minimum`` each, ``length`` of them if given."""
    count = "one or more" if length is None else str(length)
    expected = f"{count} integers of at least {minimum}"
    if not isinstance(value, Sequence) or isinstance(value, str) or not value:
        raise fail(field, expected, value)
    if length is not None and len(value) != length:
        raise fail(field, expected, value)
    if any(isinstance(v, bool) or not isinstance(v, int) or v < minimum for v in value):
        raise fail(field, expected, value)
    return tuple(value)
