"""The files of the page: they lie in ``static/``, but for plotly's script, which its package brings, and the colours."""

from __future__ import annotations

import gzip
import hashlib
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tune.views.look import colours_css, look

_FOLDER = Path(__file__).parent / "static"
_PLOTLY = "plotly.min.js"
_ENTRY, _THEME = "page.js", "theme.js"

MODULES = sorted(path.relative_to(_FOLDER).as_posix() for path in _FOLDER.rglob("*.js") if path.name != _THEME)
"""The page's own modules, by their paths; what is in ``theme.js`` runs before anything is drawn."""

STATIC = {"page.css": "text/css", **dict.fromkeys([_PLOTLY, _THEME, *MODULES], "text/javascript")}
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
    content = static_text(name).encode()
    tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    return StaticFile(content, gzip.compress(content, 6, mtime=0), tag)


@cache
def static_text(name: str) -> str:
    """The same as text."""
    assert name in STATIC
    if name == _PLOTLY:
        from plotly.offline import get_plotlyjs

        return str(get_plotlyjs())
    text = (_FOLDER / name).read_text(encoding="utf-8")
    return colours_css() + text if name == "page.css" else text


def page_text(head: str, data: str = "", heading: str = "LitE-SNN dashboard") -> str:
    """The page itself.

    Args:
        head: elements that bring style and scripts.
        data: elements for the end of the body.
        heading: title and first heading, as markup.
    """
    text = (_FOLDER / "page.html").read_text(encoding="utf-8")
    for mark, content in (("head", head), ("data", json_element("look", look()) + data)):
        text = text.replace(f"<!--{mark}-->", content)
    return text.replace("<!--heading-->", heading)


@cache
def served_page() -> str:
    """The page as the dashboard serves it: its files are asked for one by one."""
    preload = "\n".join(f'<link rel="modulepreload" href="/static/{name}">' for name in MODULES if name != _ENTRY)
    return page_text(
        '<link rel="stylesheet" href="/static/page.css">\n'
        f'<script src="/static/{_THEME}"></script>\n{preload}\n'
        f'<script type="module" src="/static/{_ENTRY}"></script>\n'
        f'<script src="/static/{_PLOTLY}" async id="plotly"></script>'
    )


def json_element(name: str, values: Any) -> str:
    """An element with data for scripts: no ``<`` that could end it, no NaN."""
    text = json.dumps(values, allow_nan=False, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    return f'<script type="application/json" id="{name}">{text}</script>\n'
