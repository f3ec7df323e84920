"""What a search is worth: its front over core-seconds beside those of random networks and of a hand-written cell.

Every strategy runs the default points of a preset with the same seeds, all to their end. Core-seconds are those of the trials, one
thread each; points that share a search pay for it once. A front is chosen by validation accuracy and its hypervolume is that of the
same networks' test accuracies. The order of trials is drawn anew 200 times; each strategy's curve is the mean over the orders.

    python -m benchmarks search_value digits --seeds 10
    python -m benchmarks search_value cifar10-small --dataset folder:CIFAR10 --seeds 10

Options that are not listed go to ``tune/pareto.py``. The same command continues; the table is made of what there is.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.record import progress, table
from litesnn.config import OPTIONAL_AXES
from litesnn.files import write_text
from tune.results.front import front, hypervolume
from tune.storage.objectives import ACCURACY, Reference
from tune.storage.store import FINISHED, Experiment

STRATEGIES = ("darts", "random", "fixed")
DRAWS = 3
"""Random networks per width, so that there are as many trials as points of the other strategies."""
ORDERS = 200
POINTS = 40
"""Of a curve."""
DATA = Path(__file__).parents[1] / "docs" / "data"
_KEPT = (
    f"strategy round trial status lambda1 lambda2 p {' '.join(OPTIONAL_AXES)} seed val_accuracy test_accuracy val_samples size_bits "
    "file_bits model_size_bits bit_synops timesteps bits search_seconds retrain_seconds"
).split()


def run_all(preset: str, seeds: int, storage: Path, out: Path, options: list[str]) -> None:
    """Runs what is missing, a seed of every strategy after the other, and writes all trials so far after each."""
    for seed in range(seeds):
        for strategy in STRATEGIES:
            name = f"{preset}-{strategy}-{seed}"
            chosen = (
                ["--seed", str(1000 * seed), "--seeds", str(DRAWS)] if strategy == "random" else ["--seed", str(seed)]
            )
            command = (
                f"--preset {preset} --strategy {strategy} --name {name} --storage {storage} --no-early-stopping".split()
            )
            progress(f"{name} of {seeds} seeds")
            pareto = str(Path(__file__).parents[1] / "tune" / "pareto.py")
            done = subprocess.run([sys.executable, pareto, *command, *chosen, *options], stdout=subprocess.DEVNULL)
            if done.returncode:
                raise SystemExit(done.returncode)
            keep(storage, preset, out)


def keep(storage: Path, preset: str, out: Path) -> None:
    """Writes the trials of all experiments so far, and the reference that they share."""
    tables = []
    for folder in sorted(storage.glob(f"{preset}-*-*")):
        experiment = Experiment(folder)
        strategy, seed = folder.name.removeprefix(f"{preset}-").split("-")
        reference = experiment.reference()
        assert reference is not None
        corner = {f"reference_{name}": getattr(reference, name) for name in ("accuracy", "size_bits", "bit_synops")}
        tables.append(experiment.table().assign(strategy=strategy, round=int(seed), **corner))
    rows = pd.concat(tables, ignore_index=True)
    columns = [*_KEPT, *(name for name in rows if str(name).startswith("reference_"))]
    write_text(out, rows[columns].round(4).to_csv(index=False))


def charged(trials: pd.DataFrame, order: np.ndarray) -> np.ndarray:
    """Core-seconds after each trial of an order ``[N]``: of points that share a search, whichever comes first pays for it.

    Args:
        trials: of one strategy and seed.
        order: positions in ``trials``.
    """
    key = list(zip(trials["lambda1"], trials["lambda2"], trials["p"], trials["seed"], strict=True))
    price = trials["search_seconds"].groupby(pd.Series(key, index=trials.index)).max()
    seen: set[object] = set()
    spent = []
    for position in order:
        search = 0.0 if key[position] in seen else price[key[position]]
        seen.add(key[position])
        spent.append(search + trials["retrain_seconds"].iloc[position])
    return np.cumsum(spent)


def reference_of(trials: pd.DataFrame) -> Reference:
    """The corner that all strategies share."""
    first = trials.iloc[0]
    return Reference(
        accuracy=first["reference_accuracy"],
        size_bits=first["reference_size_bits"],
        bit_synops=first["reference_bit_synops"],
    )


def tested(trials: pd.DataFrame, reference: Reference) -> float:
    """Hypervolume by test accuracy of the front that validation chooses."""
    chosen = front(trials)
    return hypervolume(chosen.assign(**{ACCURACY: chosen["test_accuracy"]}), reference)


def curve(trials: pd.DataFrame, budgets: np.ndarray, seed: int) -> np.ndarray:
    """Mean hypervolume ``[POINTS]`` at each of the budgets, in core-seconds, over random orders of the trials."""
    reference = reference_of(trials)
    trials = trials.reset_index(drop=True)
    draw = np.random.default_rng(seed)
    known: dict[frozenset[int], float] = {frozenset(): 0.0}
    values = np.zeros((ORDERS, len(budgets)))
    for row in values:
        order = draw.permutation(len(trials))
        ends = np.searchsorted(charged(trials, order), budgets, side="right")
        for index, count in enumerate(ends):
            finished = frozenset(order[:count].tolist())
            if finished not in known:
                known[finished] = tested(trials.iloc[sorted(finished)], reference)
            row[index] = known[finished]
    return values.mean(axis=0)


def total(trials: pd.DataFrame) -> float:
    """Core-seconds of all trials."""
    return float(charged(trials.reset_index(drop=True), np.arange(len(trials)))[-1])


def curves(rows: pd.DataFrame) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Budgets up to the total of the dearest strategy's median, and each strategy's curves ``[seeds, POINTS]``.

    Only seeds that every strategy has finished count; beyond its own total a strategy's curve stays level.
    """
    over = rows[rows["status"] == FINISHED]
    rounds = sorted(set.intersection(*(set(over.loc[over["strategy"] == name, "round"]) for name in STRATEGIES)))
    groups = {name: [over[(over["strategy"] == name) & (over["round"] == r)] for r in rounds] for name in STRATEGIES}
    most = max(float(np.median([total(trials) for trials in group])) for group in groups.values())
    budgets = most * np.arange(1, POINTS + 1) / POINTS
    return budgets, {
        name: np.array([curve(trials, budgets, seed) for seed, trials in zip(rounds, group, strict=True)])
        for name, group in groups.items()
    }


def paired(first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
    """Mean difference over seeds and its standard error, NaN with one seed."""
    difference = first - second
    error = difference.std(ddof=1) / len(difference) ** 0.5 if len(difference) > 1 else np.nan
    return float(difference.mean()), float(error)


def report(rows: pd.DataFrame) -> str:
    """The table: each strategy's trials, core-seconds and hypervolume, and darts' lead at equal core-seconds."""
    budgets, found = curves(rows)
    finished = rows[rows["status"] == FINISHED]
    totals = {
        name: np.median([total(trials) for _, trials in finished[finished["strategy"] == name].groupby("round")])
        for name in STRATEGIES
    }
    shared = min(totals.values())
    at = int(np.searchsorted(budgets, shared, side="right")) - 1
    lines = []
    for name in STRATEGIES:
        values = found[name]
        lead = "" if name == "darts" else "{:+.3f} ± {:.3f}".format(*paired(found["darts"][:, at], values[:, at]))
        lines.append(
            [
                name,
                str(len(values)),
                f"{totals[name]:.0f}",
                f"{values[:, -1].mean():.3f}",
                f"{values[:, at].mean():.3f}",
                lead,
            ]
        )
    header = ["strategy", "seeds", "core-s", "all trials", f"at {budgets[at]:.0f} core-s", "darts' lead there"]
    return "\n".join(table(header, lines))


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="search_value", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("preset", help="such as digits, cifar10-small or gsc-small")
    parser.add_argument(
        "--seeds", type=int, default=10, help="rounds of all strategies (default 10); 0: the table alone"
    )
    parser.add_argument("--storage", type=Path, default=Path("~/litesnn-results/search-value").expanduser())
    parser.add_argument("--out", type=Path, help="CSV of all trials (default: docs/data/search-value-PRESET.csv)")
    options, rest = parser.parse_known_args(arguments)
    out = options.out or DATA / f"search-value-{options.preset}.csv"
    run_all(options.preset, options.seeds, options.storage.absolute(), out, rest)
    print(report(pd.read_csv(out)))
    return 0
