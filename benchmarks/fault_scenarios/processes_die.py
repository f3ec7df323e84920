"""Processes and hosts that die, and hosts that come."""

from __future__ import annotations

import os
import signal

from benchmarks.fault_scenarios.stage import Scenario, Stage


def _worker(stage: Stage) -> None:
    run = stage.begin(4, 16)
    trial, pid = stage.chance.choice(sorted(stage.wait(stage.watch.claims, "a trial under way", run).items()))
    stage.strike({trial})
    os.kill(pid, signal.SIGKILL)
    stage.end(run)


def _node(stage: Stage) -> None:
    run = stage.begin(4, 16)
    stage.strike(stage.wait(lambda: stage.on("node"), "a trial on the node", run))
    stage.hosts.kill("node")
    stage.end(run)


def _driver(stage: Stage) -> None:
    stage.begin(8, 50)
    stage.strike(stage.watch.claims())
    stage.hosts.kill("driver")
    stage.end(stage.drive())


def _head(stage: Stage) -> None:
    """The driver dies with the head; the other host is left to notice by itself, with its trial still running."""
    stage.begin(8, 50)
    stage.strike(stage.watch.claims())
    stage.hosts.kill("driver")
    stage.hosts.kill("head")
    stage.hosts.start_head("second head")
    stage.hosts.start_node("second node")
    stage.end(stage.drive())


def _joins(stage: Stage) -> None:
    stage.hosts.start_head()
    run = stage.drive()
    stage.wait_epochs(4, 16, run)
    stage.hosts.start_node("late")
    stage.strike(())
    stage.affected = stage.wait(lambda: stage.on("late"), "a trial on the new node", run)
    stage.end(run)


SCENARIOS = {
    "worker": Scenario(what="SIGKILL of a trial's process", act=_worker),
    "node": Scenario(what="SIGKILL of a node: its raylet and all its workers", act=_node),
    "driver": Scenario(what="SIGKILL of the driver, then the same command", act=_driver),
    "head": Scenario(what="SIGKILL of the head and the driver, then a new cluster and the same command", act=_head),
    "joining": Scenario(what="a node joins in the middle", act=_joins, retrain_epochs=50),
}
