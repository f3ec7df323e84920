"""How one trial stands during a run, and what its row says of that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from tune.plan.points import Trial
from tune.storage.rows import DIVERGED, FAILED, FINISHED, STOPPED, UNFINISHED
from tune.trials.reasons import Reason, Stopped

WAITING, RUNNING, INTERRUPTED = "waiting", "running", "interrupted"
STATES = (WAITING, RUNNING, INTERRUPTED, FINISHED, STOPPED, DIVERGED, FAILED)
PHASES = ("search", "retrain")
STARTING = "starting"


@dataclass(kw_only=True)
class TrialState:
    """How one trial stands.

    Args:
        state: one of ``STATES``.
        phase: of a running trial: its last report's, or ``STARTING`` before the first of its attempt.
        record: λ1, λ2, p, seed and, after a report in this run, what the last one says.
        epochs: finished ones by phase, earlier runs included.
        heard: the ledger's clock at its last sign of life; None while none is expected.
        reason: why its attempt was stopped or broke off.
    """

    state: str = WAITING
    phase: str = ""
    record: Mapping[str, Any] = field(default_factory=dict)
    epochs: dict[str, int] = field(default_factory=lambda: dict.fromkeys(PHASES, 0))
    heard: float | None = None
    reason: Reason | None = None


def outcome_of(reason: Reason) -> str:
    """The status that a trial ends in for this reason."""
    return STOPPED if isinstance(reason, Stopped) else FAILED


def point_of(trial: Trial) -> dict[str, Any]:
    """λ1, λ2, p, C where it is not the recipe's, and seed."""
    return {**trial.point.to_dict(), "seed": trial.seed}


def state_of(row: Mapping[str, Any]) -> str:
    """The state of a trial that is not at work, from its row."""
    return INTERRUPTED if row["status"] == UNFINISHED else str(row["status"])


def epochs_of(row: Mapping[str, Any]) -> dict[str, int]:
    """Finished epochs by phase, from a row."""
    return {phase: count_of(row[f"{phase}_epochs"]) for phase in PHASES}


def count_of(value: Any) -> int:
    """A count that may be missing from a row."""
    return 0 if pd.isna(value) else int(value)
