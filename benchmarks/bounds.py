"""What stopping on our rungs could save at best: with the ends known, and with trials that wait for each other at every rung.

*Known* stops trials on the first of our rungs that they meet; which ones is chosen greedily with their ends in view, so that 98 % of
the hypervolume are kept and no end is lost. No rule on these rungs spends much less. *Waiting* is our rule where all trials reach a
rung before any is judged there.

    python -m benchmarks bounds
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import pandas as pd

from benchmarks.held_out import AIM, DATA, RECORDED, SIZES, Outcome, as_shipped, draws, outcome, sharing
from benchmarks.record import made_on, markdown, progress
from benchmarks.recordings import Curves, Recording, read
from benchmarks.stopping_rules import GoesOn
from litesnn.checks import check_integer
from tune.running.halving import Halving, Rung, Rungs
from tune.storage.objectives import SIZE

Order = Sequence[str]


def halving(recording: Recording) -> Halving:
    """The settings as shipped."""
    search, retrain = recording.lengths
    values = {"chance": recording.chance, "val_samples": recording.val_samples}
    return Halving(search_epochs=search, retrain_epochs=retrain, **values)  # type: ignore[arg-type]


def epochs(recording: Recording, order: Order, shared: bool) -> Curves:
    """What each trial runs."""
    curves = {trial: recording.curves[trial] for trial in order}
    return sharing(curves, order) if shared else curves


def without(stopped: dict[str, Rung]) -> GoesOn:
    """The rule that stops each of these trials on its rung."""
    return lambda record: stopped.get(record["trial"]) != (record["phase"], record["epoch"])


def known(recording: Recording, order: Order, shared: bool) -> Outcome:
    """The fewest seconds that a greedy choice finds."""
    curves, rungs = epochs(recording, order, shared), halving(recording).rungs
    places = {trial: [(record["phase"], record["epoch"]) for record in curves[trial]] for trial in order}
    first = {trial: next(rung for rung in rungs if rung in places[trial]) for trial in order}
    stopped: dict[str, Rung] = {}
    best = outcome(recording, without(stopped), order, 1, shared)
    while True:
        tried = {trial: {**stopped, trial: first[trial]} for trial in order if trial not in stopped}
        found = {trial: outcome(recording, without(some), order, 1, shared) for trial, some in tried.items()}
        good = {
            trial: one
            for trial, one in found.items()
            if one.kept >= AIM and not (one.accurate or one.smallest or one.cheapest) and one.seconds < best.seconds
        }
        if not good:
            return best

        def price(trial: str, good: dict[str, Outcome] = good, best: Outcome = best) -> float:
            return (best.kept - good[trial].kept + 1e-4) / (best.seconds - good[trial].seconds)

        chosen = min(good, key=price)
        stopped, best = tried[chosen], good[chosen]


def waiting(recording: Recording, order: Order, shared: bool) -> Outcome:
    """Our rule with all entries of a rung at hand whenever it judges."""
    curves, rungs = epochs(recording, order, shared), Rungs(halving(recording))
    stopped: dict[str, Rung] = {}
    for rung in rungs.entries:
        here = []
        for trial in order:
            for record in curves[trial] if trial not in stopped else ():
                if (record["phase"], record["epoch"]) == rung:
                    rungs.record(rung, trial, (record["val_accuracy"], record[SIZE], record["bit_synops"]))
                    here.append(trial)
        stopped |= {trial: rung for trial in here if not rungs.judge(rung, trial).goes_on}
    return outcome(recording, without(stopped), order, 1, shared)


def shipped(recording: Recording, order: Order, shared: bool) -> Outcome:
    """Our rule as it is, on one worker."""
    return outcome(recording, as_shipped(recording), order, 1, shared)


WAYS: dict[str, Callable[[Recording, Order, bool], Outcome]] = {
    "as shipped": shipped,
    "waiting": waiting,
    "known": known,
}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Orders."""
    parser.add_argument("--replays", type=int, default=100, help="orders of arrival of each run (default 100)")


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Every way on every run."""
    replays, rows = check_integer("replays", options.replays, minimum=2), []
    for name, file, ending, chance, samples in RECORDED:
        recording = read(DATA / file, name, chance=chance, val_samples=samples, ending=ending)
        for size in sorted({min(size, len(recording.curves)) for size in SIZES}):
            for shared in (False, True):
                progress(f"{name}, {size} trials{', shared searches' if shared else ''}")
                orders = [order for order, _ in draws(recording, replays, size, 1)]
                for way, run in WAYS.items():
                    table = pd.DataFrame([asdict(run(recording, order, shared)) for order in orders])
                    lost = table[["accurate", "smallest", "cheapest"]].mean().tolist()
                    figures = {"seconds": table["seconds"].mean(), "kept": table["kept"].mean()}
                    figures |= {"kept_least": table["kept"].min(), "reached": (table["kept"] >= AIM).mean()}
                    figures = {key: float(value) for key, value in figures.items()}
                    rows.append(
                        {"recording": name, "trials": size, "shared": shared, "way": way, **figures, "lost": lost}
                    )
    return {"settings": {"replays": replays}, "rows": rows}


def report(result: dict[str, Any]) -> str:
    """A row for each way and run, in percent."""
    rows = [
        [
            row["recording"] + (", shared" if row["shared"] else ""),
            f"{row['trials']}",
            row["way"],
            f"{100 * row['seconds']:.0f}",
            f"{100 * row['kept']:.1f} ({100 * row['kept_least']:.1f})",
            f"{100 * row['reached']:.0f}",
            ", ".join(f"{math.floor(100 * share + 0.5)}" for share in row["lost"]),
        ]
        for row in result["rows"]
    ]
    header = "run;trials;way;core-seconds;kept, mean (least);≥ 98 % of it in;best, smallest, cheapest lost in"
    return f"{markdown(header.split(';'), rows)}\n\n{made_on(result)}"
