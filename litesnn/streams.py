"""Output that every terminal and pipe can take: Greek letters and frames have stand-ins where the encoding lacks them."""

from __future__ import annotations

import codecs
import io
import sys

_NAME = "litesnn-plain"
_PLAIN = {
    **{"λ": "lambda", "µ": "u", "α": "alpha", "β": "beta", "ψ": "psi", "τ": "tau", "Λ": "Lambda"},
    **{"…": "...", "–": "-", "—": "-", "·": "*", "×": "x", "±": "+-", "≤": "<=", "≥": ">=", "→": "->", "²": "2"},
    **dict.fromkeys("─━═╌╸╺╴╶", "-"),
    **dict.fromkeys("│┃║", "|"),
    **dict.fromkeys("┌┐└┘├┤┬┴┼┏┓┗┛╭╮╰╯", "+"),
    **{"▶": ">", "■": "#", "●": "*", "✓": "ok", "’": "'", "“": '"', "”": '"', "\u00a0": " ", "\u2009": " "},
}


def plain(text: str) -> str:
    """``text`` in ASCII: a stand-in for every character that has one, ``?`` for the rest."""
    return "".join(char if char.isascii() else _PLAIN.get(char, "?") for char in text)


def _replace(error: UnicodeError) -> tuple[str, int]:
    """What ``codecs`` asks for characters that an encoding lacks, also halves of bytes in names of files."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return plain(error.object[error.start : error.end]), error.end


def accept_all_text() -> None:
    """Makes both output streams take any text, whatever their encoding (latin-1, ASCII, cp1252, a C locale)."""
    codecs.register_error(_NAME, _replace)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_NAME)
