"""How smoothly lambda1 presses on size and lambda2 on Bit-SynOps: searches alone, one for every value and seed.

Each search is decoded in both ways that ``bit_decoding`` has: its optimisation knows nothing of the decoding.

    python -m benchmarks pressure digits lambda1 --least -7.5
    python -m benchmarks pressure digits lambda2 --least -10

The same command continues.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from matplotlib.figure import Figure

from benchmarks.record import first_line, markdown, progress, show
from litesnn.config import Recipe, SearchPoint
from litesnn.cost import derived_cost
from litesnn.data import load
from litesnn.device import prepare_cpu
from litesnn.evaluate import evaluate
from litesnn.files import write_text
from litesnn.joint_search import Search
from litesnn.presets import PRESETS

DATA = Path(__file__).parents[1] / "docs" / "data"
DECODINGS = ("largest", "expected")
UNITS = {"lambda1": (8e3, "size, kB"), "lambda2": (1e6, "Bit-SynOps, M")}
"""What a term presses, and how many bits or operations are one of the table's."""


def searched(recipe: Recipe, term: str, value: float, seed: int) -> dict[str, Any]:
    """One search: what both decodings make of it, and how far beta and psi have decided."""
    point = SearchPoint(lambda1=value * (term == "lambda1"), lambda2=value * (term == "lambda2"), p=0)
    run = Search(point, recipe, load(recipe, searching=True), seed=seed, device=torch.device("cpu"))
    while not run.done:
        run.run_epoch()
    row: dict[str, Any] = {"term": term, "value": value, "seed": seed, "timesteps": run.records[-1].timesteps}
    row |= {name: round(getattr(run.records[-1], name), 3) for name in ("val_accuracy", "beta_entropy", "psi_entropy")}
    shares, time = run.shares(), run.timesteps
    row["mean_bits"] = round(float((shares.bits.detach() @ torch.tensor(recipe.bit_widths).float()).mean()), 3)
    supernet = run.network.eval()
    rates = evaluate(lambda x: supernet(x, time, shares, measure_rates=True), run.dataset, run.dataset.val, time).rates
    row["mean_timesteps"] = round(sum(t * share for t, share in enumerate(shares.timesteps.tolist(), start=1)), 3)
    for decoding in DECODINGS:
        run.recipe = Recipe.from_dict({**recipe.to_dict(), "bit_decoding": decoding})
        genotype = run.genotype()
        cost = derived_cost(genotype, recipe, rates)
        size = cost.file_bits if recipe.size == "file" else cost.model_size_bits
        row[f"bits_{decoding}"] = " ".join(map(str, genotype.bits))
        row[f"cost_{decoding}"] = size if term == "lambda1" else round(cost.bit_synops)
    return row


def medians(rows: pd.DataFrame, term: str) -> pd.DataFrame:
    """Median over seeds of what ``term`` presses, by value of the term, a column for each decoding."""
    names = [f"cost_{decoding}" for decoding in DECODINGS]
    return rows[rows["term"] == term].groupby("value")[names].median() / UNITS[term][0]


def report(rows: pd.DataFrame, term: str) -> str:
    """A line for every value, and the largest factor between neighbours above 0."""
    middle, lines = medians(rows, term), []
    for value, costs in middle.iterrows():
        these = rows[(rows["term"] == term) & (rows["value"] == value)].sort_values("seed")
        cells = [f"{value:.2g}", f"{these['mean_bits'].median():.2f}", ", ".join(map(str, these["timesteps"]))]
        for decoding, cost in zip(DECODINGS, costs, strict=True):
            cells += [f"{cost:.3g}", ", ".join(these[f"bits_{decoding}"])]
        lines.append(cells)
    pressed = middle[middle.index > 0]
    steps = (pressed / pressed.shift(-1)).dropna()
    factors = [f"{max(step.max(), (1 / step).max()):.2f}" for _, step in steps.items()]
    lines.append(["largest step", "", "", factors[0], "", factors[1], ""])
    heads = [part for decoding in DECODINGS for part in (f"{UNITS[term][1]}: {decoding}", "bits")]
    return markdown([term, "expected bits", "T", *heads], lines)


def draw(rows: pd.DataFrame, term: str, file: Path) -> None:
    """The medians over the term, for both decodings; values of 0 stand at the left edge."""
    middle = medians(rows, term)
    places = [value or min(v for v in middle.index if v) / 10**0.5 for value in middle.index]
    figure = Figure(figsize=(7, 4), dpi=120, layout="constrained")
    panel = figure.subplots()
    for decoding, (_, costs) in zip(DECODINGS, middle.items(), strict=True):
        panel.plot(places, costs, marker="o", label=f"bit_decoding {decoding}")
    panel.set(xscale="log", yscale="log", xlabel=term, ylabel=UNITS[term][1])
    panel.legend(frameon=False)
    figure.savefig(file, metadata={"Software": None})


def main(arguments: list[str]) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="pressure", description=first_line(sys.modules[__name__]))
    parser.add_argument("preset", choices=PRESETS)
    parser.add_argument("term", choices=UNITS)
    parser.add_argument("--least", type=float, required=True, help="log10 of the least value above 0")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, help="CSV (default: docs/data/pressure-PRESET.csv)")
    parser.add_argument("--picture", type=Path, help="PNG of the medians")
    options = parser.parse_args(arguments)
    prepare_cpu(1)
    out, recipe = options.out or DATA / f"pressure-{options.preset}.csv", Recipe.preset(options.preset)
    values = [0.0, *(float(f"{10 ** (options.least + step / 4):.4g}") for step in range(9))]  # two decades
    rows = pd.read_csv(out) if out.exists() else pd.DataFrame(columns=["term", "value", "seed"])
    for value in values:
        for seed in range(options.seeds):
            if ((rows["term"] == options.term) & (rows["value"] == value) & (rows["seed"] == seed)).any():
                continue
            progress(f"{options.term} {value:g}, seed {seed}")
            rows = pd.concat([rows, pd.DataFrame([searched(recipe, options.term, value, seed)])], ignore_index=True)
            write_text(out, rows.to_csv(index=False))
    show(report(rows, options.term))
    if options.picture:
        draw(rows, options.term, options.picture)
    return 0
