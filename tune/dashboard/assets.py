"""The files of the page: they lie beside this file, but for plotly's script, which its package brings."""

from __future__ import annotations

from functools import cache
from pathlib import Path

_FOLDER = Path(__file__).parent

STATIC = {
    "page.css": "text/css",
    "plotly.min.js": "text/javascript",
    **{path.name: "text/javascript" for path in sorted(_FOLDER.glob("*.js"))},
}
"""What can be had under ``/static/``, and its media type: nothing that was not there when the server started."""


@cache
def static_file(name: str) -> bytes:
    """The content of one of ``STATIC``."""
    assert name in STATIC
    if name == "plotly.min.js":
        from plotly.offline import get_plotlyjs

        return get_plotlyjs().encode()
    return (_FOLDER / name).read_bytes()


@cache
def page_text(name: str) -> str:
    """A page of the dashboard."""
    assert name in ("page.html", "login.html")
    return (_FOLDER / name).read_text(encoding="utf-8")
