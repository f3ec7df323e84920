"""Trials that hang or diverge, and clocks that jump under them."""

from __future__ import annotations

import os
import signal
import struct
import tempfile
import threading
from contextlib import suppress
from pathlib import Path

from benchmarks.fault_scenarios.hosts import Stuck
from benchmarks.fault_scenarios.stage import POINTS, Scenario, Stage
from benchmarks.fault_scenarios.storage_fails import no_compiler, shim

_HANGS = "l1_0-l2_0-p_0-seed_0"
_DIVERGES = "l1_1e+300-l2_0-p_50-seed_0"
_DAY = 24 * 60 * 60


def _hang(stage: Stage) -> None:
    """One trial is stopped once, another one in every attempt that it makes."""
    run = stage.begin(4, 16)
    over = threading.Event()
    stopped: set[int] = set()

    def stop_again_and_again() -> None:
        while not over.wait(0.05):
            pid = stage.watch.claims().get(_HANGS)
            if pid is not None and pid not in stopped:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGSTOP)
                stopped.add(pid)

    thread = threading.Thread(target=stop_again_and_again)
    stage.strike(())
    thread.start()
    try:
        others = stage.wait(lambda: stage.watch.claims().keys() - {_HANGS}, "another trial", run)
        stage.affected = {min(others)}
        os.kill(stage.watch.claims()[min(others)], signal.SIGSTOP)
        stage.end(run)
    finally:
        over.set()
        thread.join()
    stage.facts["attempts_of_the_trial_that_always_hangs"] = len(stopped)
    stage.facts["reason"] = str(stage.watch.rows()[_HANGS]["reason"])
    if not stage.facts["reason"].startswith("hung: no report for"):
        raise Stuck(f"{_HANGS} has another reason: {stage.facts['reason']}")


def _diverge(stage: Stage) -> None:
    stage.two_hosts()
    stage.strike(())
    stage.end(stage.drive())
    stage.facts["reason"] = str(stage.watch.rows()[_DIVERGES]["reason"])


def _clock(stage: Stage) -> None:
    """A day forward, then two days back; the budgets of time are hours and minutes."""
    file = Path(stage.hosts.environment["SHIM_CLOCK"])
    run = stage.begin(6, 16, "--time-budget", "1h", "--trial-timeout", "10m")
    stage.strike(stage.watch.claims())
    file.write_bytes(struct.pack("=q", _DAY))
    wanted = stage.watch.epochs() + 24
    stage.wait(lambda: stage.watch.epochs() >= wanted, "epochs after the first jump", run)
    with file.open("r+b") as clock:
        clock.write(struct.pack("=q", -_DAY))
    stage.end(run)
    table = stage.watch.experiment.table()
    stage.facts["days_on_which_trials_ended"] = sorted({str(moment)[:10] for moment in table["ended_at"]})
    stage.facts["longest_epoch_s"] = max(
        seconds for epochs in stage.watch.seen.values() for takes in epochs.values() for seconds in takes
    )


def _jumping(storage: Path) -> dict[str, str]:
    file = Path(tempfile.mkdtemp(prefix="clock-")) / "seconds"
    file.write_bytes(struct.pack("=q", 0))
    return {"LD_PRELOAD": shim(), "SHIM_CLOCK": str(file)}


SCENARIOS = {
    "hang": Scenario(
        what="a trial hangs once, another one always (SIGSTOP, --trial-timeout 15s)",
        act=_hang,
        options=("--trial-timeout", "15s"),
        ends={_HANGS: "failed"},
    ),
    "diverging": Scenario(
        what="a point diverges", act=_diverge, points=f"1e300,0,50 {POINTS}", ends={_DIVERGES: "diverged"}
    ),
    "clock": Scenario(
        what="the clocks jump a day forward, then two back", act=_clock, variables=_jumping, needs=no_compiler
    ),
}
