"""The tables of the HTML report; everything that is text is escaped."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import Any

import pandas as pd

from tune.results.amounts import count_text, count_unit, digits, label, size_name, size_unit, sizes_text
from tune.results.compare import DOMINATED, DOMINATES, NEITHER, Comparison
from tune.results.front import over_seeds
from tune.results.summary import epochs
from tune.storage.objectives import ACCURACY, BIT_SYNOPS, DENSE, EQ18, FILE, SIZE
from tune.storage.store import FINISHED

_RELATIONS = {"": "", DOMINATED: "dominated by", DOMINATES: "dominating", NEITHER: "beside"}

Cell = tuple[str, Any]  # what is shown, and what sorting compares


def size_and_count(row: pd.Series) -> str:
    """Model sizes and Bit-SynOps in words."""
    return f"{sizes_text(row)}, {count_text(row[BIT_SYNOPS])} Bit-SynOps"


def network_table(chosen: pd.DataFrame) -> str:
    """The front, sortable; a click on a name selects the network in the figures."""
    size, bits, count, worth = _units(chosen)
    columns: list[tuple[str, Callable[[pd.Series], Cell]]] = [
        ("validation %", lambda row: _number(row[ACCURACY], "{:.2f}")),
        ("±", lambda row: _number(row.get("val_interval"), "{:.1f}")),
        ("test %", lambda row: _number(row["test_accuracy"], "{:.2f}")),
        (f"file {size}", lambda row: _number(row.get(FILE), None, bits)),
        (f"Eq. 18 {size}", lambda row: _number(row.get(EQ18), None, bits)),
        (f"dense {size}", lambda row: _number(row.get(DENSE), None, bits)),
        (f"Bit-SynOps {count}", lambda row: _number(row[BIT_SYNOPS], None, worth)),
        ("energy µJ", lambda row: _number(row["energy_mj"], None, 1e-3)),
        ("with bits µJ", lambda row: _number(row.get("energy_bits_mj"), None, 1e-3)),
        *_POINT,
        ("bits", lambda row: (str(row["bits"]), row["bits"])),
        ("T", lambda row: _number(row["timesteps"], "{:.0f}")),
        ("seed", lambda row: _number(row["seed"], "{:.0f}")),
        ("ties with", lambda row: _text(row.get("ties_with") or None)),
    ]
    return _table("front", chosen, columns)


def trial_table(trials: pd.DataFrame) -> str:
    """All trials with their state, sortable."""
    trials = trials.assign(epochs_done=epochs(trials))
    size, bits, count, worth = _units(trials)
    columns: list[tuple[str, Callable[[pd.Series], Cell]]] = [
        ("state", lambda row: (str(row["status"]), row["status"])),
        *_POINT,
        ("seed", lambda row: _number(row["seed"], "{:.0f}")),
        ("epochs", lambda row: _number(row["epochs_done"], "{:.0f}")),
        ("validation %", lambda row: _number(row[ACCURACY], "{:.2f}")),
        ("test %", lambda row: _number(row["test_accuracy"], "{:.2f}")),
        (f"{size_name(trials)} {size}", lambda row: _number(row[SIZE], None, bits)),
        (f"Bit-SynOps {count}", lambda row: _number(row[BIT_SYNOPS], None, worth)),
        ("bits", lambda row: _text(row["bits"])),
        ("T", lambda row: _number(row["timesteps"], "{:.0f}")),
        ("seconds", lambda row: _number(row["seconds"], "{:.0f}")),
        ("reason", lambda row: _text(row["reason"])),
    ]
    return _table("trials", trials, columns)


def published_table(comparison: Comparison) -> str:
    """Published networks and what of ours they are held against, sortable; a name of ours selects it in the figures."""
    table = comparison.table
    largest = table[[f"{prefix}{column}" for prefix in ("", "our_") for column in (EQ18, BIT_SYNOPS)]].max()
    size, bits = size_unit(largest[[EQ18, f"our_{EQ18}"]].max())
    count, worth = count_unit(largest[[BIT_SYNOPS, f"our_{BIT_SYNOPS}"]].max())
    rows = []
    for _, row in table.iterrows():
        name = label(row)
        found = int(row["row"])
        ours = f'<td class="text"><button type="button">{escape(name)}</button></td>' if name else "<td></td>"
        cells = [_cell(*_text(row["method"]), "text"), _cell(*_number(row["accuracy"], "{:.2f}"), "")]
        cells += [_cell(*_number(row[EQ18], None, bits), ""), _cell(*_number(row[BIT_SYNOPS], None, worth), "")]
        cells += [_cell(*_text(_RELATIONS[row["relation"]]), "text"), ours]
        cells += [_cell(*_number(row["our_accuracy"], "{:.2f}"), "")]
        cells += [_cell(*_number(row[f"our_{EQ18}"], None, bits), "")]
        cells += [_cell(*_number(row[f"our_{BIT_SYNOPS}"], None, worth), ""), _cell(*_text(row["source"]), "text")]
        trial = f' data-trial="{found}"' if name else ""
        rows.append(f"<tr{trial}>{''.join(cells)}</tr>")
    figures = [f"size {size}", f"Bit-SynOps {count}"]
    head = _heads(
        ["published", "test %", *figures, "it is", "ours", "our test %", *(f"our {f}" for f in figures), "source"], 1
    )
    return f'<div class="wide"><table id="published"><thead>{head}</thead><tbody>{"".join(rows)}</tbody></table></div>'


def seed_table(trials: pd.DataFrame) -> str:
    """Mean ± standard deviation of every point with two or more finished seeds; empty where there is none."""
    points = over_seeds(trials)
    points = points[points["n"] > 1]
    if points.empty:
        return ""
    size, bits, count, worth = _units(points)
    measures = [
        ("validation %", ACCURACY, 1.0),
        ("test %", "test_accuracy", 1.0),
        (f"{size_name(trials)} {size}", SIZE, bits),
        (f"Bit-SynOps {count}", BIT_SYNOPS, worth),
        ("energy µJ", "energy_mj", 1e-3),
    ]
    keys = [key for key in ("experiment", "lambda1", "lambda2", "p", "channels") if key in points.columns]
    names = {"lambda1": "λ1", "lambda2": "λ2", "p": "p %", "channels": "C"}
    rows = []
    for _, point in points.iterrows():
        cells = [
            _cell(*(_text(point[k]) if k == "experiment" else _number(point[k], "{:.4g}")), _kind(k)) for k in keys
        ]
        cells += [_cell(*_number(point[key], "{:.0f}"), "") for key in ("n", "not_finished")]
        for _, column, unit in measures:
            show = "{:.2f}".format if unit == 1 else digits
            mean, deviation = point[column] / unit, point[f"{column}_deviation"] / unit
            cells.append(_cell("" if pd.isna(mean) else f"{show(mean)} ± {show(deviation)}", mean, ""))
        rows.append(f"<tr>{''.join(cells)}</tr>")
    head = _heads(
        [*(names.get(key, key) for key in keys), "seeds", "not finished", *(name for name, _, _ in measures)], 0
    )
    return f'<div class="wide"><table id="seeds"><thead>{head}</thead><tbody>{"".join(rows)}</tbody></table></div>'


_POINT: list[tuple[str, Callable[[pd.Series], Cell]]] = [
    ("λ1", lambda row: _number(row["lambda1"], "{:.4g}")),
    ("λ2", lambda row: _number(row["lambda2"], "{:.4g}")),
    ("p %", lambda row: _number(row["p"], "{:.4g}")),
    ("C", lambda row: _number(row.get("channels"), "{:.0f}")),
]


def _table(name: str, rows: pd.DataFrame, columns: list[tuple[str, Callable[[pd.Series], Cell]]]) -> str:
    body = []
    for _, row in rows.iterrows():
        button = (
            f'<button type="button">{escape(label(row))}</button>' if row["status"] == FINISHED else escape(label(row))
        )
        cells = [f'<td class="text">{button}</td>']
        cells += [_cell(*value(row), _kind(heading)) for heading, value in columns]
        body.append(f'<tr data-trial="{row["row"]}">{"".join(cells)}</tr>')
    head = _heads(["network" if name == "front" else "trial", *(heading for heading, _ in columns)], 1)
    return f'<div class="wide"><table id="{name}"><thead>{head}</thead><tbody>{"".join(body)}</tbody></table></div>'


def _heads(headings: list[str], texts: int) -> str:
    """Header cells; the first ``texts`` of them stand over text."""
    return (
        "<tr>"
        + "".join(
            f'<th scope="col"{_class("text" if i < texts else _kind(heading))}>'
            f'<button type="button">{escape(heading)}</button></th>'
            for i, heading in enumerate(headings)
        )
        + "</tr>"
    )


def _kind(heading: str) -> str:
    texts = {"state": "text", "reason": "text reason", "experiment": "text"}
    return {**texts, "it is": "text", "ours": "text", "ties with": "text", "source": "text"}.get(heading, "")


def _class(kind: str) -> str:
    return f' class="{kind}"' if kind else ""


def _cell(shown: str, value: Any, kind: str) -> str:
    compared = "" if str(value) == shown else f' data-value="{escape(str(value))}"'
    return f"<td{_class(kind)}{compared}>{escape(shown)}</td>"


def _units(rows: pd.DataFrame) -> tuple[str, float, str, float]:
    """Names and worths of the units that suit a table's sizes and Bit-SynOps."""
    largest = [float(pd.to_numeric(rows[column]).max()) for column in (SIZE, BIT_SYNOPS)]
    return *size_unit(largest[0]), *count_unit(largest[1])


def _number(value: Any, form: str | None, unit: float = 1.0) -> Cell:
    """A number and its text, three digits that count if there is no ``form``; nothing where it is missing."""
    if value is None or pd.isna(value):
        return "", ""
    return (digits(value / unit) if form is None else form.format(value / unit)), float(value)


def _text(value: Any) -> Cell:
    return ("", "") if value is None or pd.isna(value) else (str(value), str(value))
