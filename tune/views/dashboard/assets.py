"""The files of the page: they lie in ``static/``, but for plotly's script, which its package brings."""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_FOLDER = Path(__file__).parent / "static"

STATIC = {
    "page.css": "text/css",
    "plotly.min.js": "text/javascript",
    **{path.name: "text/javascript" for path in sorted(_FOLDER.glob("*.js"))},
}
"""What can be had under ``/static/``, and its media type: nothing that was not there when the server started."""


@dataclass(frozen=True)
class StaticFile:
    """Content, the same compressed, and what changes with it."""

    content: bytes
    compressed: bytes
    tag: str


@cache
def static_file(name: str) -> StaticFile:
    """One of ``STATIC``; compressed once, since plotly's script has megabytes."""
    assert name in STATIC
    if name == "plotly.min.js":
        from plotly.offline import get_plotlyjs

        content = get_plotlyjs().encode()
    else:
        content = (_FOLDER / name).read_bytes()
    tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    return StaticFile(content, gzip.compress(content, 6, mtime=0), tag)


@cache
def page_text(name: str) -> str:
    """A page of the dashboard."""
    assert name in ("page.html", "login.html")
    return (_FOLDER / name).read_text(encoding="utf-8")
