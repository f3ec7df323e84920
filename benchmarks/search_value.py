"""What a search is worth: its front over core-seconds beside those of random networks and of a hand-written cell.

Every strategy runs the default points of a preset with the same seeds, all to their end. Core-seconds are processor time of the
trials; points that share a search pay for it once. A front is chosen by validation accuracy; its hypervolume is that of the
same networks' test accuracies, mean over 50 orders of the trials.

    python -m benchmarks search_value digits --seeds 10
    python -m benchmarks search_value cifar10-small --dataset folder:CIFAR10 --seeds 10

Options that are not listed go to ``tune/pareto.py``. The same command continues; rounds that are in the CSV alone count as done.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.stats import sem

from benchmarks.record import markdown, progress, show
from litesnn.checks import fail
from litesnn.config import OPTIONAL_AXES
from litesnn.files import write_text
from litesnn.options import exit_code
from tune.results.front import hypervolume, on_front
from tune.storage.objectives import ACCURACY, BIT_SYNOPS, SIZE, Reference
from tune.storage.store import FINISHED, Experiment

ROOT = Path(__file__).parents[1]
STRATEGIES = {
    "darts": "--strategy darts",
    "random": "--strategy random",
    "fixed": "--strategy fixed --link skip --warm-epochs 0",
    "families": "--strategy fixed --link skip",
    "linked": "--strategy fixed --link conv3x3",
}
"""Options of each; ``families`` are networks of a hand-written cell that start from one another's weights, ``linked`` of a deeper one."""
ALONE = "darts alone"
"""The trials of darts, each charged for a search of its own."""
DRAWS = 3
"""Random networks per width, so that there are as many trials as points of the other strategies."""
ORDERS = 50
BUDGETS = np.arange(1, 101) / 100
"""Of a curve, as shares of the most that a strategy spends with any seed."""
_CORNER = {f"reference_{name}": name for name in Reference.__dataclass_fields__}
_KEPT = f"""strategy round trial parent status lambda1 lambda2 p {" ".join(OPTIONAL_AXES)} seed val_accuracy test_accuracy
    val_samples size_bits file_bits model_size_bits bit_synops timesteps bits search_core_seconds retrain_core_seconds""".split()


def run(preset: str, strategy: str, seed: int, storage: Path, options: list[str]) -> None:
    """One experiment, or what is missing of it."""
    seeds = f"--seed {1000 * seed} --seeds {DRAWS}" if strategy == "random" else f"--seed {seed}"
    name = f"{preset}-{strategy}-{seed}"
    progress(name)
    command = f"--preset {preset} {STRATEGIES[strategy]} --name {name} {seeds} --no-early-stopping".split()
    program = [sys.executable, str(ROOT / "tune" / "pareto.py"), *command, "--storage", str(storage), *options]
    subprocess.run(program, stdout=subprocess.DEVNULL, check=True)


def collected(storage: Path, preset: str) -> pd.DataFrame:
    """The trials of all experiments so far, and the corner that they share."""
    tables = []
    for folder in sorted(storage.glob(f"{preset}-*-*")):
        experiment = Experiment(folder)
        strategy, seed = folder.name.removeprefix(f"{preset}-").split("-")
        corner = {column: getattr(experiment.reference(), name) for column, name in _CORNER.items()}
        tables.append(experiment.table().assign(strategy=strategy, round=int(seed), **corner))
    return pd.concat(tables, ignore_index=True)[[*_KEPT, *_CORNER]]


def kept(file: Path) -> pd.DataFrame:
    """The rows of the CSV; none where there is no such file."""
    return pd.read_csv(file) if file.exists() else pd.DataFrame(columns=["strategy", "round", "status"])


def keep(rows: pd.DataFrame, file: Path) -> None:
    """Writes the rows as CSV, to eight digits, with those of its former rounds that are not among them."""
    known, mine = kept(file), set(zip(rows["strategy"], rows["round"], strict=True))
    others = known[[key not in mine for key in zip(known["strategy"], known["round"], strict=True)]]
    write_text(file, pd.concat([others, rows], ignore_index=True).to_csv(index=False, float_format="%.8g"))


def charged(trials: pd.DataFrame, *, alone: bool = False) -> np.ndarray:
    """Core-seconds ``[N]`` after each trial, in the order of the rows.

    Of points that share a search the first pays for it; with ``alone`` each has one of its own.
    """
    point = trials[["lambda1", "lambda2", "p", "held_bits", "held_timesteps", "seed"]].fillna(0)
    search = _seconds(trials, "search").groupby([point[name] for name in point]).transform("max")
    search = search if alone else search.where(~point.duplicated(), 0.0)
    return np.cumsum((search + _seconds(trials, "retrain")).to_numpy())


def _seconds(trials: pd.DataFrame, phase: str) -> pd.Series:
    """Processor time; the duration where that was not recorded."""
    recorded = trials.get(f"{phase}_core_seconds", pd.Series(np.nan, trials.index))
    return recorded.fillna(trials[f"{phase}_seconds"]) if f"{phase}_seconds" in trials else recorded


def possible(order: np.ndarray, trials: pd.DataFrame) -> np.ndarray:
    """The order ``[N]`` with every trial after the one from whose weights it starts."""
    places = {name: place for place, name in enumerate(trials["trial"])}
    before = [places.get(name) for name in trials["parent"]] if "parent" in trials else [None] * len(trials)
    found: dict[int, None] = {}
    for place in order:
        line = [int(place)]
        while (parent := before[line[-1]]) is not None:
            line.append(parent)
        found |= dict.fromkeys(reversed(line))
    return np.array(list(found))


def curve(trials: pd.DataFrame, budgets: np.ndarray, seed: int, *, alone: bool = False) -> np.ndarray:
    """Mean hypervolume at each of the budgets, in core-seconds, over random orders of the trials of one experiment."""
    corner = Reference(**{name: float(trials[column].iloc[0]) for column, name in _CORNER.items()})
    known: dict[frozenset[int], float] = {}
    draw, values = np.random.default_rng(seed), np.zeros((ORDERS, len(budgets)))
    for row in values:
        order = possible(draw.permutation(len(trials)), trials)
        counts = np.searchsorted(charged(trials.iloc[order], alone=alone), budgets, side="right")
        for index, count in enumerate(counts):
            if index and count == counts[index - 1]:
                row[index] = row[index - 1]
                continue
            some = trials.iloc[order[:count]]
            chosen = some[on_front(some, [SIZE, BIT_SYNOPS])]
            key = frozenset(chosen.index)
            if key not in known:
                known[key] = hypervolume(chosen.assign(**{ACCURACY: chosen["test_accuracy"]}), corner)
            row[index] = known[key]
    return values.mean(axis=0)


@dataclass(frozen=True, kw_only=True)
class Curves:
    """Of each strategy.

    Args:
        spent: core-seconds, median over seeds.
        budgets: ``[100]`` core-seconds.
        volumes: hypervolumes ``[seeds, 100]``.
        beside: those of darts ``[seeds, 100]`` with the same seeds.
    """

    spent: dict[str, float]
    budgets: np.ndarray
    volumes: dict[str, np.ndarray]
    beside: dict[str, np.ndarray]


def curves(rows: pd.DataFrame) -> Curves:
    """The curves of each strategy, by the seeds that it and darts have.

    Raises:
        InputError: none of darts.
    """
    over: dict[Any, pd.DataFrame] = dict(list(rows[rows["status"] == FINISHED].groupby(["strategy", "round"])))
    known = {name: {r for strategy, r in over if strategy == name} for name in STRATEGIES}
    rounds = {name: sorted(known["darts"] & found) for name, found in known.items() if known["darts"] & found}
    if not rounds:
        raise fail(
            "strategies",
            "rounds of darts, to hold others against",
            ", ".join(name for name in known if known[name]) or "none",
        )
    sources = {name: (name, False) for name in rounds} | {ALONE: ("darts", True)}
    totals = {
        label: [float(charged(over[name, r], alone=alone)[-1]) for r in rounds[name]]
        for label, (name, alone) in sources.items()
    }
    budgets = max(map(max, totals.values())) * BUDGETS
    volumes = {
        label: np.array([curve(over[name, r], budgets, r, alone=alone) for r in rounds[name]])
        for label, (name, alone) in sources.items()
    }
    places = {name: [rounds["darts"].index(r) for r in rounds[name]] for name in rounds}
    return Curves(
        spent={label: float(np.median(seconds)) for label, seconds in totals.items()},
        budgets=budgets,
        volumes=volumes,
        beside={label: volumes["darts"][places[name]] for label, (name, _) in sources.items()},
    )


def report(measured: Curves) -> str:
    """Core-seconds and hypervolume, the lead over darts at what the cheapest spends, and when the front is worth what darts' is."""
    spent, budgets = measured.spent, measured.budgets
    at = int(np.searchsorted(budgets, min(spent.values()), side="right")) - 1
    lines = []
    for name, values in measured.volumes.items():
        beside = measured.beside[name]
        lead, end = (_lead(values[:, place] - beside[:, place]) for place in (at, -1))
        reached = values.mean(axis=0) >= beside[:, -1].mean()
        means = [f"{values[:, place].mean():.3f}" for place in (-1, at)]
        until = f"{budgets[reached.argmax()]:.0f}" if reached.any() else "never"
        leads = ["", ""] if name in ("darts", ALONE) else [end, lead]
        lines.append([name, str(len(values)), f"{spent[name]:.0f}", means[0], leads[0], means[1], leads[1], until])
    here = f"at {budgets[at]:.0f} core-s"
    head = "strategy|seeds|core-s|hypervolume, all trials|lead over darts|{here}|lead|core-s to darts' front"
    return markdown(head.format(here=here).split("|"), lines)


def _lead(differences: np.ndarray) -> str:
    """Mean and standard error over seeds."""
    return f"{differences.mean():+.3f}" + (f" ± {sem(differences):.3f}" if len(differences) > 1 else "")


def draw(measured: Curves, file: Path) -> None:
    """Mean hypervolume over core-seconds, with a band of one standard error."""
    figure = Figure(figsize=(7, 4), dpi=120, layout="constrained")
    panel = figure.subplots()
    for name, values in measured.volumes.items():
        mean, error = values.mean(axis=0), sem(values) if len(values) > 1 else 0.0
        (line,) = panel.plot(measured.budgets, mean, label=name)
        panel.fill_between(
            measured.budgets, mean - error, mean + error, alpha=0.25, color=line.get_color(), linewidth=0
        )
    panel.set(xlabel="core-seconds", ylabel="hypervolume by test accuracy", xlim=(0, None), ylim=(0, None))
    panel.legend(frameon=False)
    figure.savefig(file, metadata={"Software": None})


def main(arguments: list[str]) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="search_value", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("preset", help="such as digits, cifar10-small or gsc-small")
    parser.add_argument(
        "--seeds", type=int, default=10, help="rounds of all strategies (default 10); 0: the table alone"
    )
    parser.add_argument(
        "--strategies", default=",".join(STRATEGIES), help=f"which of {', '.join(STRATEGIES)} (default: all)"
    )
    parser.add_argument("--storage", type=Path, default=Path("~/litesnn-results/search-value").expanduser())
    parser.add_argument("--out", type=Path, help="CSV of all trials (default: docs/data/search-value-PRESET.csv)")
    parser.add_argument("--picture", type=Path, help="PNG of the curves")
    options, rest = parser.parse_known_args(arguments)
    strategies = options.strategies.split(",")
    if unknown := set(strategies) - set(STRATEGIES):
        parser.error(f"strategies: expected some of {', '.join(STRATEGIES)}, got {', '.join(sorted(unknown))}")
    out = options.out or ROOT / "docs" / "data" / f"search-value-{options.preset}.csv"
    known = kept(out)
    done = set(zip(known["strategy"], known["round"], strict=True))
    for seed in range(options.seeds):
        for strategy in strategies:
            if (strategy, seed) in done:
                continue
            run(options.preset, strategy, seed, options.storage.absolute(), rest)
            keep(collected(options.storage.absolute(), options.preset), out)

    def work() -> None:
        measured = curves(kept(out))
        show(report(measured))
        if options.picture:
            draw(measured, options.picture)

    return exit_code(work, "search_value")
