"""One trial: search, decode and retrain for one point, an epoch at a time."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from typing import Any

import torch
from ray import tune as ray_tune

from litesnn import DivergedError, Genotype, Recipe, SearchPoint
from litesnn.device import prepare_cpu
from litesnn.joint_search import Search
from litesnn.retraining import Retrain, RetrainResult
from litesnn.run import EpochRecord, Run
from tune.places import local_copy, local_draft, place, read_text, write_text
from tune.shared_data import Arrays, from_arrays
from tune.store import DIVERGED, FINISHED, TrialFolder

Report = Callable[[EpochRecord], None]


def run_trial(config: dict[str, Any], data: dict[str, Arrays]) -> None:
    """The function trainable: runs the trial of ``config`` on the resources that Ray gave it.

    Args:
        config: ``point`` (λ1, λ2, p), ``seed``, ``recipe``, ``folder`` and ``trial``, its name.
        data: arrays of both phases, from the object store.
    """
    resources = ray_tune.get_context().get_trial_resources().required_resources
    release_memory()
    prepare_cpu(max(1, int(resources.get("CPU", 1))))
    device = torch.device("cuda" if resources.get("GPU", 0) else "cpu")
    point = SearchPoint(**config["point"])

    def report(record: EpochRecord) -> None:
        ray_tune.report({**record.to_dict(), **asdict(point), "seed": config["seed"], "trial": config["trial"]})

    search_and_retrain(
        point,
        Recipe.from_dict(config["recipe"]),
        config["seed"],
        TrialFolder(place("folder", config["folder"])),
        data,
        device,
        report,
    )


def release_memory() -> None:
    """Gives back what this process's trial before has left.

    Each trial runs in a thread of its own, and glibc keeps what a thread has freed for threads that may never come: a
    process grew by a whole trial with every one that it ran.
    """
    gc.collect()
    with suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def search_and_retrain(
    point: SearchPoint,
    recipe: Recipe,
    seed: int,
    folder: TrialFolder,
    data: dict[str, Arrays],
    device: torch.device,
    report: Report,
) -> None:
    """Runs a trial from wherever its folder says it stopped to its result.

    A point that diverges is an outcome: it is written down with its reason and nothing is raised. An attempt that continues
    an earlier one first reports the last epoch again: the kill may have come before anybody acted on that report.

    Args:
        point: λ1, λ2 and p.
        recipe: the experiment's recipe.
        seed: seed of both phases.
        folder: where everything is written; an earlier attempt's checkpoint there is continued.
        data: arrays of both phases.
        device: where to train.
        report: called after every epoch, when its checkpoint and metrics are in the folder; need not return.
    """
    if folder.has_outcome():
        folder.remove_checkpoints()  # Ray repeats a trial whose process died between its result and its end
        return
    folder.clear_result()
    folder.write_start({**asdict(point), "seed": seed}, recipe.to_dict())
    try:
        genotype = _search(point, recipe, seed, folder, data["search"], device, report)
        trained = _retrain(genotype, recipe, seed, folder, data["retrain"], device, report)
    except DivergedError as error:
        folder.write_result(DIVERGED, reason=str(error))
    else:
        with local_draft(folder.model) as path:
            trained.model.save(path)
        folder.write_result(FINISHED, **_figures(trained, device))


def _search(
    point: SearchPoint,
    recipe: Recipe,
    seed: int,
    folder: TrialFolder,
    arrays: Arrays,
    device: torch.device,
    report: Report,
) -> Genotype:
    text = read_text(folder.genotype)
    if text is not None:
        records = folder.read_metrics()
        if records and records[-1]["phase"] == Search.phase:
            report(EpochRecord(**records[-1]))
        return Genotype.from_json(text)
    run = Search(point, recipe, from_arrays(arrays).to(device), seed=seed, device=device)
    _complete(run, folder, [], report)
    genotype = run.genotype()
    write_text(folder.genotype, genotype.to_json() + "\n")
    return genotype


def _retrain(
    genotype: Genotype,
    recipe: Recipe,
    seed: int,
    folder: TrialFolder,
    arrays: Arrays,
    device: torch.device,
    report: Report,
) -> RetrainResult:
    run = Retrain(genotype, recipe, from_arrays(arrays).to(device), seed=seed, device=device)
    searched = [record for record in folder.read_metrics() if record["phase"] == Search.phase]
    _complete(run, folder, searched, report)
    return run.finish()


def _complete(run: Run, folder: TrialFolder, before: list[dict[str, Any]], report: Report) -> None:
    """Runs the epochs that are left; after each, checkpoint and metrics are in the folder before it is reported."""
    checkpoint = folder.checkpoint(run.phase)

    def write_metrics() -> None:
        folder.write_metrics([*before, *(record.to_dict() for record in run.records)])

    with local_copy(checkpoint) as path:
        if path is not None:
            run.load(path)
    if run.records:
        write_metrics()  # an earlier attempt may have ended between the two files
        report(run.records[-1])
    while not run.done:
        record = run.run_epoch()
        with local_draft(checkpoint) as path:
            run.save(path)
        write_metrics()
        report(record)


def _figures(result: RetrainResult, device: torch.device) -> dict[str, Any]:
    cost, genotype = result.cost, result.model.genotype
    return {
        "val_accuracy": result.val_accuracy,
        "test_accuracy": result.test_accuracy,
        **asdict(cost),
        "energy_mj": cost.energy_mj,
        "ann_energy_mj": cost.ann_energy_mj,
        "timesteps": genotype.timesteps,
        "bits": list(genotype.bits),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }
