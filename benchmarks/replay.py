"""Replays recorded learning curves under several stopping rules: what is kept of the front for which share of epochs.

A replay is a discrete-event simulation: so many workers take the trials in a random order, every epoch lasts as long as
it was recorded to, and the rule answers each report. Only trials that reach the end of their retraining count.

    python -m benchmarks.replay

The published multi-objective ASHA is measured where syne-tune can be imported (``pip install --no-deps syne-tune``).
"""

from __future__ import annotations

import argparse
import heapq
import json
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from benchmarks import machine
from benchmarks.recordings import Curves, read
from benchmarks.stopping_rules import Family, GoesOn, families
from litesnn.checks import InputError, check_integer
from litesnn.files import write_text
from tune.results.front import hypervolume
from tune.storage.objectives import Reference

HERE = Path(__file__).parent
REFERENCE = Reference(accuracy=10.0, size_bits=251_616, bit_synops=24_116_736)
"""Guessing, with the largest network of the digits space at full activity (``tune.results.reference``)."""

ABOVE_90 = Reference(**{**vars(REFERENCE), "accuracy": 90.0})
"""The same corner, but only what lies above 90 % counts: chance as reference gives most of the volume to size."""

WORKERS = (1, 2, 4, 8, 16, 48)
VALIDATION = 287
"""Images that the recorded accuracies were measured on."""

BUDGET, AIM = 0.45, 0.98
SUBSET = 32
SPLITS, SPLIT_REPLAYS = 10, 12

COLUMNS = ("hypervolume kept", "epochs spent", "seconds spent", "hypervolume above 90 % kept")
"""What a replay is measured by, each as a share of that of running everything."""

Draw = tuple[Sequence[str], int]
"""Trials in the order of their start, and workers."""


@dataclass(frozen=True)
class Replay:
    """What one replay came to: the trials that finished, epochs and seconds of all."""

    finished: frozenset[str]
    epochs: int
    seconds: float


def read_curves() -> Curves:
    """Records of every trial in the order of their epochs, which ``total`` counts through both phases."""
    path = HERE / "data" / "digits_curves.csv"
    return read(path, "digits", chance=REFERENCE.accuracy, val_samples=VALIDATION).curves


def replay(curves: Curves, order: Sequence[str], workers: int, goes_on: GoesOn) -> Replay:
    """Runs all trials of ``order`` on ``workers`` under a rule."""
    waiting = list(reversed(order))
    running: list[tuple[float, int, str, int]] = []  # when its next epoch ends, tie-break, trial, that epoch's index
    finished, seconds, started = set(), [], 0

    def start(now: float) -> None:
        nonlocal started
        if waiting:
            trial, started = waiting.pop(), started + 1
            heapq.heappush(running, (now + curves[trial][0]["seconds"], started, trial, 0))

    for _ in range(workers):
        start(0.0)
    while running:
        now, tie, trial, index = heapq.heappop(running)
        records = curves[trial]
        seconds.append(records[index]["seconds"])
        stays = goes_on(records[index])
        if index + 1 == len(records):
            finished.add(trial)
            start(now)
        elif stays:
            heapq.heappush(running, (now + records[index + 1]["seconds"], tie, trial, index + 1))
        else:
            start(now)
    return Replay(frozenset(finished), len(seconds), math.fsum(seconds))


class Measure:
    """Shares of what running everything would give and cost.

    Args:
        curves: the recording.
    """

    def __init__(self, curves: Curves) -> None:
        self.curves = curves
        self.table = pd.DataFrame([records[-1] for records in curves.values()]).assign(status="finished")
        self._volumes: dict[frozenset[str], np.ndarray] = {}

    def __call__(self, make: Callable[[], GoesOn], draws: Sequence[Draw]) -> np.ndarray:
        """Replays every draw with a fresh rule.

        Returns:
            ``[N, 4]``, as ``COLUMNS`` names them.
        """
        rows = []
        for order, workers in draws:
            done = replay(self.curves, order, workers, make())
            records = [record for trial in order for record in self.curves[trial]]
            kept, kept_above = self.volumes(done.finished) / self.volumes(frozenset(order))
            seconds = math.fsum(record["seconds"] for record in records)
            rows.append((kept, done.epochs / len(records), done.seconds / seconds, kept_above))
        return np.array(rows)

    def volumes(self, trials: frozenset[str]) -> np.ndarray:
        """Hypervolume of finished trials, from ``REFERENCE`` and from ``ABOVE_90``."""
        if trials not in self._volumes:
            chosen = self.table[self.table["trial"].isin(trials)]
            self._volumes[trials] = np.array([hypervolume(chosen, corner) for corner in (REFERENCE, ABOVE_90)])
        return self._volumes[trials]


def draw(trials: Sequence[str], count: int, generator: np.random.Generator, size: int | None = None) -> list[Draw]:
    """Random orders, of ``size`` random trials if given, with each number of workers equally often."""
    orders = [[str(name) for name in generator.permutation(list(trials))][:size] for _ in range(count)]
    return [(order, WORKERS[i % len(WORKERS)]) for i, order in enumerate(orders)]


def at_cost(points: np.ndarray, cost: float) -> float:
    """What a rule keeps at a cost: between its settings, of which a dearer one that keeps less is not used.

    Args:
        points: ``[N, 2]``, share spent and share kept of each setting. Stopping everything and nothing are added.
        cost: share spent.
    """
    points = np.vstack([[0.0, 0.0], points[np.lexsort(points.T[::-1])], [1.0, 1.0]])
    return float(np.interp(cost, points[:, 0], np.maximum.accumulate(points[:, 1])))


def unseen(family: Family, measure: Measure, seed: int) -> np.ndarray:
    """Chooses the setting on a random half of the trials and applies it to the other half.

    Chosen is what keeps most within the budget of epochs, or the cheapest setting if none is within.

    Returns:
        ``[SPLITS, 2]``: mean share kept and spent on each unseen half.
    """
    generator, found = np.random.default_rng(seed), []
    for _ in range(SPLITS):
        names = [str(name) for name in generator.permutation(list(measure.curves))]
        seen, rest = (draw(half, SPLIT_REPLAYS, generator) for half in (names[::2], names[1::2]))
        tried = [(setting, *measure(partial(family.make, setting), seen).mean(axis=0)[:2]) for setting in family.sweep]
        within = [entry for entry in tried if entry[2] <= BUDGET]
        chosen = max(within, key=lambda e: e[1])[0] if within else min(tried, key=lambda e: e[2])[0]
        found.append(measure(partial(family.make, chosen), rest).mean(axis=0)[:2])
    return np.array(found)


def measure_all(curves: Curves, replays: int, seed: int) -> dict[str, Any]:
    """Everything that is kept of one run, ready for JSON."""
    lengths = [sum(r["phase"] == phase for r in next(iter(curves.values()))) for phase in ("search", "retrain")]
    generator, measure = np.random.default_rng(seed), Measure(curves)
    draws, subsets = draw(list(curves), replays, generator), draw(list(curves), replays, generator, SUBSET)
    rules: dict[str, Any] = {"no stopping": {"shipped": _spread(measure(lambda: lambda record: True, draws))}}
    for family in families(lengths[0], lengths[1], REFERENCE):
        _progress(family.name)
        rules[family.name] = _measure_family(family, measure, draws, subsets, seed)
    cost = rules["ours"]["shipped"]["mean"][1]
    for rule in rules.values():
        if "sweep" in rule:
            means = np.array([point["mean"] for point in rule["sweep"]])
            rule["kept_at_our_cost"] = [at_cost(means[:, [1, column]], cost) for column in (0, 3)]
    return {
        "benchmark": "replay",
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine.describe(),
        "settings": {"trials": len(curves), "replays": replays, "seed": seed, "workers": list(WORKERS)},
        "reference": vars(REFERENCE),
        "columns": list(COLUMNS),
        "rules": rules,
    }


def _measure_family(
    family: Family, measure: Measure, draws: Sequence[Draw], subsets: Sequence[Draw], seed: int
) -> dict[str, Any]:
    if not family.installed:
        return {"missing": "not installed"}
    sweep = {setting: measure(partial(family.make, setting), draws) for setting in family.sweep}
    shipped = sweep[family.default]
    return {
        "setting": str(family.default),
        "shipped": _spread(shipped),
        "by_workers": {str(w): shipped[i :: len(WORKERS)].mean(axis=0).tolist() for i, w in enumerate(WORKERS)},
        "subsets": _spread(measure(partial(family.make, family.default), subsets)),
        "sweep": [{"setting": str(setting), **_spread(values)} for setting, values in sweep.items()],
        "unseen_half": unseen(family, measure, seed).tolist(),
    }


def _spread(values: np.ndarray) -> dict[str, Any]:
    low, median, high = np.quantile(values, [0.05, 0.5, 0.95], axis=0).tolist()
    reached = float((values[:, 0] >= AIM).mean())
    return {"mean": values.mean(axis=0).tolist(), "median": median, "p5": low, "p95": high, "reached_aim": reached}


def report(result: Mapping[str, Any]) -> str:
    """A result as the table that is printed."""
    settings, rules = result["settings"], result["rules"]
    cost = 100 * rules["ours"]["shipped"]["mean"][1]
    lines = [
        machine.one_line(result["machine"]),
        f"{settings['trials']} trials, {settings['replays']} replays in random order on {settings['workers']} workers; "
        f"percent, median (5 to 95 %); {result['measured_at']}",
        "",
        f"{'':24}{'setting':18}{'kept':>18}{'>= 98':>7}{'epochs spent':>20}{'seconds':>9}{'above 90':>10}"
        f"{f'at {cost:.1f}':>16}{f'{SUBSET} trials':>14}{'unseen half':>14}",
    ]
    for name, rule in rules.items():
        if "missing" in rule:
            lines.append(f"{name:24}{rule['missing']}")
            continue
        row = rule["shipped"]
        line = f"{name:24}{rule.get('setting', ''):18}{_range(row, 0):>18}{100 * row['reached_aim']:>7.0f}"
        line += f"{_range(row, 1):>20}{100 * row['median'][2]:>9.1f}{100 * row['median'][3]:>10.1f}"
        if "sweep" in rule:
            half = np.mean(rule["unseen_half"], axis=0)
            line += f"{_pair(rule['kept_at_our_cost']):>16}{_pair(rule['subsets']['mean']):>14}{_pair(half):>14}"
        lines.append(line)
    return "\n".join([*lines, "", *_LEGEND])


_LEGEND = (
    "kept: share of the hypervolume; above 90: of that above 90 % accuracy. From here on means. at: kept and kept above 90",
    f"by the best settings of the sweep at our cost. {SUBSET} trials: kept / spent on random subsets. unseen half: the same on",
    f"a random half of the trials, of the setting that kept most of the other half within {100 * BUDGET:.0f} % of the epochs.",
)


def _range(row: Mapping[str, Any], column: int) -> str:
    median, low, high = (100 * row[key][column] for key in ("median", "p5", "p95"))
    return f"{median:.1f} ({low:.1f}-{high:.1f})"


def _pair(values: Sequence[float] | np.ndarray) -> str:
    return f"{100 * values[0]:.1f} / {100 * values[1]:.1f}"


def plot(result: Mapping[str, Any], path: Path) -> None:
    """Share of hypervolume over share of epochs: every setting of every rule, the shipped one filled; a detail beside."""
    figure = Figure(figsize=(11, 4.6), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    whole, detail = figure.subplots(1, 2)
    colours = ["#0b6e99", "#c8553d", "#d9a441", "#7a6fb0", "#5f9e6e"]
    shown = [(name, rule) for name, rule in result["rules"].items() if "sweep" in rule]
    for axes in (whole, detail):
        axes.axhline(100 * AIM, color="#999", linewidth=0.8, linestyle=":")
        axes.axvline(100 * BUDGET, color="#999", linewidth=0.8, linestyle=":")
        for colour, (name, rule) in zip(colours, shown, strict=False):
            points = np.array([[point["mean"][1], point["mean"][0]] for point in rule["sweep"]])
            costs = np.linspace(points[:, 0].min(), points[:, 0].max(), 300)
            kept = [100 * at_cost(points, cost) for cost in costs]
            axes.plot(100 * costs, kept, color=colour, linewidth=1.2)
            axes.scatter(100 * points[:, 0], 100 * points[:, 1], s=22, facecolor="none", edgecolor=colour, linewidth=1)
            kept, spent = rule["shipped"]["mean"][:2]
            axes.scatter(100 * spent, 100 * kept, s=60, color=colour, label=f"{name} ({rule['setting']})", zorder=3)
        axes.scatter(100, 100, s=60, color="#333", marker="s", label="no stopping")
        axes.set_xlabel("epochs spent, % of all")
        axes.set_ylabel("hypervolume kept, %")
        axes.spines[["top", "right"]].set_visible(False)
    whole.set_xlim(0, 102)
    detail.set_xlim(15, 70)
    detail.set_ylim(89.5, 100.3)
    detail.legend(loc="lower right", frameon=False, fontsize=8.5)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def _progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="replay", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--replays", type=int, default=240, help="orders of arrival per setting (default 240)")
    parser.add_argument("--seed", type=int, default=1, help="of the orders (default 1)")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "replay.json")
    parser.add_argument("--plot", type=Path, default=HERE.parent / "docs" / "images" / "replay.png")
    options = parser.parse_args(arguments)
    try:
        check_integer("replays", options.replays, minimum=len(WORKERS))
        check_integer("seed", options.seed, minimum=0)
        result = measure_all(read_curves(), options.replays, options.seed)
        write_text(options.out, json.dumps(result, indent=1) + "\n")
        plot(result, options.plot)
    except InputError as error:
        print(f"replay: {error}", file=sys.stderr)
        return 2
    print(report(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
