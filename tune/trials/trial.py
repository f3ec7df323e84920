"""One trial: search, decode and retrain for one point, an epoch at a time."""

from __future__ import annotations

import ctypes
import gc
import platform
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import ray
import torch
from ray import tune as ray_tune

from litesnn import DivergedError, Genotype, InputError, Recipe, SearchPoint
from litesnn.checkpoint import DamagedCheckpointError
from litesnn.device import cap_gpu_memory, prepare_cpu
from litesnn.export.convert import pack
from litesnn.export.sizes import measure_sizes
from litesnn.joint_search import Search
from litesnn.model import Model
from litesnn.network import Network
from litesnn.phase import EpochRecord, Phase
from litesnn.retraining import Retrain, RetrainResult
from litesnn.strategies import held_by, unsearched
from tune.plan.points import Trial
from tune.storage.paths import (
    StoragePath,
    local_copy,
    local_draft,
    read_bytes,
    read_text,
    remove,
    storage_path,
    write_text,
)
from tune.storage.store import DIVERGED, FINISHED, TrialFolder
from tune.trials.patience import Patience
from tune.trials.reasons import CheckpointDamaged, Notice, sentence, to_plain
from tune.trials.shared_data import Arrays, on_device
from tune.trials.trial_log import TrialLog

Report = Callable[[EpochRecord], None]
Say = Callable[[Notice], None]


def run_trial(config: dict[str, Any], data: dict[str, Arrays]) -> None:
    """The function trainable: runs the trial of ``config`` on the resources that Ray gave it.

    Args:
        config: ``point`` (λ1, λ2, p and, if it is not the recipe's, C), ``seed``, ``recipe``, ``folder``, ``trial``, its name, and
            ``parent``, the name of the trial from whose weights it starts, or nothing; ``cpu_instead``, whether a CPU will do where
            torch cannot use the GPU.
        data: arrays of both phases, from the object store.
    """
    resources = ray_tune.get_context().get_trial_resources().required_resources
    release_memory()
    prepare_cpu(max(1, int(resources.get("CPU", 1))))
    device = device_of(resources.get("GPU", 0), config.get("cpu_instead", False))
    cap_gpu_memory(device, resources.get("GPU", 0))
    point = SearchPoint(**config["point"])
    folder = TrialFolder(storage_path("folder", config["folder"]))
    check_experiment_is_seen(folder)
    notices: list[Notice] = []
    log = TrialLog(config["trial"])

    def report(record: EpochRecord) -> None:
        log.epoch(record)
        more = {"seed": config["seed"], "trial": config["trial"], "notices": [to_plain(notice) for notice in notices]}
        notices.clear()
        numbers = {name: value for name, value in record.to_dict().items() if not isinstance(value, list)}
        ray_tune.report({**numbers, **point.to_dict(), **more})
        _show(f"{config['trial']} after {record.phase} {record.epoch}/{record.epochs}")

    def warn(notice: Notice) -> None:
        log.say(sentence(notice))

    def say(notice: Notice) -> None:
        warn(notice)
        notices.append(notice)
        with suppress(InputError):  # the storage may be what it is about
            folder.note(sentence(notice))

    _show(config["trial"])
    with suppress(InputError):  # the log is not worth a trial
        log.started(
            folder.read_records(), f"{platform.node()}, {_name(device)}, CPU threads: {torch.get_num_threads()}"
        )
    recipe, searches = Recipe.from_dict(config["recipe"]), folder.path.parent.parent / "searches"
    try:
        parent = config.get("parent", "")
        search_and_retrain(point, recipe, config["seed"], folder, data, device, report, say, warn, searches, parent)
    except SystemExit:  # how Ray ends what waits in a report
        log.broken_off()
        raise
    with suppress(InputError):
        log.ended(folder.read_result())


def device_of(gpus: float, cpu_instead: bool) -> torch.device:
    """Where a trial with so much of a GPU trains.

    Args:
        gpus: what Ray gave to it.
        cpu_instead: whether a CPU will do where torch cannot use the GPU.

    Raises:
        InputError: torch cannot use the GPU that was asked for.
    """
    if not gpus or (cpu_instead and not torch.cuda.is_available()):
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise InputError(f"gpus-per-trial: expected a GPU that torch can use on {platform.node()}, got none")
    return torch.device("cuda")


def _show(text: str) -> None:
    """Makes this the process's title: in ``ps``, and on the page of its node in Ray's dashboard.

    A process runs one trial after the other, while Ray fixes the name of an actor when it starts.
    """
    ray._raylet.setproctitle(f"ray::ImplicitFunc {text}")  # type: ignore[attr-defined]


def check_experiment_is_seen(folder: TrialFolder) -> None:
    """Refuses to write where the experiment is not: on a host that joined later and lacks the shared folder.

    Args:
        folder: of a trial.

    Raises:
        InputError: ``experiment.json`` is not there.
    """
    experiment = folder.path.parent.parent
    if read_bytes(experiment / "experiment.json") is None:
        raise InputError(f"storage: expected the experiment {experiment} on {platform.node()}, which does not see it")


class SupersededError(RuntimeError):
    """Another attempt of this trial has taken over, or the trial is over: this one may write no more."""


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
    say: Say = lambda notice: None,
    warn: Say = lambda notice: None,
    searches: StoragePath | None = None,
    parent: str = "",
) -> None:
    """Runs a trial from wherever its folder says it stopped to its result.

    A search knows nothing of the width of the network that is retrained, so points that differ in C alone need one: the first to
    finish it leaves it in ``searches``, and a later one takes it from there, reports no epoch of it and goes on to its retraining.
    In the search, costs are those of the recipe's own C, so that all trials can be compared there.

    A point that diverges is an outcome: it is written down with its reason and nothing is raised. An attempt that continues
    an earlier one first reports the last epoch again: the kill may have come before anybody acted on that report.

    Args:
        point: λ1, λ2 and p.
        recipe: the experiment's recipe.
        seed: seed of both phases.
        folder: where everything is written; an earlier attempt's checkpoint there is continued.
        data: arrays of both phases.
        device: where to train.
        report: called after every epoch, when its checkpoint and record are in the folder; need not return.
        say: told what was out of the ordinary, before the epoch is reported that it has to do with.
        warn: told at once what may pass, such as a storage that does not answer.
        searches: the experiment's folder of finished searches; None: there is none.
        parent: the trial beside this one from whose weights the retraining starts; where it has not finished, or none is named, the
            network is trained from scratch.

    Raises:
        InputError: a file of another recipe, or a storage that stays unusable.
        SupersededError: another attempt has taken over.
    """
    patient = Patience(say=say, warn=warn)
    if patient(folder.has_outcome):
        folder.remove_checkpoints()  # Ray repeats a trial whose process died between its result and its end
        return
    patient(folder.clear_result)
    wide = recipe.at(point)
    start = patient(lambda: folder.parent(parent))
    wide = wide if start is None else wide.warm()
    known = {**point.to_dict(), "seed": seed, "parent": "" if start is None else start.path.name}
    patient(lambda: folder.write_start(known, wide.to_dict()))
    attempt = _Attempt(folder, patient(folder.claim), report, say, patient)
    searched = replace(point, channels=0)
    shared = None if searches is None else searches / f"{Trial(point=searched, seed=seed).name}.json"
    try:
        given = unsearched(point, recipe, seed)
        genotype = _search(searched, recipe, seed, attempt, data["search"], device, shared, given)
        trained = _retrain(genotype, wide, seed, attempt, data["retrain"], device, start)
    except DivergedError as error:
        reason = str(error)
        patient(lambda: folder.write_result(DIVERGED, reason=reason))
    else:
        attempt.write_file(folder.model, trained.model.save)
        samples = len(data["retrain"]["val.labels"])
        patient(lambda: folder.write_result(FINISHED, **_figures(trained, samples, device)))


@dataclass(frozen=True)
class _Attempt:
    """One attempt at a trial: where it writes, under which mark, and whom it tells."""

    folder: TrialFolder
    mark: str
    report: Report
    say: Say
    patient: Patience

    def complete(self, run: Phase, before: list[dict[str, Any]]) -> None:
        """Runs the epochs that are left; after each, checkpoint and record are in the folder before it is reported.

        Args:
            run: a phase at its beginning.
            before: records of the phase before.
        """
        folder = self.folder

        def write_records() -> None:
            folder.write_records([*before, *(record.to_dict() for record in run.records)])

        self._load(run)
        if run.records:
            self.patient(write_records)  # an earlier attempt may have ended between the two files
            self.report(run.records[-1])
        while not run.done:
            record = run.run_epoch()
            if not self.patient(lambda: folder.is_claimed_by(self.mark)):
                raise SupersededError(f"another attempt writes to {folder.path}, or the trial is over")
            self.patient(lambda: folder.keep_checkpoint(run.name))
            self.write_file(folder.checkpoint(run.name), run.save)
            self.patient(write_records)
            self.report(record)

    def write_file(self, target: StoragePath, save: Callable[[Path], None]) -> None:
        """Lets ``save`` write a local file that becomes ``target``."""

        def write() -> None:
            with local_draft(target) as path:
                save(path)

        self.patient(write)

    def _load(self, run: Phase) -> None:
        """Continues from the newest checkpoint that is whole; a damaged one is removed, and that is said."""
        damaged = 0
        for file in (self.folder.checkpoint(run.name), self.folder.previous_checkpoint(run.name)):
            with local_copy(file) as path:
                if path is None:
                    continue
                try:
                    run.load(path)
                    break
                except DamagedCheckpointError:
                    damaged += 1
            remove(file)
        if damaged:
            self.say(CheckpointDamaged(phase=run.name, epoch=run.epoch))


def _search(
    point: SearchPoint,
    recipe: Recipe,
    seed: int,
    attempt: _Attempt,
    arrays: Arrays,
    device: torch.device,
    shared: StoragePath | None,
    given: Genotype | None,
) -> Genotype:
    """The genotype that the folder has, that a strategy without a search gives, that another trial has found, or a search finds."""
    folder, patient = attempt.folder, attempt.patient
    text = read_text(folder.genotype)
    if text is not None:
        records = folder.read_records()
        if records and records[-1]["phase"] == Search.name:
            attempt.report(EpochRecord(**records[-1]))
        return Genotype.from_json(text)
    found = None
    if given is not None:
        found = given.to_json() + "\n"
    elif shared is not None:
        found = read_text(shared)
    if found is not None:
        patient(lambda: folder.write_records([]))
        patient(lambda: write_text(folder.genotype, found))
        return Genotype.from_json(found)
    held = held_by(point, recipe)
    run = Search(point, recipe, on_device(arrays, device), seed=seed, device=device, held=held)
    attempt.complete(run, [])
    genotype = run.genotype()
    text = genotype.to_json() + "\n"
    patient(lambda: write_text(folder.genotype, text))
    if shared is not None:
        patient(lambda: write_text(shared, text))
    return genotype


def _retrain(
    genotype: Genotype,
    recipe: Recipe,
    seed: int,
    attempt: _Attempt,
    arrays: Arrays,
    device: torch.device,
    start: TrialFolder | None,
) -> RetrainResult:
    trained = None if start is None else attempt.patient(lambda: _network_of(start, device))
    run = Retrain(genotype, recipe, on_device(arrays, device), seed=seed, device=device, start=trained)
    searched = [record for record in attempt.folder.read_records() if record["phase"] == Search.name]
    attempt.complete(run, searched)
    return run.finish()


def _network_of(folder: TrialFolder, device: torch.device) -> Network:
    with local_copy(folder.model) as path:
        if path is None:
            raise InputError(f"start: expected the network of {folder.path.name}, got no file")
        return Model.load(path, device).network


def _figures(result: RetrainResult, val_samples: int, device: torch.device) -> dict[str, Any]:
    cost, genotype, sizes = result.cost, result.model.genotype, measure_sizes(pack(result.model))
    return {
        "val_accuracy": result.val_accuracy,
        "test_accuracy": result.test_accuracy,
        "val_samples": val_samples,
        **asdict(cost),
        "file_bits": sizes.file,
        "size_bits": sizes.file if result.model.recipe.size == "file" else cost.model_size_bits,
        "dense_bits": sizes.dense,
        "energy_mj": cost.energy_mj,
        "energy_bits_mj": cost.energy_bits_mj,
        "ann_energy_mj": cost.ann_energy_mj,
        "timesteps": genotype.timesteps,
        "bits": list(genotype.bits),
        "device": _name(device),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
