"""What happens during a run, as facts: what Ray, the rule and the watchdog say, and the run's ledger takes in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from litesnn.config import SearchPoint
from tune.plan.points import Trial
from tune.trials.reasons import Broken, Hung, Notice, Stopped


@dataclass(frozen=True, kw_only=True)
class Fact:
    """Something that has happened to a trial."""

    trial: Trial


class TrialStarted(Fact):
    """An attempt got its resources."""


@dataclass(frozen=True, kw_only=True)
class EpochReported(Fact):
    """An epoch is over, or is reported again by an attempt that continues after it.

    Args:
        record: as in ``metrics.jsonl``.
        notices: what was out of the ordinary since the last report.
    """

    record: Mapping[str, Any]
    notices: tuple[Notice, ...] = ()


@dataclass(frozen=True, kw_only=True)
class TrialHung(Fact):
    """A trial is killed because it has reported nothing for too long."""

    reason: Hung


@dataclass(frozen=True, kw_only=True)
class AttemptBroke(Fact):
    """An attempt broke off; after the ``last`` one no other follows."""

    reason: Broken
    last: bool = False


class TrialLeft(Fact):
    """A trial came to its end, or was stopped, or the whole run was."""


class OutcomeWritten(Fact):
    """What the driver owed to the trial's folder is there."""


@dataclass(frozen=True, kw_only=True)
class TrialEnded(Fact):
    """Nothing more comes of a trial in this run; its folder has this row, or None where it has not started."""

    row: Mapping[str, Any] | None


@dataclass(frozen=True, kw_only=True)
class TrialJudged:
    """The rule's verdict on a trial, by its name: why it is stopped, or None: it goes on."""

    name: str
    stopped: Stopped | None


@dataclass(frozen=True, kw_only=True)
class TimePassed:
    """Seconds in which the driver looked for reports, since it was said last."""

    seconds: float


class RunOver:
    """Nothing runs or waits any more."""


AnyFact = Fact | TrialJudged | TimePassed | RunOver


def trial_of(config: Mapping[str, Any]) -> Trial:
    """The trial of a configuration that Ray has."""
    return Trial(point=SearchPoint(**config["point"]), seed=config["seed"])
