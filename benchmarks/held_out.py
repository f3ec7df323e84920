"""What stopping rules keep of runs that none was tuned on: hypervolume, core-seconds, and the ends of the front.

Replays recorded runs of digits, CIFAR-10 and Speech Commands in random orders and with several numbers of workers. The rules are as they are shipped; the random one stops trials by chance, as often as costs what ours costs. Where
trials share searches, the first of an order at any width of a (λ1, λ2, p) has the search, the others only a retraining.
Seconds are shares of those of independent trials that all run to their end.

    python -m benchmarks held_out
"""

from __future__ import annotations

import argparse
import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.record import made_on, markdown, progress
from benchmarks.recordings import Curves, Recording, read, searched_as
from benchmarks.replay import DATA, replay
from benchmarks.stopping_rules import GoesOn, others, ours
from litesnn.checks import check_integer
from tune.results.front import hypervolume
from tune.running.halving import Halving
from tune.storage.objectives import SIZE, Z, accuracy_variance

PACKAGES = ("ray",)
RECORDED = (  # name, file, seed, chance in percent, images or clips that accuracies are measured on
    ("digits, default points", "digits_widths_curves.csv", "", 10.0, 287),
    ("digits, seed 100", "held_out_digits_curves.csv", "-seed_100", 10.0, 287),
    ("digits, seed 200", "held_out_digits_curves.csv", "-seed_200", 10.0, 287),
    ("CIFAR-10", "held_out_cifar10_curves.csv", "", 10.0, 2500),
    ("Speech Commands", "held_out_gsc_curves.csv", "", 100 / 12, 487),
)
WORKERS = (1, 2, 4, 8, 64)
SIZES = (12, 24, 48)
AIM = 0.98
OURS = "ours"
VARIED: dict[str, dict[str, Any]] = {
    OURS: {},
    "ours, exact accuracies, no quorum": {"val_samples": 0, "quorum": 1},
    "ours, the largest is not kept": {"keep_largest": False},
    "ours, rungs from a fifth of a phase": {"earliest": 0.2},
}

Make = Callable[[int], GoesOn]
"""A fresh rule for one replay, of a number that chance may depend on."""
Draw = tuple[Sequence[str], int]
"""The trials that are taken in their order, and workers."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Of one replay: hypervolume kept, seconds spent as a share, and whether each end was lost; ties with the best are no loss."""

    kept: float
    seconds: float
    accurate: bool
    smallest: bool
    cheapest: bool


def as_shipped(recording: Recording, **changes: Any) -> GoesOn:
    """Our rule as the service has it, or with some fields changed."""
    values = {"chance": recording.chance, "val_samples": recording.val_samples, **changes}
    return ours(recording.lengths, **values)


def rules(recording: Recording) -> dict[str, Make]:
    """The rules that are compared, but the random one."""
    found: dict[str, Callable[[], GoesOn]] = {"no stopping": lambda: lambda record: True}
    found |= {name: partial(as_shipped, recording, **changes) for name, changes in VARIED.items()}
    found |= others(sum(recording.lengths), recording.reference)
    return {name: lambda turn, make=make: make() for name, make in found.items()}  # type: ignore[misc]


def by_chance(recording: Recording, share: float) -> Make:
    """Stops a trial on a rung of ours with this probability."""
    search, retrain = recording.lengths
    rungs = set(Halving(search_epochs=search, retrain_epochs=retrain, chance=recording.chance).rungs)

    def make(turn: int) -> GoesOn:
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


def outcome(recording: Recording, rule: GoesOn, order: Sequence[str], workers: int, shared: bool) -> Outcome:
    """One replay of the trials of ``order``."""
    curves = {trial: recording.curves[trial] for trial in order}
    done = replay(sharing(curves, order) if shared else curves, order, workers, rule)
    final = pd.DataFrame([records[-1] for records in curves.values()]).assign(status="finished")
    left = final[final["trial"].isin(done.finished)]
    best = final["val_accuracy"].max()
    useful = final[final["val_accuracy"] >= recording.chance + 0.25 * (best - recording.chance)]
    most = left["val_accuracy"].max() if len(left) else 0.0
    # Below the best by more than chance does in one case of twenty.
    error = Z * math.sqrt(accuracy_variance(np.array([best, most]), recording.val_samples).sum())
    lost = {name: not len(left) or left[name].min() > useful[name].min() for name in (SIZE, "bit_synops")}
    return Outcome(
        kept=hypervolume(left, recording.reference) / hypervolume(final, recording.reference),
        seconds=done.seconds / math.fsum(record["seconds"] for records in curves.values() for record in records),
        accurate=bool(best - most > error),
        smallest=bool(lost[SIZE]),
        cheapest=bool(lost["bit_synops"]),
    )


def draws(recording: Recording, replays: int, size: int, seed: int) -> list[Draw]:
    """Random orders of ``size`` random trials, with each number of workers in turn."""
    found: list[Draw] = []
    for turn in range(replays):
        order = np.random.default_rng((seed, turn)).permutation(sorted(recording.curves))[:size]
        found.append(([str(trial) for trial in order], WORKERS[turn % len(WORKERS)]))
    return found


def outcomes(recording: Recording, make: Make, drawn: Sequence[Draw], shared: bool) -> list[Outcome]:
    """Of a rule, fresh for each replay."""
    return [outcome(recording, make(turn), *draw, shared) for turn, draw in enumerate(drawn)]


def at_cost(recording: Recording, seconds: float, drawn: Sequence[Draw], shared: bool) -> list[Outcome]:
    """Of stopping by chance as often as costs so much, to a percent of all seconds."""
    low, high = 0.0, 1.0
    for _ in range(8):
        share = (low + high) / 2
        found = outcomes(recording, by_chance(recording, share), drawn, shared)
        spent = statistics.mean(one.seconds for one in found)
        low, high = (share, high) if spent > seconds else (low, share)
        if abs(spent - seconds) < 0.01:
            break
    return found


def compare(recording: Recording, drawn: Sequence[Draw], shared: bool) -> list[dict[str, Any]]:
    """Rows of the table: every rule on the same draws."""
    size = len(drawn[0][0])
    progress(f"{recording.name}, {size} trials{', shared searches' if shared else ''}")
    found = {rule: outcomes(recording, make, drawn, shared) for rule, make in rules(recording).items()}
    cost = statistics.mean(one.seconds for one in found[OURS])
    found["by chance, at our cost"] = at_cost(recording, cost, drawn, shared)
    rows = []
    for rule, some in found.items():
        table = pd.DataFrame(some)
        means, kept = table.mean(), table["kept"]
        lost = [float(means[end]) for end in ("accurate", "smallest", "cheapest")]
        rows.append(
            {
                "recording": recording.name,
                "trials": size,
                "shared": shared,
                "rule": rule,
                "seconds": float(means["seconds"]),
                "kept": float(means["kept"]),
                "kept_least": float(kept.min()),
                "reached": float((kept >= AIM).mean()),
                "lost": lost,
            }
        )
    return rows


def add_options(parser: argparse.ArgumentParser) -> None:
    """Orders."""
    parser.add_argument("--replays", type=int, default=100, help="orders of arrival of each run (default 100)")
    parser.add_argument("--seed", type=int, default=1, help="of the orders (default 1)")


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Every rule on every run that is recorded, with and without shared searches."""
    replays = check_integer("replays", options.replays, minimum=len(WORKERS))
    seed = check_integer("seed", options.seed, minimum=0)
    rows = []
    for name, file, ending, chance, samples in RECORDED:
        recording = read(DATA / file, name, chance=chance, val_samples=samples, ending=ending)
        for size in sorted({min(size, len(recording.curves)) for size in SIZES}):
            drawn = draws(recording, replays, size, seed)
            rows += compare(recording, drawn, False) + compare(recording, drawn, True)
    return {"settings": {"replays": replays, "seed": seed, "workers": list(WORKERS)}, "rows": rows}


def report(result: dict[str, Any]) -> str:
    """A row for each rule and run, in percent."""
    rows = [
        [
            row["recording"] + (", shared" if row["shared"] else ""),
            f"{row['trials']}",
            row["rule"],
            f"{100 * row['seconds']:.0f}",
            f"{100 * row['kept']:.1f} ({100 * row['kept_least']:.1f})",
            f"{100 * row['reached']:.0f}",
            ", ".join(f"{100 * share:.0f}" for share in row["lost"]),
        ]
        for row in result["rows"]
    ]
    header = "run;trials;rule;core-seconds;kept, mean (least);≥ 98 % of it in;best, smallest, cheapest lost in"
    return f"{markdown(header.split(';'), rows)}\n\n{made_on(result)}"
