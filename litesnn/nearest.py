"""A guess at what a mistyped name was to be."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_LEAST_LIKENESS = 0.6


def nearest(name: str, names: Iterable[str]) -> str | None:
    """The name that ``name`` is most like, whatever its case; None if it is like none."""
    by_lower = {known.lower(): known for known in names}
    found = difflib.get_close_matches(name.lower(), by_lower, 1, _LEAST_LIKENESS)
    return by_lower[found[0]] if found else None


def hint(name: object, names: Iterable[object]) -> str:
    """``; did you mean 'NAME'?`` to go at the end of a complaint; nothing if ``name`` is like none."""
    found = nearest(str(name), map(str, names)) if isinstance(name, str) else None
    return "" if found is None else f"; did you mean {found!r}?"
