"""Times what a trial costs until its first training step: with reused processes and shared data, and without.

Trials run one after the other through Ray Tune on a cluster of this machine, each up to the end of its first step, in
four ways: one process for all or one per trial (``reuse_actors``), and data in the object store or read by every trial.
``tune/pareto.py`` reuses processes and shares data. The data are random images in files; a trial is a small search. A
trial is timed from the end of the one before it; the first one on its node from the moment that Ray is asked for it,
which starts the process that runs it and imports torch there. The files have just been written: they come from the
system's page cache.

    python -m benchmarks.startup --trials 6 --images 60000
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from ray import tune as ray_tune
from torch import Tensor

from benchmarks import machine
from litesnn.checks import InputError, check_integer
from litesnn.config import Recipe, SearchPoint
from litesnn.device import prepare_cpu
from litesnn.files import write_text
from litesnn.joint_search import Search
from tune.trials.shared_data import Arrays, from_arrays, load_arrays
from tune.trials.trial import release_memory

CASES = {
    "reused, shared": (True, True),
    "reused, read": (True, False),
    "new, shared": (False, True),
    "new, read": (False, False),
}
"""Name: whether one process runs all trials, and whether the data come from the object store."""
PARTS = ("process", "data", "network", "until_first_step", "first_step")
"""``data`` holds what giving back the memory of the trial before takes, too."""
CLASSES = 10


class _OneStep(Search):
    """A search that notes when its first step begins and ends, and ends there."""

    began = ended = 0.0

    def step(self, x: Tensor, labels: Tensor, arch_x: Tensor, arch_labels: Tensor) -> Tensor:
        self.began = time.time()
        super().step(x, labels, arch_x, arch_labels)
        self.ended = time.time()
        raise _SteppedError


class _SteppedError(Exception):
    pass


def first_step(config: dict[str, Any], data: dict[str, Arrays] | None = None) -> None:
    """The function trainable: prepares as ``tune.trials.trial`` does, takes one step and reports the times of day."""
    entered = time.time()
    release_memory()
    prepare_cpu(1)
    recipe, device = Recipe.from_dict(config["recipe"]), torch.device("cpu")
    arrays = (data or load_arrays(recipe, None, False))["search"]
    loaded = time.time()
    run = _OneStep(
        SearchPoint(lambda1=0, lambda2=0, p=50), recipe, from_arrays(arrays).to(device), seed=0, device=device
    )
    try:
        run.run_epoch()
    except _SteppedError:
        times = {"entered": entered, "loaded": loaded, "began": run.began, "ended": run.ended}
        ray_tune.report({**times, "pid": os.getpid(), "private_mib": _private_mib()})


def _private_mib() -> float:
    """Memory that this process shares with no other, in MiB; NaN where the system does not tell."""
    rollup = Path("/proc/self/smaps_rollup")
    if not rollup.exists():
        return math.nan
    fields = (line.split() for line in rollup.read_text(encoding="utf-8").splitlines())
    return sum(int(field[1]) for field in fields if field[0].startswith("Private_")) / 2**10


def run_case(reuse: bool, shared: bool, recipe: Recipe, trials: int, folder: Path) -> dict[str, Any]:
    """Runs in a process of its own, with a cluster of its own: what ``CASES`` names, ready for JSON."""
    import ray

    from tune.running.cluster import connect

    connect("local")
    try:
        data = load_arrays(recipe, None, False)
        started = time.time()
        trainable = ray_tune.with_parameters(first_step, data=data) if shared else first_step
        # All CPUs for one trial, so that they run one after the other.
        tuner = ray_tune.Tuner(
            ray_tune.with_resources(trainable, {"cpu": ray.cluster_resources()["CPU"]}),
            param_space={"recipe": recipe.to_dict(), "trial": ray_tune.grid_search(list(range(trials)))},
            tune_config=ray_tune.TuneConfig(reuse_actors=reuse),
            run_config=ray_tune.RunConfig(storage_path=str(folder), verbose=0),
        )
        results = tuner.fit()
    finally:
        ray.shutdown()
    assert not results.errors, results.errors
    return summary(started, [dict(results[index].metrics or {}) for index in range(trials)])


def summary(started: float, reports: list[dict[str, Any]]) -> dict[str, Any]:
    """Seconds of each part for the first trial and for those after it, and what the processes were.

    Args:
        started: time of day at which Ray was asked to run the trials.
        reports: of ``first_step``, in any order; the trials did not overlap.
    """
    reports = sorted(reports, key=lambda report: report["entered"])
    rows: list[dict[str, float]] = []
    for report in reports:
        moments = [started, *(report[name] for name in ("entered", "loaded", "began", "ended"))]
        process, data, network, first = (end - begin for begin, end in zip(moments, moments[1:], strict=False))
        until = process + data + network
        rows.append(dict(zip(PARTS, (process, data, network, until, first), strict=True)))
        started = report["ended"]
    return {
        "processes": len({report["pid"] for report in reports}),
        "private_mib": max(report["private_mib"] for report in reports),
        "first": rows[0],
        "later": {part: statistics.median(row[part] for row in rows[1:]) for part in PARTS},
        "later_until_first_step": [row["until_first_step"] for row in rows[1:]],
    }


def write_images(folder: Path, count: int) -> None:
    """Random images of CIFAR's size, nine tenths for training, in as many classes."""
    generator = np.random.default_rng(0)
    for index in range(count):
        split = "test" if index % 10 == 9 else "train"
        path = folder / split / f"class{index // 10 % CLASSES}" / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(generator.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(path)


def measure(trials: int, images: int) -> dict[str, Any]:
    """Everything that is kept of one run, ready for JSON."""
    load_before = machine.load_average()
    with tempfile.TemporaryDirectory(prefix="startup-") as scratch:
        write_images(Path(scratch) / "images", images)
        recipe = Recipe.preset("cifar10-small", dataset=f"folder:{scratch}/images", classes=CLASSES, search_batch=8)
        cases = {}
        for name, (reuse, shared) in CASES.items():
            with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
                folder = Path(scratch) / "ray"
                cases[name] = pool.submit(run_case, reuse, shared, recipe, trials, folder).result()
            _progress(f"{name}: {cases[name]['later']['until_first_step']:.2f} s")
    return {
        "benchmark": "startup",
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine.describe(),
        "load_before": load_before,
        "load_after": machine.load_average(),
        "settings": {"trials": trials, "images": images, "threads_per_trial": 1},
        "cases": cases,
    }


def report(result: dict[str, Any]) -> str:
    """A result as the text that is printed."""
    settings = result["settings"]
    lines = [
        machine.one_line(result["machine"]),
        f"{settings['trials']} trials one after the other, {settings['images']} images; "
        f"load before {result['load_before']}, after {result['load_after']}; {result['measured_at']}",
        "",
        "seconds until a trial's first step, its parts, and the step itself; later trials: medians",
        f"{'':24}{'process':>10}{'data':>10}{'network':>10}{'until step':>12}{'step':>8}{'processes':>11}{'private':>12}",
    ]
    for which in ("first", "later"):
        for name, case in result["cases"].items():
            row = case[which]
            lines.append(
                f"{which + ': ' + name:24}"
                + "".join(f"{row[part]:10.2f}" for part in PARTS[:3])
                + f"{row['until_first_step']:12.2f}{row['first_step']:8.2f}"
                + (f"{case['processes']:11}{case['private_mib']:8.0f} MiB" if which == "later" else "")
            )
    best, plain = (result["cases"][name]["later"]["until_first_step"] for name in ("reused, shared", "new, read"))
    lines += ["", f"a later trial starts in {best:.2f} s instead of {plain:.2f} s"]
    return "\n".join(lines)


def _progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main(arguments: list[str] | None = None) -> int:
    """Reads the command line, measures, prints, writes the JSON; returns the exit code."""
    parser = argparse.ArgumentParser(prog="startup", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--trials", type=int, default=6, help="trials of each case (default 6)")
    parser.add_argument("--images", type=int, default=60_000, help="size of the data set (default 60000, as CIFAR-10)")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "startup.json")
    options = parser.parse_args(arguments)
    # As in tune/pareto.py: no notices and no records of Ray's own.
    os.environ.setdefault("RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS", "0")
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
    os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
    try:
        check_integer("trials", options.trials, minimum=2)
        check_integer("images", options.images, minimum=30 * CLASSES)
        result = measure(options.trials, options.images)
        write_text(options.out, json.dumps(result, indent=2) + "\n")
    except InputError as error:
        print(f"startup: {error}", file=sys.stderr)
        return 2
    print(report(result))
    return 0


if __name__ == "__main__":
    from benchmarks import startup  # the processes that run trials find them by this name

    sys.exit(startup.main())
