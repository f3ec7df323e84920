"""What stopping rules keep of runs that none was tuned on: hypervolume, core-seconds, and the ends of the front.

Replays recorded runs of digits, CIFAR-10 and Speech Commands, and made ones, in random orders and with several numbers of
workers. The rules are as they are shipped; the random one stops trials by chance, as often as costs what ours costs. Where
trials share searches, the first of an order at any width of a (λ1, λ2, p) has the search, the others only a retraining.
Seconds are shares of those of independent trials that all run to their end.

    python -m benchmarks held_out
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from ray.tune.schedulers import TrialScheduler

from benchmarks.plots import COLOURS, save
from benchmarks.record import RESULTS, begin, heading, progress, table
from benchmarks.recordings import Curves, Recording, read, searched_as
from benchmarks.replay import replay
from benchmarks.stopping_rules import GoesOn, families
from benchmarks.synthetic import FAMILIES, family
from litesnn.checks import InputError, check_integer
from litesnn.files import write_text
from tune.results.front import hypervolume
from tune.running.halving import Halving
from tune.running.scheduler import ParetoScheduler
from tune.storage.objectives import SIZE, Z, accuracy_variance

DATA = Path(__file__).parent / "data"
RECORDED = (  # name, file, seed, chance in percent, images or clips that accuracies are measured on
    ("digits, default points", "digits_widths_curves.csv", "", 10.0, 287),
    ("digits, seed 100", "held_out_digits_curves.csv", "-seed_100", 10.0, 287),
    ("digits, seed 200", "held_out_digits_curves.csv", "-seed_200", 10.0, 287),
    ("CIFAR-10", "held_out_cifar10_curves.csv", "", 10.0, 2500),
    ("Speech Commands", "held_out_gsc_curves.csv", "", 100 / 12, 487),
)
WORKERS = (1, 2, 4, 8, 64)
SIZES = (12, 24, 48)
AIM, BUDGET = 0.98, 0.55
OURS = "ours"
_COLOURS = ("#333", *COLOURS, "#b279a2", "#9ecae9")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Of one replay: hypervolume kept, seconds spent as a share, and whether each end was lost; ties with the best are no loss."""

    kept: float
    seconds: float
    accurate: bool
    smallest: bool
    cheapest: bool


Make = Callable[[Recording, int], GoesOn]
"""A fresh rule for one replay, of a number that chance may depend on."""


def ours(recording: Recording, _: int = 0, **changes: Any) -> GoesOn:
    """The rule as the service has it."""
    search, retrain = recording.lengths
    values = {"val_samples": recording.val_samples, **changes}
    scheduler = ParetoScheduler(
        Halving(search_epochs=search, retrain_epochs=retrain, chance=recording.chance, **values), dict
    )
    return lambda record: scheduler.on_trial_result(None, None, dict(record)) != TrialScheduler.STOP


def rules(recording: Recording) -> dict[str, Make]:
    """The rules that are compared, but the random one."""
    found: dict[str, Make] = {
        "no stopping": lambda recording, turn: lambda record: True,
        OURS: ours,
        "ours, exact accuracies, no quorum": lambda recording, turn: ours(recording, val_samples=0, quorum=1),
        "ours, the largest is not kept": lambda recording, turn: ours(recording, keep_largest=False),
        "ours, rungs from a fifth of a phase": lambda recording, turn: ours(recording, earliest=0.2),
    }
    for other in families(*recording.lengths, recording.reference)[1:]:
        if other.installed and other.name != "MO-ASHA, syne-tune":  # whose ranks are the repaired ones' order
            found[other.name] = lambda recording, turn, other=other: other.make(other.default)  # type: ignore[misc]
    return found


def by_chance(share: float) -> Make:
    """Stops a trial on a rung of ours with this probability."""

    def make(recording: Recording, turn: int) -> GoesOn:
        search, retrain = recording.lengths
        rungs = set(Halving(search_epochs=search, retrain_epochs=retrain, chance=recording.chance).rungs)
        generator = np.random.default_rng((7, turn))
        return lambda record: (record["phase"], record["epoch"]) not in rungs or generator.random() >= share

    return make


def sharing(curves: Curves, order: Sequence[str]) -> Curves:
    """The run's epochs where the first trial of each (λ1, λ2, p) in ``order`` alone has a search."""
    searched: set[str] = set()
    found = {}
    for trial in order:
        same = searched_as(trial)
        found[trial] = [r for r in curves[trial] if same not in searched or r["phase"] == "retrain"]
        searched.add(same)
    return found


def measure(recording: Recording, rule: GoesOn, order: Sequence[str], workers: int, shared: bool) -> Outcome:
    """One replay of the trials of ``order``."""
    curves = {trial: recording.curves[trial] for trial in order}
    final = {trial: records[-1] for trial, records in curves.items()}
    done = replay(sharing(curves, order) if shared else curves, order, workers, rule)
    rows = pd.DataFrame(list(final.values())).assign(status="finished")
    whole = math.fsum(record["seconds"] for records in curves.values() for record in records)
    best = max(record["val_accuracy"] for record in final.values())
    useful = [r for r in final.values() if r["val_accuracy"] >= recording.chance + 0.25 * (best - recording.chance)]
    left = [final[trial] for trial in done.finished]

    def lost(name: str) -> bool:
        return min((r[name] for r in left), default=math.inf) > min(r[name] for r in useful)

    corner = recording.reference
    return Outcome(
        kept=hypervolume(rows[rows["trial"].isin(done.finished)], corner) / hypervolume(rows, corner),
        seconds=done.seconds / whole,
        accurate=_differ(best, max((r["val_accuracy"] for r in left), default=0.0), recording.val_samples),
        smallest=lost(SIZE),
        cheapest=lost("bit_synops"),
    )


def _differ(best: float, other: float, samples: int) -> bool:
    """Whether an accuracy is below the best one by more than chance does in one case of twenty; in percent of ``samples``."""
    return best - other > Z * math.sqrt(accuracy_variance(np.array([best, other]), samples).sum())


Draw = tuple[Recording, Sequence[str], int]
"""A run, the trials that are taken in their order, and workers."""


def draws(recordings: Iterable[Recording], size: int, seed: int) -> list[Draw]:
    """One random order of ``size`` random trials of each recording, with each number of workers in turn."""
    found: list[Draw] = []
    for turn, recording in enumerate(recordings):
        generator = np.random.default_rng((seed, turn))
        order = [str(trial) for trial in generator.permutation(sorted(recording.curves))][:size]
        found.append((recording, order, WORKERS[turn % len(WORKERS)]))
    return found


def made(name: str, size: int, replays: int, seed: int) -> Iterator[Recording]:
    """As many runs of a family as there are replays."""
    return (family(name, size, np.random.default_rng((seed, turn, size))) for turn in range(replays))


def outcomes(make: Make, drawn: Sequence[Draw], shared: bool) -> list[Outcome]:
    """Of a rule, fresh for each replay."""
    return [measure(run, make(run, turn), order, workers, shared) for turn, (run, order, workers) in enumerate(drawn)]


def at_cost(seconds: float, drawn: Sequence[Draw], shared: bool) -> list[Outcome]:
    """Of stopping by chance as often as costs so much, to a percent of all seconds."""
    low, high = 0.0, 1.0
    for _ in range(8):
        share = (low + high) / 2
        found = outcomes(by_chance(share), drawn, shared)
        spent = statistics.mean(outcome.seconds for outcome in found)
        low, high = (share, high) if spent > seconds else (low, share)
        if abs(spent - seconds) < 0.01:
            break
    return found


def compare(name: str, drawn: Sequence[Draw], shared: bool) -> list[dict[str, Any]]:
    """Rows of the table: every rule on the same draws."""
    progress(f"{name}, {len(drawn[0][1])} trials{', shared searches' if shared else ''}")
    found = {rule: outcomes(make, drawn, shared) for rule, make in rules(drawn[0][0]).items()}
    found["by chance, at our cost"] = at_cost(statistics.mean(o.seconds for o in found[OURS]), drawn, shared)
    return [
        {
            "recording": name,
            "trials": len(drawn[0][1]),
            "shared": shared,
            "rule": rule,
            "seconds": statistics.mean(o.seconds for o in some),
            "kept": statistics.mean(o.kept for o in some),
            "kept_least": min(o.kept for o in some),
            "reached": statistics.mean(o.kept >= AIM for o in some),
            "lost": [statistics.mean(getattr(o, e) for o in some) for e in ("accurate", "smallest", "cheapest")],
        }
        for rule, some in found.items()
    ]


def measure_all(replays: int, seed: int) -> dict[str, Any]:
    """Every rule on every run that is recorded, with and without shared searches, and on made ones."""
    result = begin("held_out", {"replays": replays, "seed": seed, "workers": list(WORKERS)}, ["ray", "syne-tune"])
    rows = []
    for name, file, ending, chance, samples in RECORDED:
        recording = read(DATA / file, name, chance=chance, val_samples=samples, ending=ending)
        for size in sorted({min(size, len(recording.curves)) for size in SIZES}):
            drawn = draws([recording] * replays, size, seed)
            rows += compare(name, drawn, False) + compare(name, drawn, True)
    for name in FAMILIES:
        for size in SIZES:
            rows += compare(name, draws(made(name, size, replays, seed), size, seed), False)
    return {**result, "load_after": result["load_before"], "rows": rows}


def report(result: dict[str, Any]) -> str:
    """A result as the table that is printed."""
    body = [
        [
            row["recording"] + (", shared" if row["shared"] else ""),
            f"{row['trials']}",
            row["rule"],
            f"{100 * row['seconds']:.0f}",
            f"{100 * row['kept']:.1f}",
            f"{100 * row['kept_least']:.1f}",
            f"{100 * row['reached']:.0f}",
            *(f"{100 * share:.0f}" for share in row["lost"]),
        ]
        for row in result["rows"]
    ]
    columns = [
        "percent",
        "trials",
        "rule",
        "seconds",
        "kept",
        "least",
        ">= 98",
        "no best",
        "no smallest",
        "no cheapest",
    ]
    return "\n".join([*heading(result), "", *table(columns, body)])


def draw(result: dict[str, Any], path: Path) -> None:
    """Hypervolume kept over core-seconds spent: a panel for each recording and family, of the largest number of trials."""
    rows = result["rows"]
    names = list(dict.fromkeys(row["recording"] for row in rows))
    figure = Figure(figsize=(12, 2.9 * math.ceil(len(names) / 4)), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(math.ceil(len(names) / 4), 4, sharex=True, sharey=True, squeeze=False).ravel()
    used = list(dict.fromkeys(row["rule"] for row in rows))
    for panel, name in zip(panels, names, strict=False):
        some = [row for row in rows if row["recording"] == name]
        most = max(row["trials"] for row in some)
        panel.axvline(100 * BUDGET, color="#999", linewidth=0.8, linestyle=":")
        panel.axhline(100 * AIM, color="#999", linewidth=0.8, linestyle=":")
        for row in some:
            if row["trials"] == most:
                colour = _COLOURS[used.index(row["rule"])]
                face = "none" if row["shared"] else colour
                panel.plot(
                    100 * row["seconds"], 100 * row["kept"], "o", color=colour, markerfacecolor=face, markersize=7
                )
        panel.set_title(f"{name}, {most} trials", fontsize=9.5)
        panel.spines[["top", "right"]].set_visible(False)
    for panel in panels[len(names) :]:
        panel.axis("off")
    for rule, colour in zip(used, _COLOURS, strict=False):
        panels[-1].plot([], [], "o", color=colour, label=rule)
    panels[-1].plot([], [], "o", color="#333", markerfacecolor="none", label="one search for all widths")
    panels[-1].legend(frameon=False, fontsize=8, loc="center")
    panels[0].set_ylim(55, 102)
    figure.supxlabel("core-seconds, % of independent trials without stopping", fontsize=10)
    figure.supylabel("hypervolume kept, %", fontsize=10)
    save(figure, path)


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="held_out", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--replays", type=int, default=100, help="orders of arrival of each run (default 100)")
    parser.add_argument("--seed", type=int, default=1, help="of the orders (default 1)")
    parser.add_argument("--out", type=Path, default=RESULTS / "held_out.json", metavar="FILE.json")
    parser.add_argument("--plot", type=Path, default=DATA.parents[1] / "docs" / "images" / "held-out.png")
    options = parser.parse_args(arguments)
    try:
        check_integer("replays", options.replays, minimum=len(WORKERS))
        check_integer("seed", options.seed, minimum=0)
    except InputError as error:
        print(f"held_out: {error}", file=sys.stderr)
        return 2
    result = measure_all(options.replays, options.seed)
    write_text(options.out, json.dumps(result, indent=1) + "\n")
    draw(result, options.plot)
    print(report(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
