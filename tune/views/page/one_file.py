"""The page as one file that needs nothing else: style, scripts and data are inside, and a policy forbids to load more.

Scripts are allowed by their hashes alone, so that nothing in the data could run even if it left its element.
"""

from __future__ import annotations

import base64
import hashlib
import posixpath
import re
from collections.abc import Mapping
from graphlib import TopologicalSorter
from html import escape
from typing import Any

from tune.views.page.experiment import listed
from tune.views.page.files import MODULES, json_element, page_text, static_text

_IMPORT = re.compile(r'^import\s*\{([^}]*)\}\s*from\s*"(\.{1,2}/[\w./-]+\.js)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:function|const) (\w+))", re.MULTILINE)


def render_page(answer: Mapping[str, Any], details: Mapping[str, Mapping[str, Any]]) -> str:
    """The whole file.

    Args:
        answer: of ``experiment_answer``.
        details: by trial; of others the page says that they are not in the file.
    """
    data = {"list": {"experiments": [listed(answer)], "error": None}, "experiment": answer, "details": details}
    theme, plotly, modules = static_text("theme.js"), static_text("plotly.min.js"), joined_modules()
    hashes = " ".join(f"'sha256-{_hash(script)}'" for script in (theme, plotly, modules))
    policy = (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )
    head = (
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        f"<style>\n{static_text('page.css')}</style>\n<script>{theme}</script>"
    )
    scripts = f'<script>{plotly}</script>\n<script type="module">{modules}</script>\n'
    return page_text(head, json_element("answers", data) + scripts, escape(answer["name"]))


def joined_modules() -> str:
    """All modules as one: each is a function's body that returns what it exports, in the order in which they need each other."""
    needs = {name: {_path(name, found[2]) for found in _IMPORT.finditer(static_text(name))} for name in MODULES}
    return "".join(_as_function(name, static_text(name)) for name in TopologicalSorter(needs).static_order())


def _as_function(name: str, source: str) -> str:
    exported = ", ".join(_EXPORT.findall(source))

    def taken(found: re.Match[str]) -> str:
        return f"const {{{found[1].replace(' as ', ': ')}}} = {_variable(_path(name, found[2]))};\n"

    body = _IMPORT.sub(taken, source)
    body = _EXPORT.sub("", body)
    assert not re.search(r"^(import|export)\b", body, re.MULTILINE), f"{name}: an import or export of another form"
    return f"const {_variable(name)} = (() => {{\n{body}return {{ {exported} }};\n}})();\n"


def _path(name: str, imported: str) -> str:
    """The path of what a module imports, which says it relative to itself."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(name), imported))


def _variable(name: str) -> str:
    return "$" + re.sub(r"[-/]", "_", name.removesuffix(".js"))


def _hash(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
