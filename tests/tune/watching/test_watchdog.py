"""What the watchdog counts and tells; that it ends a trial that hangs is shown by ``python -m benchmarks faults hang``."""

import io
import pickle
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from tune.watching import watchdog
from tune.watching.watchdog import TimeBudget, Watchdog

NAME = "l1_0-l2_0-p_0-seed_0"


def trial(failures: int = 0) -> Any:
    return SimpleNamespace(
        config={"trial": NAME},
        status="RUNNING",
        error_file=None,
        temporary_state=SimpleNamespace(ray_actor="the actor"),
        run_metadata=SimpleNamespace(num_failures=failures),
    )


def report(phase: str, epoch: int, notice: str = "") -> dict[str, Any]:
    return {"phase": phase, "epoch": epoch, "notice": notice}


def test_only_a_new_epoch_forgives_earlier_deaths() -> None:
    watch = Watchdog(None, None)
    for phase, epoch, forgiven in [
        ("search", 1, True),
        ("search", 1, False),  # an attempt that continues reports its last epoch again
        ("search", 2, True),
        ("retrain", 1, True),
        ("search", 2, False),  # a damaged checkpoint leads back
        ("retrain", 1, False),
        ("retrain", 2, True),
    ]:
        one = trial(failures=2)
        watch.on_trial_result(0, [one], one, report(phase, epoch))
        assert one.run_metadata.num_failures == (0 if forgiven else 2), (phase, epoch)


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


def steps(watch: Watchdog, clock: Clock, one: Any, seconds: int) -> None:
    for _ in range(seconds):
        clock.now += 1
        watch.on_step_end(0, [one])


def test_a_silent_trial_is_killed_once_and_its_reason_kept(clock: Clock, killed: list[str]) -> None:
    watch, one = Watchdog(10.0, None), trial()
    watch.on_trial_start(0, [one], one)
    steps(watch, clock, one, 9)
    watch.on_trial_result(0, [one], one, report("search", 1))
    steps(watch, clock, one, 10)
    assert killed == []
    steps(watch, clock, one, 20)
    assert killed == ["the actor"] and watch.reasons == {NAME: "hung: no report for 10 s"}
    watch.on_trial_recover(0, [one], one)
    assert watch.reasons == {}
    steps(watch, clock, one, 20)
    assert len(killed) == 1  # it waits for resources
    watch.on_trial_start(0, [one], one)
    steps(watch, clock, one, 20)
    assert len(killed) == 2


def test_time_in_which_the_driver_did_not_look_is_no_silence(clock: Clock, killed: list[str]) -> None:
    watch, one = Watchdog(10.0, None), trial()
    watch.on_trial_start(0, [one], one)
    clock.now += 3600  # a callback that waits for the storage; reports lie unread
    steps(watch, clock, one, 4)
    assert killed == []


def test_without_a_limit_nobody_is_killed(clock: Clock, killed: list[str]) -> None:
    watch, one = Watchdog(None, None), trial()
    watch.on_trial_start(0, [one], one)
    steps(watch, clock, one, 10_000)
    assert killed == []


def test_restarts_and_notices_are_told() -> None:
    screen = io.StringIO()
    watch, one = Watchdog(5.0, Console(file=screen, width=200)), trial()
    watch.on_trial_result(0, [one], one, report("search", 1, "the newest checkpoint was damaged"))
    watch.on_trial_recover(0, [one], one)
    assert screen.getvalue().splitlines() == [
        f"{NAME}: the newest checkpoint was damaged",
        f"{NAME}: unknown; it is started again",
    ]
    assert pickle.loads(pickle.dumps(watch)).console is None


def test_a_budget_goes_by_the_clock_that_nobody_sets(clock: Clock) -> None:
    budget = TimeBudget(60)
    assert not budget.stop_all() and not budget("id", {})
    clock.now += 59.9
    assert not budget.stop_all()
    clock.now += 0.1
    assert budget.stop_all()
