"""The report as one HTML page that needs nothing else: figures, tables and cells, no network access.

``page.css`` and ``page.js`` lie beside this file and go into the page, as plotly's script does. A content security
policy forbids everything that would load from elsewhere. Trial names and reasons are data and escaped.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd
from plotly.offline import get_plotlyjs

from litesnn.config import Recipe
from litesnn.genotype import Genotype
from tune.results.amounts import error, label, zero_error
from tune.results.compare import Comparison
from tune.results.front import on_front
from tune.results.summary import Summary, hypervolume_curve, reference_text
from tune.storage.objectives import ACCURACY, BIT_SYNOPS, EQ18, SIZE
from tune.storage.store import FINISHED, UNFINISHED
from tune.views.cell_drawing import draw_cell
from tune.views.figures import front_figure, hover_text, hypervolume_figure
from tune.views.page_tables import network_table, published_table, seed_table, size_and_count, trial_table
from tune.views.parallel import parallel_figure

_POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"

_LEGEND = (
    (
        "front of this plot, by validation accuracy",
        '<path d="M1 6H29"/><circle cx="15" cy="6" r="5" fill="var(--front)"/>',
    ),
    ("its test accuracy", '<circle cx="15" cy="6" r="4.5" fill="none"/>'),
    ("on the front in all three objectives", '<circle cx="15" cy="6" r="4.5" fill="var(--soft)" stroke="none"/>'),
    ("dominated", '<circle cx="15" cy="6" r="4.5" fill="var(--pale)" stroke="none"/>'),
)

_PUBLISHED_LEGEND = (
    ("published", '<path d="M15 1L20 6L15 11L10 6Z" fill="var(--others)" stroke="none"/>'),
    ("published with the method", '<path d="M15 1L20 6L15 11L10 6Z" fill="var(--paper-own)" stroke="none"/>'),
)
_LITERATURE_NOTE = (
    '<p class="note">By test accuracy on both sides, although ours were chosen by validation. Beside each published network '
    "stands the most accurate of ours that dominates it, which is nowhere worse and somewhere better, else the nearest in "
    "decades of error, size and Bit-SynOps. Where Bit-SynOps are not given, accuracy and size decide alone.</p>"
)


def render_page(
    name: str,
    trials: pd.DataFrame,
    chosen: pd.DataFrame,
    summary: Summary,
    genotypes: Mapping[int, Genotype],
    recipe: Recipe,
    comparison: Comparison | None = None,
) -> str:
    """The whole page.

    Args:
        name: of the experiment.
        trials: the table of ``tune.storage.store``.
        chosen: its front, with the column ``row`` that says at which position of ``trials`` a network stands.
        summary: of the same table.
        genotypes: by position in ``trials``; networks without one are not drawn.
        recipe: says what a skip from a cell input is.
        comparison: with published networks, if there is to be one.
    """
    trials = trials.assign(row=range(len(trials)))
    finished = trials[trials["status"] == FINISHED].dropna(subset=[ACCURACY, SIZE, BIT_SYNOPS])
    on_all = on_front(trials, [SIZE, BIT_SYNOPS])
    curve = hypervolume_curve(trials, summary.reference)
    figures: dict[str, Any] = {}
    if len(finished):
        figures = {
            "size-front": front_figure(
                trials, SIZE if comparison is None or comparison.table.empty else EQ18, on_all, comparison
            ),
            "synops-front": front_figure(trials, BIT_SYNOPS, on_all, comparison),
            "hypervolume": hypervolume_figure(curve),
            "parallel": parallel_figure(trials),
        }
    figures = {key: figure for key, figure in figures.items() if figure is not None}
    data = {
        "figures": figures,
        "hover": {str(row["row"]): hover_text(row) for _, row in _drawn(trials, finished, curve).iterrows()},
        "networks": {
            str(row): {SIZE: float(size), EQ18: float(paper), BIT_SYNOPS: float(count), "error": float(distance)}
            for row, size, paper, count, distance in zip(
                finished["row"],
                finished[SIZE],
                finished[EQ18],
                finished[BIT_SYNOPS],
                error(finished[ACCURACY], zero_error(finished)),
                strict=True,
            )
        },
    }
    title = escape(f"{name}: accuracy, size and Bit-SynOps")
    words = escape("; ".join(summary.sentences())).replace(" %", "&nbsp;%")
    style, script = (Path(__file__).with_name(name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    sections = _figures(summary, trials, comparison) if figures else "<p>No finished network yet.</p>"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>\n{style}</style>\n</head>\n<body>\n"
        f'<header><h1>{escape(name)}</h1>\n<p class="summary">{words}.</p></header>\n'
        f"<main>\n{sections}\n{_tables(trials, chosen, comparison)}\n{_cells(chosen, genotypes, recipe)}\n</main>\n"
        f'<script type="application/json" id="data">{_json(data)}</script>\n'
        f"<script>{get_plotlyjs()}</script>\n"
        f"<script>\n{script}</script>\n</body>\n</html>\n"
    )


def _drawn(trials: pd.DataFrame, finished: pd.DataFrame, curve: pd.DataFrame) -> pd.DataFrame:
    """Rows that a figure can point at."""
    return trials.loc[trials["row"].isin({*finished["row"], *curve["row"]})]


def _figures(summary: Summary, trials: pd.DataFrame, comparison: Comparison | None) -> str:
    look = 'viewBox="0 0 30 12" aria-hidden="true" stroke="var(--front)" stroke-width="1.5"'
    legend = "".join(f"<li><svg {look}>{mark}</svg>{text}</li>" for text, mark in _legend(comparison))
    ended = pd.to_datetime(trials["ended_at"], utc=True, errors="coerce", format="ISO8601")
    unknown = int((ended.isna() & (trials["status"] != UNFINISHED)).sum())
    order = f" {unknown} trials did not record when they ended and come first." if unknown else ""
    return f"""<section aria-labelledby="fronts"><h2 id="fronts">Fronts</h2>
<ul class="legend">{legend}</ul>
<div class="pair">
<div class="plot" id="size-front" role="img" aria-label="Accuracy over size; numbers in the table below"></div>
<div class="plot" id="synops-front" role="img" aria-label="Accuracy over Bit-SynOps; numbers in the table below"></div>
</div>
<p class="note">Point at a network to read it, click to find it in the other figures and the table; drag to zoom,
double-click to see all. All axes are log scales, that of accuracy by its distance from 100&nbsp;%. Networks are chosen by
validation accuracy; a thin line joins it with the test accuracy.</p></section>
<section aria-labelledby="compute"><h2 id="compute">Hypervolume over compute</h2>
<div class="plot low" id="hypervolume" role="img" aria-label="Hypervolume of the front over epochs run"></div>
<p class="note">What the front so far dominates ({escape(reference_text(summary.reference))}), in accuracy share × decades
of size × decades of Bit-SynOps, after each trial that is over, stopped and failed ones included.{order}</p></section>
<section aria-labelledby="choices"><h2 id="choices">From λ1, λ2, p, bits and T to the objectives</h2>
<div class="wide"><div class="plot" id="parallel" role="img" aria-label="Parallel coordinates of all networks"></div></div>
<p class="note">One line per finished network, in stronger colour for every fifth of them that is more accurate. Drag a
box over an axis to keep what passes through it, with Shift over further ones; double-click to let go. λ, accuracy and
costs in log scale, a λ of zero below.</p></section>"""


def _legend(comparison: Comparison | None) -> tuple[tuple[str, str], ...]:
    return _LEGEND if comparison is None or comparison.table.empty else _LEGEND + _PUBLISHED_LEGEND


def _tables(trials: pd.DataFrame, chosen: pd.DataFrame, comparison: Comparison | None) -> str:
    parts = ['<section aria-labelledby="networks"><h2 id="networks">Networks of the front</h2>']
    parts.append(network_table(chosen) if len(chosen) else "<p>The front is empty.</p>")
    if comparison is not None:
        parts.append(f'<h2 id="literature">Published networks</h2><p class="note">{escape(comparison.sentence())}.</p>')
        if len(comparison.table):
            parts.append(_LITERATURE_NOTE + published_table(comparison))
    seeds = seed_table(trials)
    if seeds:
        parts.append(
            "<h2>Points with several seeds</h2>"
            '<p class="note">Mean ± standard deviation over the finished seeds of a point.</p>' + seeds
        )
    parts.append(f"<details><summary>All {len(trials)} trials</summary>{trial_table(trials)}</details></section>")
    return "\n".join(parts)


def _cells(chosen: pd.DataFrame, genotypes: Mapping[int, Genotype], recipe: Recipe) -> str:
    """One figure per network of the front."""
    figures, nodes = [], 0
    for _, row in chosen.iterrows():
        genotype = genotypes.get(int(row["row"]))
        if genotype is None:
            continue
        nodes = max(nodes, len(genotype.nodes))
        figures.append(
            f'<figure data-trial="{row["row"]}">{draw_cell(genotype, label(row))}<figcaption>{row[ACCURACY]:.2f} %, '
            f"{size_and_count(row)}, T&nbsp;{genotype.timesteps}, p&nbsp;{genotype.p:g}&nbsp;%<br>"
            f'<button type="button">{escape(label(row))}</button></figcaption></figure>'
        )
    if not figures:
        return ""
    side = recipe.input_skip.removeprefix("conv")
    return (
        f'<section aria-labelledby="cells"><h2 id="cells">Cells of the front\'s networks</h2>'
        '<p class="note">All cells of a network have the same structure and each its own weight bits. in 1 is the '
        "output of the cell before, in 0 of the one before that (of the stem, where there is none). A node sums its two "
        f"branches; a dot joins lines, a crossing does not. A skip from a cell input is a {side} convolution, since "
        f'the numbers of channels differ.</p><div class="cells{" large" * (nodes > 2)}">{"".join(figures)}</div></section>'
    )


def _json(values: Any) -> str:
    """JSON that can stand inside a script element: no ``<`` that could end it, no NaN."""
    return json.dumps(_finite(values), allow_nan=False, ensure_ascii=False).replace("<", "\\u003c")


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(v) for key, v in value.items()}
    if isinstance(value, list):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
