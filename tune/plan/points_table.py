"""Points in a CSV file, as this program writes it or as a spreadsheet saves it."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from litesnn.checks import InputError, fail
from litesnn.config import OPTIONAL_AXES, SearchPoint

NAMES = ("lambda1", "lambda2", "p")
_SAME = {"λ1": "lambda1", "λ2": "lambda2", "c": "channels"}
_EXPECTED = "a CSV file with the columns lambda1, lambda2 and p"
_ENCODINGS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def read_points(path: Path) -> list[SearchPoint]:
    """Points of a CSV file whose header names lambda1, lambda2 and p, in any order and case and among other columns.

    Columns channels, or C, held_bits and held_timesteps are read too; an empty cell leaves the value to the recipe.

    A ``trials.csv`` or ``front.csv`` of this program can be given back: the rows of one point with several seeds are
    one point, and a row that has none of the three values (a damaged trial) is left out. A spreadsheet may have saved
    it: separated by semicolons or tabs, with decimal commas, in UTF-16.

    Raises:
        InputError: not such a file; a bad value is named with its line.
    """
    if not path.is_file():
        raise fail("points", "a CSV file that exists", str(path))
    points: dict[SearchPoint, None] = {}
    try:
        text = _decoded(path.read_bytes())
        if "\0" in text:
            raise csv.Error("with zero bytes; is it UTF-16 without its mark at the start?")
        rows = csv.DictReader(io.StringIO(text, newline=""), delimiter=_delimiter(text), skipinitialspace=True)
        header = [_SAME.get(name, name) for name in ((name or "").strip().lower() for name in rows.fieldnames or ())]
        if any(header.count(name) != 1 for name in NAMES) or any(header.count(name) > 1 for name in OPTIONAL_AXES):
            raise fail("points", _EXPECTED, f"{path} with {', '.join(rows.fieldnames or ()) or 'no header'}")
        rows.fieldnames = header
        for row in rows:
            given = [row[name] for name in NAMES]
            if any(value and value.strip() for value in given):
                points[_point(given, row, f"points: {path}, line {rows.line_num}")] = None
    except (UnicodeDecodeError, csv.Error) as error:
        raise fail("points", _EXPECTED, f"{path} ({error})") from None
    if not points:
        raise fail("points", "at least one point", str(path))
    return list(points)


def _decoded(content: bytes) -> str:
    """The text; its mark at the start tells UTF-16 from UTF-8, where there is one."""
    encoding = next((name for mark, name in _ENCODINGS.items() if content.startswith(mark)), "utf-8")
    return content.decode(encoding)


def _delimiter(text: str) -> str:
    """What separates the columns: of comma, semicolon and tab the one that the first line has most of."""
    first = text.lstrip().partition("\n")[0]
    return max(",;\t", key=first.count)


def _point(given: Sequence[str | None], row: Mapping[str, str | None], place: str) -> SearchPoint:
    try:
        lambda1, lambda2, p = map(_number, given)
    except ValueError:
        raise InputError(f"{place}: expected three numbers lambda1, lambda2, p, got {given!r}") from None
    stated = {name: _count(name, row.get(name), place) for name in OPTIONAL_AXES}
    try:
        return SearchPoint(lambda1=lambda1, lambda2=lambda2, p=p, **stated)
    except InputError as error:
        raise InputError(f"{place}: {error}") from None


def _count(name: str, text: str | None, place: str) -> int:
    """A whole number; 0 for an empty cell."""
    try:
        value = _number(text) if text and text.strip() else 0.0
        if not value.is_integer():
            raise ValueError
    except ValueError:
        raise InputError(f"{place}: expected a whole number of {name}, got {text!r}") from None
    return int(value)


def _number(text: str | None) -> float:
    """A number with a point, or with a decimal comma: in a cell of its own a comma can separate nothing else."""
    text = (text or "").strip()
    return float(text.replace(",", ".") if text.count(",") == 1 and "." not in text else text)
