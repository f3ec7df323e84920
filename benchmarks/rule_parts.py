"""What each part of the early-stopping rule does, and how early figures order networks like final ones.

Replays the recorded digits trials of ``benchmarks.replay`` with one part of the rule changed at a time. Prints besides
Spearman's rank correlation of every epoch's figures with those of the finished networks, how far networks still climb
from an accuracy, and what a few small ones are worth.

    python -m benchmarks.rule_parts
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from ray.tune.schedulers import TrialScheduler
from scipy.stats import spearmanr

from benchmarks import machine
from benchmarks.replay import REFERENCE, VALIDATION, Curves, Draw, Measure, draw, read_curves
from benchmarks.stopping_rules import GoesOn
from litesnn.checks import InputError, check_integer
from litesnn.files import write_text
from tune.running.halving import Halving
from tune.running.scheduler import ParetoScheduler

PARTS: dict[str, dict[str, Any]] = {
    "as shipped": {},
    "accuracies taken as exact": {"val_samples": 0},
    "nor a quorum": {"val_samples": 0, "quorum": 1},
    "no correction for catching up": {"catch_up": 0.0},
    "nor for noise": {"catch_up": 0.0, "noise_margin": 0.0},
    "floor at chance": {"floor": 0.0},
    "floor at half the way": {"floor": 0.5},
    "loss of 0.1 % instead of 0.3 %": {"least_loss": 0.001},
    "loss of 1 %": {"least_loss": 0.01},
    "the largest is not kept": {"keep_largest": False},
    "rungs from a fifth of a phase on": {"earliest": 0.2},
    "full from the fourth entry on": {"full_rung": 4},
    "the gate alone": {"grace_period": 100},
}
LEVELS = (40, 60, 80, 90, 95, 98, 100.1)  # percent; between two of them lie the networks of one line
FIGURES = ("val_accuracy", "model_size_bits", "bit_synops")


def make_rule(curves: Curves, changes: dict[str, Any]) -> GoesOn:
    """A fresh scheduler with the rule's defaults and these changes."""
    records = next(iter(curves.values()))
    search, retrain = (sum(record["phase"] == phase for record in records) for phase in ("search", "retrain"))
    halving = Halving(
        search_epochs=search,
        retrain_epochs=retrain,
        chance=REFERENCE.accuracy,
        **{"val_samples": VALIDATION, **changes},
    )
    scheduler = ParetoScheduler(halving, dict)
    return lambda record: scheduler.on_trial_result(None, None, dict(record)) != TrialScheduler.STOP


def ablation(curves: Curves, draws: Sequence[Draw]) -> dict[str, dict[str, float]]:
    """Shares kept and spent with each part changed, means and extremes."""
    measure = Measure(curves)
    found = {}
    for name, changes in PARTS.items():
        values = measure(lambda changes=changes: make_rule(curves, changes), draws)  # type: ignore[misc]
        kept, spent, _, above = values.T
        found[name] = {
            "kept": float(kept.mean()),
            "kept_worst": float(kept.min()),
            "spent": float(spent.mean()),
            "spent_most": float(spent.max()),
            "kept_above_90": float(above.mean()),
        }
    return found


def correlations(curves: Curves) -> dict[str, dict[str, float]]:
    """Spearman's correlation of each epoch's figures with the last ones, over all trials."""
    histories = list(curves.values())
    found: dict[str, dict[str, float]] = {}
    for i, record in enumerate(histories[0]):
        columns = {name: [[h[i][name], h[-1][name]] for h in histories] for name in FIGURES}
        found[f"{record['phase']} {record['epoch']}"] = {
            name: float(spearmanr(np.array(pairs)).statistic) for name, pairs in columns.items()
        }
    return found


def climbs(curves: Curves) -> dict[str, dict[str, float]]:
    """How far networks still climb from an accuracy, in points, over all epochs but the first of the search."""
    points = [
        (record["val_accuracy"], records[-1]["val_accuracy"]) for records in curves.values() for record in records[1:]
    ]
    found = {}
    for low, high in pairwise(LEVELS):
        climbed = [last - now for now, last in points if low <= now < high]
        found[f"{low:g} to {min(high, 100):g} %"] = {
            "epochs": len(climbed),
            "mean": float(np.mean(climbed)),
            "deviation": float(np.std(climbed, ddof=1)),
        }
    return found


def missing(curves: Curves) -> dict[str, dict[str, float]]:
    """Which share of the hypervolume is lost without a few networks."""
    measure, every = Measure(curves), frozenset(curves)
    gates = {name: [r for r in records if r["phase"] == "search"][-1] for name, records in curves.items()}
    groups = {
        "final networks below 1 kB": [n for n, records in curves.items() if records[-1]["model_size_bits"] < 8000],
        "below 60 % when the search ends": [n for n, gate in gates.items() if gate["val_accuracy"] < 60],
    }
    return {
        what: {
            "networks": len(found),
            "lost": float(1 - (measure.volumes(every - set(found)) / measure.volumes(every))[0]),
        }
        for what, found in groups.items()
    }


def report(result: dict[str, Any]) -> str:
    """A result as the text that is printed."""
    heading = f"{'':34}{'kept':>8}{'worst':>8}{'spent':>8}{'most':>8}{'above 90':>10}"
    lines = [machine.one_line(result["machine"]), f"{result['replays']} replays, percent", "", heading]
    for name, row in result["ablation"].items():
        values = (100 * value for value in row.values())
        kept, worst, spent, most, above = values
        lines.append(f"{name:34}{kept:8.1f}{worst:8.1f}{spent:8.1f}{most:8.1f}{above:10.1f}")
    lines += ["", f"{'rank correlation with the end':34}" + "".join(f"{name:>18}" for name in FIGURES)]
    for epoch, row in result["correlations"].items():
        lines.append(f"{epoch:34}" + "".join(f"{row[name]:18.2f}" for name in FIGURES))
    lines += ["", f"{'still to climb from':34}{'epochs':>8}{'mean':>8}{'deviation':>11}"]
    for level, row in result["climbs"].items():
        lines.append(f"{level:34}{row['epochs']:8}{row['mean']:8.1f}{row['deviation']:11.1f}")
    lines.append("")
    for what, row in result["missing"].items():
        lines.append(f"without the {row['networks']} {what}, {100 * row['lost']:.1f} % of the hypervolume are lost")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="rule_parts", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--replays", type=int, default=240, help="random orders, the first of the replay benchmark's")
    parser.add_argument("--seed", type=int, default=1, help="seed of the orders")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "rule_parts.json")
    options = parser.parse_args(arguments)
    try:
        check_integer("replays", options.replays, minimum=1)
        curves = read_curves()
        result = {
            "benchmark": "rule_parts",
            "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": machine.describe(),
            "replays": options.replays,
            "seed": options.seed,
            "ablation": ablation(curves, draw(list(curves), options.replays, np.random.default_rng(options.seed))),
            "correlations": correlations(curves),
            "climbs": climbs(curves),
            "missing": missing(curves),
        }
        write_text(options.out, json.dumps(result, indent=1) + "\n")
    except InputError as error:
        print(f"rule_parts: {error}", file=sys.stderr)
        return 2
    print(report(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
