"""The files of the page: they lie beside this file, but for plotly's script, which its package brings."""

from __future__ import annotations

from functools import cache
from pathlib import Path

STATIC = {
    "page.css": "text/css",
    "plotly.min.js": "text/javascript",
    "page.js": "text/javascript",
}
"""What can be had under ``/static/``, and its media type."""


@cache
def static_file(name: str) -> bytes:
    """The content of one of ``STATIC``."""
    assert name in STATIC
    if name == "plotly.min.js":
        from plotly.offline import get_plotlyjs

        return get_plotlyjs().encode()
    return (Path(__file__).parent / name).read_bytes()


@cache
def page_text(name: str) -> str:
    """A page of the dashboard."""
    assert name in ("page.html", "login.html")
    return (Path(__file__).parent / name).read_text(encoding="utf-8")
