"""The stopping rules that ``benchmarks.held_out`` compares, each behind one function: does this trial go on?

Rules that are not ours are driven as their packages ship them, through the method that their own tuner calls.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

from ray.tune.schedulers import AsyncHyperBandScheduler, TrialScheduler

from tune.running.halving import Halving
from tune.running.scheduler import ParetoScheduler
from tune.storage.objectives import Reference

Record = Mapping[str, Any]
"""An epoch's report: ``tune.trials.trial``'s keys and ``total``, the epoch counted through both phases."""

GoesOn = Callable[[Record], bool]
"""Takes the reports of all trials as they come; answers whether the reporting trial goes on. Holds the rule's state."""


def ours(lengths: tuple[int, int], **values: Any) -> GoesOn:
    """The rule as the service has it, for so many epochs of search and of retraining; ``values`` are fields of ``Halving``."""
    scheduler = ParetoScheduler(Halving(search_epochs=lengths[0], retrain_epochs=lengths[1], **values), dict)
    return lambda record: scheduler.on_trial_result(None, None, dict(record)) != TrialScheduler.STOP


def others(total: int, reference: Reference) -> dict[str, Callable[[], GoesOn]]:
    """Rules that are not ours, with their package's settings, for ``total`` epochs; the reference scales the objectives."""
    return {
        "ASHA, accuracy": lambda: _ray_asha(lambda record: record["val_accuracy"], total),
        "ASHA, weighted sum": lambda: _ray_asha(lambda record: -sum(objectives(record, reference)), total),
    }


def objectives(record: Record, reference: Reference) -> tuple[float, float, float]:
    """Error and decades of size and Bit-SynOps, each divided by its value at the reference; all to be minimised.

    The costs are those above 1000 bits and 10 000 operations, so that the three axes are about equally long.
    """
    return (
        (100 - record["val_accuracy"]) / (100 - reference.accuracy),
        math.log(record["model_size_bits"] / 1e3) / math.log(reference.size_bits / 1e3),
        math.log(record["bit_synops"] / 1e4) / math.log(reference.bit_synops / 1e4),
    )


def _ray_asha(score: Callable[[Record], float], total: int) -> GoesOn:
    settings: dict[str, Any] = {"time_attr": "total", "metric": "score", "mode": "max", "max_t": total}
    scheduler = AsyncHyperBandScheduler(**settings, grace_period=1, reduction_factor=4.0)
    known: dict[str, Any] = {}

    def goes_on(record: Record) -> bool:
        if record["trial"] not in known:  # not at its first epoch: the search may be another one's
            known[record["trial"]] = SimpleNamespace(trial_id=record["trial"])
            scheduler.on_trial_add(None, known[record["trial"]])  # type: ignore[arg-type]
        result = {"total": record["total"], "score": score(record)}
        decision = scheduler.on_trial_result(None, known[record["trial"]], result)  # type: ignore[arg-type]
        return decision != TrialScheduler.STOP

    return goes_on
