"""What one search for all widths and early stopping save of the digits preset's default run, and which ends they lose.

Replays the recorded runs of the default points, one for each seed, every trial with a search of its own: in random orders, with
several numbers of workers. With shared searches, a trial whose point has been searched by an earlier one at another width
starts with its retraining. Seconds are shares of those of independent trials that all run to their end.

    python -m benchmarks shared_search
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from ray.tune.schedulers import TrialScheduler

from benchmarks.plots import COLOURS, save
from benchmarks.record import RESULTS, begin, heading, table
from benchmarks.replay import Curves, replay
from benchmarks.stopping_rules import GoesOn
from litesnn.checks import InputError, check_integer
from litesnn.config import Recipe
from litesnn.files import write_text
from tune.plan.points import default_points
from tune.results.front import hypervolume
from tune.results.reference import reference_of
from tune.running.halving import Halving
from tune.running.scheduler import ParetoScheduler
from tune.storage.objectives import SIZE, Reference

HERE = Path(__file__).parent
DATA = HERE / "data" / "digits_widths_curves.csv"
WORKERS = (1, 2, 4, 12)
VALIDATION = 287
"""Images that the recorded accuracies were measured on."""

RULES: dict[str, dict[str, Any] | None] = {  # name -> what differs from the rule as shipped; None: nobody is stopped
    "no stopping": None,
    "ours": {},
    "ours without ends": {"val_samples": 0, "quorum": 1},
}


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Of one replay: hypervolume kept, seconds spent as a share, and whether each end was lost."""

    kept: float
    seconds: float
    accurate: bool
    smallest: bool
    cheapest: bool


def read_curves(path: Path = DATA) -> dict[int, Curves]:
    """The recorded runs by seed, every trial's epochs in their order."""
    runs: dict[int, dict[str, list[dict[str, Any]]]] = {}
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            record: dict[str, Any] = {"trial": row["trial"], "phase": row["phase"], "epoch": int(row["epoch"])}
            record |= {name: float(row[name]) for name in ("val_accuracy", SIZE, "bit_synops", "seconds")}
            runs.setdefault(int(row["seed"]), {}).setdefault(row["trial"], []).append(record)
    return dict(runs)


def sharing(curves: Curves, order: Sequence[str]) -> dict[str, Sequence[Mapping[str, Any]]]:
    """The run's epochs where the first trial of each (λ1, λ2, p) in ``order`` alone has a search."""
    searched: set[str] = set()
    found: dict[str, Sequence[Mapping[str, Any]]] = {}
    for trial in order:
        point = trial.rpartition("-seed_")[0].partition("-c_")[0]
        found[trial] = [record for record in curves[trial] if point not in searched or record["phase"] == "retrain"]
        searched.add(point)
    return found


def reference() -> Reference:
    """Of the default run: guessing, with the largest network of its widest points."""
    recipe = Recipe.preset("digits")
    return reference_of(max((recipe.at(p) for p in default_points("digits")), key=lambda r: r.retrain_channels))


def rule(changes: dict[str, Any] | None, curves: Curves) -> Callable[[], GoesOn]:
    """Makes a fresh rule for one replay."""
    if changes is None:
        return lambda: lambda record: True
    lengths = [sum(r["phase"] == phase for r in next(iter(curves.values()))) for phase in ("search", "retrain")]
    values = {"val_samples": VALIDATION, **changes}
    halving = Halving(search_epochs=lengths[0], retrain_epochs=lengths[1], chance=10, **values)

    def make() -> GoesOn:
        scheduler = ParetoScheduler(halving, dict)
        return lambda record: scheduler.on_trial_result(None, None, dict(record)) != TrialScheduler.STOP

    return make


def measure(
    curves: Curves, make: GoesOn, order: Sequence[str], workers: int, shared: bool, corner: Reference
) -> Outcome:
    """One replay of one run."""
    final = {trial: records[-1] for trial, records in curves.items()}
    done = replay(sharing(curves, order) if shared else curves, order, workers, make)
    rows = pd.DataFrame(list(final.values())).assign(status="finished")
    whole = math.fsum(record["seconds"] for records in curves.values() for record in records)
    left = [final[trial] for trial in done.finished]
    best = max(record["val_accuracy"] for record in final.values())
    useful = [r for r in final.values() if r["val_accuracy"] >= 10 + 0.25 * (best - 10)]
    return Outcome(
        kept=hypervolume(rows[rows["trial"].isin(done.finished)], corner) / hypervolume(rows, corner),
        seconds=done.seconds / whole,
        accurate=max(record["val_accuracy"] for record in left) < best,
        smallest=min(record[SIZE] for record in left) > min(record[SIZE] for record in useful),
        cheapest=min(record["bit_synops"] for record in left) > min(record["bit_synops"] for record in useful),
    )


def measure_all(replays: int, seed: int) -> dict[str, Any]:
    """Every rule with and without shared searches, in the same orders."""
    result = begin("shared_search", {"replays": replays, "seed": seed})
    runs, corner = read_curves(), reference()
    result["runs"], result["trials"] = len(runs), len(next(iter(runs.values())))
    result["rows"] = []
    for shared in (False, True):
        for name, changes in RULES.items():
            outcomes = []
            for number, curves in enumerate(runs.values()):
                generator = np.random.default_rng((seed, number))
                for turn in range(replays):
                    order = [str(trial) for trial in generator.permutation(sorted(curves))]
                    workers = WORKERS[turn % len(WORKERS)]
                    outcomes.append(measure(curves, rule(changes, curves)(), order, workers, shared, corner))
            result["rows"].append(
                {
                    "rule": name,
                    "shared": shared,
                    "kept": statistics.mean(o.kept for o in outcomes),
                    "kept_least": min(o.kept for o in outcomes),
                    "reached": statistics.mean(o.kept >= 0.98 for o in outcomes),
                    "seconds": statistics.mean(o.seconds for o in outcomes),
                    "lost": [
                        statistics.mean(getattr(o, end) for o in outcomes)
                        for end in ("accurate", "smallest", "cheapest")
                    ],
                }
            )
    return result


def report(result: dict[str, Any]) -> str:
    """A result as the table that is printed."""
    body = [
        [
            ("one search for all widths, " if row["shared"] else "") + row["rule"],
            f"{100 * row['seconds']:.0f}",
            f"{100 * row['kept']:.2f}",
            f"{100 * row['kept_least']:.1f}",
            f"{100 * row['reached']:.0f}",
            *(f"{100 * share:.0f}" for share in row["lost"]),
        ]
        for row in result["rows"]
    ]
    columns = ["percent", "seconds", "kept", "least", ">= 98", "no best", "no smallest", "no cheapest"]
    runs = f"{result['runs']} runs of {result['trials']} trials"
    return "\n".join([*heading(result), runs, "", *table(columns, body)])


def draw(result: dict[str, Any], path: Path) -> None:
    """Hypervolume kept over core-seconds spent."""
    figure = Figure(figsize=(7.5, 4), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    panel = figure.subplots()
    panel.axvline(55, color="#999", linewidth=0.8, linestyle=":")
    panel.axhline(98, color="#999", linewidth=0.8, linestyle=":")
    for row, colour in zip(result["rows"], COLOURS, strict=False):
        label = row["rule"] + (", one search for all widths" if row["shared"] else "")
        panel.plot(100 * row["seconds"], 100 * row["kept"], "o", color=colour, markersize=8, label=label)
    panel.set_xlabel("core-seconds, % of independent trials without stopping")
    panel.set_ylabel("hypervolume kept, %")
    panel.set_ylim(97.5, 100.2)
    panel.spines[["top", "right"]].set_visible(False)
    panel.legend(frameon=False, fontsize=8.5, loc="lower right")
    save(figure, path)


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="shared_search", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--replays", type=int, default=120, help="orders of arrival of each run (default 120)")
    parser.add_argument("--seed", type=int, default=1, help="of the orders (default 1)")
    parser.add_argument("--out", type=Path, default=RESULTS / "shared_search.json", metavar="FILE.json")
    parser.add_argument("--plot", type=Path, default=HERE.parent / "docs" / "images" / "shared-search.png")
    options = parser.parse_args(arguments)
    try:
        check_integer("replays", options.replays, minimum=len(WORKERS))
        check_integer("seed", options.seed, minimum=0)
        result = measure_all(options.replays, options.seed)
        result["load_after"] = result["load_before"]
        write_text(options.out, json.dumps(result, indent=1) + "\n")
        draw(result, options.plot)
    except InputError as error:
        print(f"shared_search: {error}", file=sys.stderr)
        return 2
    print(report(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
