"""Why a trial ended, and what was out of the ordinary in it: data for whoever decides or counts, a sentence for people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class StorageDelayed:
    """A trial waited so many seconds for a storage that said ``error``; while it is not ``over``, so many at most."""

    seconds: float
    error: str
    over: bool = True


@dataclass(frozen=True, kw_only=True)
class CheckpointDamaged:
    """The newest checkpoint of a phase was damaged; the one before led to ``epoch``, or there was none: 0."""

    phase: str
    epoch: int


@dataclass(frozen=True, kw_only=True)
class Stopped:
    """The rule stopped a trial at an epoch of a phase, whose rung has ``of`` entries."""

    phase: str
    epoch: int
    rank: int
    of: int


@dataclass(frozen=True, kw_only=True)
class Hung:
    """A trial reported nothing for so many seconds."""

    seconds: float


@dataclass(frozen=True, kw_only=True)
class Broken:
    """The last line of an attempt's error, and whether it came from reading or writing files."""

    error: str
    of_storage: bool = False


Notice = StorageDelayed | CheckpointDamaged
Reason = Stopped | Hung | Broken
_KINDS: dict[str, type[Notice]] = {"storage_delayed": StorageDelayed, "checkpoint_damaged": CheckpointDamaged}


def sentence(what: Notice | Reason) -> str:
    """What people read."""
    match what:
        case StorageDelayed(over=False):
            return f"waiting for the storage, {what.seconds / 60:.0f} minutes at most: {what.error}"
        case StorageDelayed():
            return f"waited {what.seconds:.0f} s for the storage: {what.error}"
        case CheckpointDamaged():
            how = f"continued from the one before, epoch {what.epoch}" if what.epoch else "the phase starts again"
            return f"{what.phase}: the newest checkpoint was damaged; {how}"
        case Stopped():
            return f"stopped at {what.phase} epoch {what.epoch}: rank {what.rank} of {what.of}"
        case Hung():
            return f"hung: no report for {what.seconds:g} s"
        case Broken():
            return what.error


def to_plain(notice: Notice) -> dict[str, Any]:
    """Plain values for a report to Ray; ``from_plain`` is the inverse."""
    (kind,) = (name for name, made in _KINDS.items() if isinstance(notice, made))
    return {"kind": kind, **asdict(notice)}


def from_plain(values: Mapping[str, Any]) -> Notice:
    """A notice from its plain values."""
    return _KINDS[values["kind"]](**{name: value for name, value in values.items() if name != "kind"})
