"""The stopping rules that ``benchmarks.replay`` compares, each behind one function: does this trial go on?

Rules that are not ours are driven as their packages ship them, through the method that their own tuner calls.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import numpy as np
from ray.tune.schedulers import AsyncHyperBandScheduler, TrialScheduler

from tune.running.halving import Halving
from tune.running.scheduler import ParetoScheduler
from tune.storage.objectives import Reference

try:
    moasha: Any = import_module("syne_tune.optimizer.schedulers.multiobjective.moasha")
except ImportError:
    moasha = None

Record = Mapping[str, Any]
"""An epoch's report: ``tune.trials.trial``'s keys and ``total``, the epoch counted through both phases."""

GoesOn = Callable[[Record], bool]
"""Takes the reports of all trials as they come; answers whether the reporting trial goes on. Holds the rule's state."""

GRACE_PERIODS = (1, 2, 4, 8)
REDUCTION_FACTORS = (1.5, 2.0, 3.0, 4.0)


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What is swept: for every rule the first two; ``least_loss`` is ours alone."""

    grace_period: int
    reduction_factor: float
    least_loss: float | None = None

    def __str__(self) -> str:
        loss = "" if self.least_loss is None else f", loss {self.least_loss:g}"
        return f"grace {self.grace_period}, factor {self.reduction_factor:g}{loss}"


@dataclass(frozen=True, kw_only=True)
class Family:
    """A rule with its sweep.

    Args:
        name: as in the table.
        make: a fresh rule of a setting.
        default: the setting that its package ships.
        least_losses: swept besides, with the default's other values.
        installed: False leaves it out.
    """

    name: str
    make: Callable[[Setting], GoesOn]
    default: Setting
    least_losses: tuple[float, ...] = ()
    installed: bool = True

    @property
    def sweep(self) -> list[Setting]:
        """All settings; the default is one of them."""
        grid = [Setting(grace_period=g, reduction_factor=f) for g in GRACE_PERIODS for f in REDUCTION_FACTORS]
        return grid + [replace(self.default, least_loss=loss) for loss in self.least_losses]


def families(search_epochs: int, retrain_epochs: int, reference: Reference) -> list[Family]:
    """All rules that stop trials, ours first.

    Args:
        search_epochs: of the recording.
        retrain_epochs: of the recording.
        reference: scales the objectives for rules that need a scale.
    """
    total = search_epochs + retrain_epochs

    def ours(setting: Setting) -> GoesOn:
        halving = Halving(
            search_epochs=search_epochs,
            retrain_epochs=retrain_epochs,
            chance=reference.accuracy,
            grace_period=setting.grace_period,
            reduction_factor=setting.reduction_factor,
        )
        if setting.least_loss is not None:
            halving = replace(halving, least_loss=setting.least_loss)
        scheduler = ParetoScheduler(halving, dict)
        return lambda record: scheduler.on_trial_result(None, None, dict(record)) != TrialScheduler.STOP

    def asha(score: Callable[[Record], float]) -> Callable[[Setting], GoesOn]:
        return lambda setting: _ray_asha(score, setting, total)

    def published(repaired: bool) -> Callable[[Setting], GoesOn]:
        return lambda setting: _moasha(repaired, setting, total, reference)

    ray, syne = Setting(grace_period=1, reduction_factor=4.0), Setting(grace_period=1, reduction_factor=3.0)
    return [
        Family(
            name="ours",
            make=ours,
            default=Setting(grace_period=2, reduction_factor=2.0),
            least_losses=(0.001, 0.01, 0.03, 0.1),
        ),
        Family(name="ASHA, accuracy", make=asha(lambda record: record["val_accuracy"]), default=ray),
        Family(name="ASHA, weighted sum", make=asha(lambda record: -sum(objectives(record, reference))), default=ray),
        Family(name="MO-ASHA, syne-tune", make=published(False), default=syne, installed=moasha is not None),
        Family(name="MO-ASHA, ranks repaired", make=published(True), default=syne, installed=moasha is not None),
    ]


def objectives(record: Record, reference: Reference) -> tuple[float, float, float]:
    """Error and decades of size and Bit-SynOps, each divided by its value at the reference; all to be minimised.

    The costs are those above 1000 bits and 10 000 operations, so that the three axes are about equally long.
    """
    return (
        (100 - record["val_accuracy"]) / (100 - reference.accuracy),
        math.log(record["model_size_bits"] / 1e3) / math.log(reference.size_bits / 1e3),
        math.log(record["bit_synops"] / 1e4) / math.log(reference.bit_synops / 1e4),
    )


def _ray_asha(score: Callable[[Record], float], setting: Setting, total: int) -> GoesOn:
    scheduler = AsyncHyperBandScheduler(
        time_attr="total",
        metric="score",
        mode="max",
        max_t=total,
        grace_period=setting.grace_period,
        reduction_factor=setting.reduction_factor,
    )

    known: set[str] = set()

    def goes_on(record: Record) -> bool:
        trial: Any = SimpleNamespace(trial_id=record["trial"])
        if record["trial"] not in known:  # not at its first epoch: the search may be another one's
            known.add(record["trial"])
            scheduler.on_trial_add(None, trial)  # type: ignore[arg-type]
        result = {"total": record["total"], "score": score(record)}
        return scheduler.on_trial_result(None, trial, result) != TrialScheduler.STOP  # type: ignore[arg-type]

    return goes_on


def _moasha(repaired: bool, setting: Setting, total: int, reference: Reference) -> GoesOn:
    names = ["error", "size", "bit_synops"]
    scheduler = moasha.MOASHA(
        config_space={},
        metrics=names,
        time_attr="total",
        multiobjective_priority=_repaired_priority() if repaired else None,
        max_t=total,
        grace_period=setting.grace_period,
        reduction_factor=setting.reduction_factor,
        random_seed=0,
    )

    known: set[str] = set()

    def goes_on(record: Record) -> bool:
        trial: Any = SimpleNamespace(trial_id=record["trial"])
        if record["trial"] not in known:
            known.add(record["trial"])
            scheduler.on_trial_add(trial)
        values = dict(zip(names, objectives(record, reference), strict=True))
        return scheduler.on_trial_result(trial, {"total": record["total"], **values}) != moasha.SchedulerDecision.STOP

    return goes_on


def _repaired_priority() -> Callable[[np.ndarray], np.ndarray]:
    """The rule as it is published: places from 0, ``[N]``, of the entries ``[N, D]``.

    syne-tune 0.16 returns the order (which entry is k-th) where its caller takes ranks (which place entry k has).
    """
    order = moasha.NonDominatedPriority()
    return lambda entries: np.argsort(order(entries))
