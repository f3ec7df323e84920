"""Whom the watchdog kills; that a trial that hangs really ends is shown by ``python -m benchmarks faults hang``."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.tune.watching.runs import A, Run, report
from tune.running.facts import AttemptBroke, TrialStarted
from tune.trials.reasons import Broken, Hung
from tune.watching import watchdog
from tune.watching.watchdog import Watchdog


class Clock:
    """Time that the test lets pass."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(watchdog, "time", clock)
    return clock


@pytest.fixture
def killed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    actors: list[str] = []
    monkeypatch.setattr(watchdog.ray, "kill", actors.append)
    return actors


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path / "mine")


def steps(watch: Watchdog, clock: Clock, seconds: int, status: str = "RUNNING") -> None:
    config = {"trial": A.name, "point": A.point.to_dict(), "seed": A.seed}
    one: Any = SimpleNamespace(config=config, status=status, temporary_state=SimpleNamespace(ray_actor="the actor"))
    for _ in range(seconds):
        clock.now += 1
        watch.look([one])


def test_a_silent_trial_is_killed_once_in_each_attempt(run: Run, clock: Clock, killed: list[str]) -> None:
    watch = Watchdog(10.0, run.ledger)
    run.ledger.tell(TrialStarted(trial=A))
    steps(watch, clock, 9)
    run.ledger.tell(report(A, "search", 1))
    steps(watch, clock, 10)
    assert killed == []
    steps(watch, clock, 20)
    assert killed == ["the actor"] and run.ledger.trials[A.name].reason == Hung(seconds=10)
    run.ledger.tell(AttemptBroke(trial=A, reason=Broken(error="ActorDiedError: gone")))
    steps(watch, clock, 20)
    assert len(killed) == 1  # it waits for resources
    run.ledger.tell(TrialStarted(trial=A))
    steps(watch, clock, 20)
    assert len(killed) == 2


def test_time_in_which_the_driver_did_not_look_is_no_silence(run: Run, clock: Clock, killed: list[str]) -> None:
    watch = Watchdog(10.0, run.ledger)
    run.ledger.tell(TrialStarted(trial=A))
    clock.now += 3600  # a callback that waits for the storage; reports lie unread
    steps(watch, clock, 4)
    assert killed == []


def test_without_a_limit_nobody_is_killed(run: Run, clock: Clock, killed: list[str]) -> None:
    watch = Watchdog(None, run.ledger)
    run.ledger.tell(TrialStarted(trial=A))
    steps(watch, clock, 10_000)
    assert killed == [] and run.ledger.clock == 10_000


def test_a_trial_that_has_not_started_is_left_alone(run: Run, clock: Clock, killed: list[str]) -> None:
    steps(Watchdog(10.0, run.ledger), clock, 60, "PENDING")
    assert killed == [] and run.ledger.trials == {}  # else it would count as interrupted when the run is over
