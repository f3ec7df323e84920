"""``python tune/pareto.py``: searches and retrains many points as Ray Tune trials and shows their Pareto front."""

from __future__ import annotations

import argparse
import os
import socket
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
import ray
from ray import tune as ray_tune
from rich.console import Console
from rich.table import Table

from litesnn.checks import InputError, check_integer, check_number, fail, user_path
from litesnn.config import Recipe
from litesnn.options import OneLineParser, add_recipe_options, exit_code, recipe_from
from litesnn.progress import reading_bar
from litesnn.run import LARGEST_SEED
from tune.front import front
from tune.live import LiveTable
from tune.plot import plot_fronts
from tune.points import Trial, default_points, parse_points
from tune.shared_data import load_arrays
from tune.store import FAILED, FINISHED, Experiment
from tune.trial import run_trial

_PIPED_WIDTH = 120
_RETRIES = 2  # of a trial whose process or node died; it continues from its checkpoint


def main(arguments: list[str] | None = None) -> int:
    """Entry point; reads the command line if ``arguments`` is None and returns the exit code."""
    args = _parser().parse_args(_with_command(sys.argv[1:] if arguments is None else arguments))
    return exit_code(lambda: run(args), "pareto.py")


def _with_command(arguments: list[str]) -> list[str]:
    """``run`` is what the program does when no command is named."""
    if arguments and arguments[0] in ("run", "-h", "--help"):
        return arguments
    return ["run", *arguments]


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(
        prog="pareto.py", description="Explores accuracy against model size and Bit-SynOps of spiking networks."
    )
    commands = parser.add_subparsers(required=True, metavar="run")
    command = commands.add_parser("run", help="search and retrain every point, then show the front (default)")
    group = command.add_argument_group("experiment")
    group.add_argument("--storage", type=Path, help="folder of all experiments (default: ~/litesnn-results)")
    group.add_argument("--name", help="name of this experiment; the same name continues it (default: the preset)")
    group.add_argument(
        "--points", help='"λ1,λ2,p λ1,λ2,p …" or the paper\'s large medium small gsc (default: a set per preset)'
    )
    group.add_argument("--seed", type=int, default=0, help="seed of every trial (default: 0)")
    group.add_argument("--data-root", help="where data sets lie (default: ~/.cache/litesnn)")
    group.add_argument("--download", action="store_true", help="download a missing data set")
    group = command.add_argument_group("resources")
    group.add_argument(
        "--address",
        default="auto",
        help="auto: the cluster of this job or machine, else a local one; or local, or HOST:PORT",
    )
    group.add_argument("--cpus-per-trial", type=int, default=1, help="CPU threads of a trial (default: 1)")
    group.add_argument(
        "--gpus-per-trial", type=float, default=0, help="GPUs of a trial, a fraction shares one (default: 0)"
    )
    group.add_argument(
        "--max-concurrent", type=int, default=0, help="most trials at once; 0: as many as fit (default: 0)"
    )
    add_recipe_options(command)
    return parser


def run(args: argparse.Namespace) -> None:
    """Runs the trials that have no outcome yet, then writes and prints the results.

    Raises:
        InputError: bad input; nothing has been written then.
    """
    console = Console(width=None if sys.stdout.isatty() else _PIPED_WIDTH)
    recipe = recipe_from(args)
    check_integer("seed", args.seed, minimum=0, maximum=LARGEST_SEED)
    check_integer("cpus-per-trial", args.cpus_per_trial, minimum=1)
    check_number("gpus-per-trial", args.gpus_per_trial, minimum=0)
    check_integer("max-concurrent", args.max_concurrent, minimum=0)
    points = parse_points(args.points) if args.points is not None else default_points(args.preset)
    trials = [Trial(point=point, seed=args.seed) for point in points]
    storage = user_path("storage", args.storage or "~/litesnn-results").absolute()
    name = args.name or args.preset
    if name in (".", "..") or Path(name).name != name or len(name) > 200:
        raise fail("name", "a plain folder name of at most 200 characters", name)
    experiment = Experiment(storage / name)
    experiment.check(recipe.to_dict())
    with reading_bar() as progress:
        data = load_arrays(recipe, args.data_root, args.download, progress)
    todo = [trial for trial in trials if not experiment.trial(trial.name).has_outcome()]
    slots = _connect_and_count(args) if todo else 0

    experiment.open(recipe.to_dict())
    console.print(
        f"{len(trials)} points, {len(trials) - len(todo)} of them finished before; results in {experiment.path}"
    )
    if todo:
        _run_trials(args, recipe, experiment, todo, data, console, slots)
    report(experiment, console)
    if any(experiment.trial(trial.name).read_result() is None for trial in todo):
        raise KeyboardInterrupt  # Ray ends a run in order at Ctrl-C and says nothing


def _run_trials(
    args: argparse.Namespace,
    recipe: Recipe,
    experiment: Experiment,
    trials: list[Trial],
    data: dict[str, Any],
    console: Console,
    slots: int,
) -> None:
    resources = _resources(args)
    configs = [
        {
            "trial": trial.name,
            "point": asdict(trial.point),
            "seed": trial.seed,
            "recipe": recipe.to_dict(),
            "folder": str(experiment.trial(trial.name).path),
        }
        for trial in trials
    ]
    with LiveTable(recipe, trials, console, min(slots, len(trials))) as live:
        tuner = ray_tune.Tuner(
            ray_tune.with_resources(ray_tune.with_parameters(run_trial, data=data), resources),
            param_space=ray_tune.grid_search(configs),
            tune_config=ray_tune.TuneConfig(
                max_concurrent_trials=args.max_concurrent or None,
                trial_dirname_creator=lambda trial: f"{trial.config['trial']}-{trial.trial_id}",
            ),
            run_config=ray_tune.RunConfig(
                name=time.strftime("%Y%m%d-%H%M%S"),
                storage_path=str(experiment.path / "ray"),
                failure_config=ray_tune.FailureConfig(max_failures=_RETRIES),
                callbacks=[live],
                verbose=0,
            ),
        )
        outcomes = tuner.fit()
    for outcome in (outcomes[i] for i in range(len(outcomes))):
        if outcome.error is not None:
            assert outcome.config is not None
            folder = experiment.trial(outcome.config["trial"])
            folder.write_start({**outcome.config["point"], "seed": outcome.config["seed"]}, outcome.config["recipe"])
            folder.write_result(FAILED, reason=_last_line(outcome.error))


def _connect(address: str) -> None:
    """Joins a cluster; ``auto`` is that of the job or machine, or a local one where there is none.

    Raises:
        InputError: no cluster at the address.
    """
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if address != "local":
        _check_reachable(address)
        try:
            ray.init(address=address, **options)
            return
        except (ConnectionError, ValueError) as error:
            if address != "auto":
                raise InputError(f"address: expected a Ray cluster, got {address} ({_last_line(error)})") from None
    _bind_to_loopback()
    ray.init(address="local", include_dashboard=False, **options)


def _check_reachable(address: str) -> None:
    """Ray itself waits for minutes where nobody listens."""
    host, _, port = address.rpartition(":")
    if address == "auto":
        return
    if not host or not port.isdigit():
        raise fail("address", "auto, local or HOST:PORT", address)
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
    except (OSError, OverflowError) as error:
        raise InputError(f"address: expected a Ray cluster, got nobody at {address} ({error})") from None


def _bind_to_loopback() -> None:
    """Makes every server of a cluster started from here listen on loopback alone.

    Ray does so where it takes the machine for one that cannot join others, which on Linux nothing but this switch says;
    a node address of 127.0.0.1 is replaced by an outward one. A test looks at the open ports.
    """
    os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # for the processes that Ray starts
    ray._private.ray_constants.ENABLE_RAY_CLUSTER = False  # for this one, which has read the variable already


def _resources(args: argparse.Namespace) -> dict[str, float]:
    return {"cpu": args.cpus_per_trial, "gpu": args.gpus_per_trial}


def _connect_and_count(args: argparse.Namespace) -> int:
    """Joins or starts the cluster and says how many trials it can run at once.

    Raises:
        InputError: no cluster at the address, or none of its nodes has room for a single trial.
    """
    _connect(args.address)
    wanted = {key.upper(): amount for key, amount in _resources(args).items() if amount}
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    slots = sum(min(int(node.get(key, 0) / amount) for key, amount in wanted.items()) for node in nodes)
    if slots == 0:
        for key, amount in wanted.items():
            largest = max(node.get(key, 0) for node in nodes)
            if largest < amount:
                raise fail(f"{key.lower()}s-per-trial", f"at most the {largest:g} of the largest node", amount)
        raise fail("cpus-per-trial and gpus-per-trial", "what one node has", _resources(args))
    return min(slots, args.max_concurrent) if args.max_concurrent else slots


def _last_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


def report(experiment: Experiment, console: Console) -> None:
    """Writes trials.csv, front.csv and front.png and prints the front."""
    trials = experiment.table()
    chosen = front(trials)
    experiment.write_csv("trials.csv", trials)
    experiment.write_csv("front.csv", chosen)
    plot_fronts(trials, f"{experiment.path.name}: {len(chosen)} networks on the front", experiment.path / "front.png")
    if len(chosen):
        console.print(_front_table(chosen))
    for _, row in trials[trials["status"] != FINISHED].iterrows():
        console.print(
            f"not in the front: {row['trial']} {row['status']}: {row['reason'] or 'no outcome yet'}", highlight=False
        )
    finished = (trials["status"] == FINISHED).sum()
    console.print(f"{len(chosen)} of {finished} finished networks are on the front (accuracy, size, Bit-SynOps).")
    for name, what in (
        ("front.png", "plot"),
        ("front.csv", "front"),
        ("trials.csv", "all trials"),
        ("trials", "networks"),
    ):
        console.print(f"{what:<11}{experiment.path / name}", highlight=False)


def _front_table(chosen: pd.DataFrame) -> Table:
    table = Table(title="Pareto front, most accurate first", title_justify="left", box=None)
    for heading in ("test %", "val %", "size MB", "Bit-SynOps M", "energy µJ", "T", "bits", "p %", "λ1", "λ2"):
        table.add_column(heading, justify="right", no_wrap=True)
    for _, row in chosen.iterrows():
        table.add_row(
            f"{row['test_accuracy']:.2f}",
            f"{row['val_accuracy']:.2f}",
            f"{row['model_size_bits'] / 8e6:.4f}",
            f"{row['bit_synops'] / 1e6:.3f}",
            f"{row['energy_mj'] * 1e3:.3f}",
            f"{row['timesteps']:.0f}",
            row["bits"],
            f"{row['p']:g}",
            f"{row['lambda1']:g}",
            f"{row['lambda2']:g}",
        )
    return table


if __name__ == "__main__":
    # Ray's own notices about its future are for its developers.
    os.environ.setdefault("RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS", "0")
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")  # with verbose=0 the older reporter leaves the screen to us
    raise SystemExit(main())
