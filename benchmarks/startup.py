"""Times what a trial costs until its first training step: with reused processes and shared data, and without.

Trials run one after the other through Ray Tune on a cluster of this machine, each up to the end of its first step, in
four ways: one process for all or one per trial (``reuse_actors``), and data in the object store or read by every trial.
``tune/pareto.py`` reuses processes and shares data. The data are random images in files; a trial is a small search. A
trial is timed from the end of the one before it; the first one on its node from the moment that Ray is asked for it,
which starts the process that runs it and imports torch there. The files have just been written: they come from the
system's page cache.

    python -m benchmarks startup --trials 6 --images 60000
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from PIL import Image
from ray import tune as ray_tune
from torch import Tensor

from benchmarks.record import made_on, markdown, own_process, progress
from litesnn.checks import check_integer
from litesnn.config import Recipe, SearchPoint
from litesnn.device import prepare_cpu
from litesnn.joint_search import Search
from tune.trials.shared_data import Arrays, from_arrays, load_arrays
from tune.trials.trial import release_memory

CASES = {"reused, shared": (True, True), "reused, read": (True, False), "new, shared": (False, True)}
CASES |= {"new, read": (False, False)}
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
    arrays = from_arrays((data or load_arrays(recipe, None, False))["search"]).to(device)
    loaded = time.time()
    run = _OneStep(SearchPoint(lambda1=0, lambda2=0, p=50), recipe, arrays, seed=0, device=device)
    with suppress(_SteppedError):
        run.run_epoch()
    times = {"entered": entered, "loaded": loaded, "began": run.began, "ended": run.ended}
    ray_tune.report({**times, "pid": os.getpid(), "private_mib": psutil.Process().memory_full_info().uss / 2**20})


def run_case(reuse: bool, shared: bool, recipe: Recipe, trials: int, folder: Path) -> dict[str, Any]:
    """Runs in a process of its own, with a cluster of its own: what ``CASES`` names."""
    import ray

    from tune.running.cluster import connect

    connect("local")
    try:
        data = load_arrays(recipe, None, False)
        started = time.time()
        trainable = ray_tune.with_parameters(first_step, data=data) if shared else first_step
        # All CPUs for one trial, so that they run one after the other.
        alone = ray_tune.with_resources(trainable, {"cpu": ray.cluster_resources()["CPU"]})
        space = {"recipe": recipe.to_dict(), "trial": ray_tune.grid_search(list(range(trials)))}
        how, where = ray_tune.TuneConfig(reuse_actors=reuse), ray_tune.RunConfig(storage_path=str(folder), verbose=0)
        results = ray_tune.Tuner(alone, param_space=space, tune_config=how, run_config=where).fit()
    finally:
        ray.shutdown()
    assert not results.errors, results.errors
    return summary(started, [dict(results[index].metrics or {}) for index in range(trials)])


def summary(started: float, reports: list[dict[str, Any]]) -> dict[str, Any]:
    """Seconds of each part for the first trial, since Ray was asked to run it, and for those after it; and the processes."""
    rows: list[dict[str, float]] = []
    for report in sorted(reports, key=lambda report: report["entered"]):
        moments = [started, *(report[name] for name in ("entered", "loaded", "began", "ended"))]
        process, data, network, first = np.diff(moments).tolist()
        rows.append(dict(zip(PARTS, (process, data, network, process + data + network, first), strict=True)))
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


def add_options(parser: argparse.ArgumentParser) -> None:
    """Trials and images."""
    parser.add_argument("--trials", type=int, default=6, help="trials of each case (default 6)")
    parser.add_argument("--images", type=int, default=60_000, help="size of the data set (default 60000, as CIFAR-10)")


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """All cases."""
    trials = check_integer("trials", options.trials, minimum=2)
    images = check_integer("images", options.images, minimum=30 * CLASSES)
    # As in tune/pareto.py: no notices and no records of Ray's own.
    os.environ.setdefault("RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS", "0")
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
    os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
    cases = {}
    with tempfile.TemporaryDirectory(prefix="startup-") as scratch:
        write_images(Path(scratch) / "images", images)
        recipe = Recipe.preset("cifar10-small", dataset=f"folder:{scratch}/images", classes=CLASSES, search_batch=8)
        for name, case in CASES.items():
            with own_process() as process:
                cases[name] = process.submit(run_case, *case, recipe, trials, Path(scratch) / "ray").result()
            progress(f"{name}: {cases[name]['later']['until_first_step']:.2f} s")
    return {"settings": {"trials": trials, "images": images, "threads_per_trial": 1}, "cases": cases}


def report(result: dict[str, Any]) -> str:
    """A row for each case: medians of the trials after the first."""
    rows = [
        [name, *(f"{case['later'][part]:.2f} s" for part in ("process", "data", "network", "until_first_step"))]
        for name, case in result["cases"].items()
    ]
    header = ["later trials: processes, data", "process", "data", "network", "until the first step"]
    return f"{markdown(header, rows)}\n\n{made_on(result)}"
