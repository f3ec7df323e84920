"""How results look wherever they are drawn: the colours, marks, units and labels of ``front.png`` and of the page."""

from __future__ import annotations

from typing import Any

from tune.results.amounts import COUNT_UNITS, SIZE_NAMES, SIZE_UNITS
from tune.storage.objectives import BIT_SYNOPS

_LIGHT = {
    "paper": "#ffffff",
    "raised": "#f5f7f8",
    "ink": "#1c2328",
    "muted": "#57636b",
    "rule": "#e3e8eb",
    "pale": "#b4c0c8",
    "selected": "#d55e00",
    "others": "#a8774b",
    "paper-own": "#8a3f10",
    "bad": "#b3261e",
    "good": "#2f7d4f",
}
_DARK = {
    "paper": "#14191d",
    "raised": "#1b2228",
    "ink": "#e3e8eb",
    "muted": "#a0adb5",
    "rule": "#29323a",
    "pale": "#4c5962",
    "selected": "#ff9d3c",
    "others": "#c39a70",
    "paper-own": "#eba36a",
    "bad": "#ff8a80",
    "good": "#7fd09b",
}
# One colour per experiment; the first is the page's own.
_LIGHT_SERIES = "#0b6e99 #b0520b #2f7d4f #7a4ba0 #b3265e #5f6b00 #8a5a44 #4a5b8c"
_DARK_SERIES = "#56b4e9 #f2a65a #7fd09b #c7a4ec #f48fb5 #d2ce6c #d3a892 #a3b4e6"


def _theme(colours: dict[str, str], series: str) -> dict[str, str]:
    own = {f"series-{k}": colour for k, colour in enumerate(series.split())}
    return colours | {"accent": own["series-0"], "front": own["series-0"]} | own


COLOURS = {"light": _theme(_LIGHT, _LIGHT_SERIES), "dark": _theme(_DARK, _DARK_SERIES)}
"""By theme and name, as ``#rrggbb``."""

MARKS: dict[str, dict[str, Any]] = {
    "front": {"label": "front of this plot", "symbol": "circle", "size": 9},
    "test": {"label": "its test accuracy", "symbol": "circle-open", "size": 9},
    "sure": {"label": "on the front for sure", "symbol": "circle", "size": 9},
    "unsure": {"label": "on the front, not for sure", "symbol": "circle-open", "size": 9},
    "interval": {"label": "90 % interval of the mean", "symbol": "line", "size": 9},
    "elsewhere": {"label": "on the front in all three objectives", "symbol": "circle", "size": 8, "fade": 0.4},
    "dominated": {"label": "dominated", "symbol": "circle-open", "size": 7, "fade": 0.35},
    "unfinished": {"label": "unfinished: running, or interrupted", "symbol": "triangle-right", "size": 10},
    "stopped": {"label": "stopped early", "symbol": "square-open", "size": 7, "fade": 0.35},
    "failed": {"label": "diverged or failed", "symbol": "x-thin-open", "size": 7, "colour": "bad"},
    "published": {"label": "published", "symbol": "diamond", "size": 8, "colour": "others"},
    "paper": {"label": "published with the method", "symbol": "diamond", "size": 10, "colour": "paper-own"},
}
"""What stands in a front's figure; ``sure``, ``unsure`` and ``interval`` are of points over seeds, ``test`` of networks.

``symbol`` is plotly's name, or ``line`` for a stroke, and ``size`` in its pixels; ``colour`` is one of ``COLOURS``, that of the experiment where there is
none; ``fade`` is the share of paper in it.
"""

LABELS = {"accuracy": "accuracy (%)", BIT_SYNOPS: "Bit-SynOps per sample", **SIZE_NAMES}
"""Of the axes; the unit is added to those of costs."""


def look() -> dict[str, Any]:
    """What the page's scripts read; its colours are in ``colours_css``."""
    return {"marks": MARKS, "labels": LABELS, "units": {"size": SIZE_UNITS, "count": COUNT_UNITS}}


def colours_css() -> str:
    """The colours as variables of a style sheet: as the system has it, or as ``data-theme`` of the root says."""

    def block(selector: str, theme: str) -> str:
        variables = " ".join(f"--{name}: {colour};" for name, colour in COLOURS[theme].items())
        return f"{selector} {{ color-scheme: {theme}; {variables} }}\n"

    system = block(':root:not([data-theme="light"])', "dark")
    return (
        block(":root", "light")
        + f"@media (prefers-color-scheme: dark) {{ {system}}}\n"
        + block(':root[data-theme="dark"]', "dark")
    )


def mark_colour(mark: str, theme: str = "light") -> str:
    """The colour of a mark of the first experiment."""
    colours = COLOURS[theme]
    own, paper = colours[MARKS[mark].get("colour", "series-0")], colours["paper"]
    share = MARKS[mark].get("fade", 0.0)
    pairs = ((int(own[k : k + 2], 16), int(paper[k : k + 2], 16)) for k in (1, 3, 5))
    return "#" + "".join(f"{round(a + share * (b - a)):02x}" for a, b in pairs)
