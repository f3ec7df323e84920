"""One repetition of one scenario: a cluster, a run on it, the moment of the fault, and what became of everything."""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.fault_scenarios.hosts import ROOT, Hosts, Stuck, wait_until
from benchmarks.fault_scenarios.watch import Watch, calm, front_of, losses
from litesnn.config import Recipe
from tune.plan.points import Trial, parse_points
from tune.storage.store import Experiment

POINTS = "0,0,0 0,0,50 0,0,80 1e-6,1e-9,50 1e-6,1e-9,80 1e-5,1e-8,90"
SEARCH_EPOCHS, RETRAIN_EPOCHS = 2, 14
_TINY: dict[str, Any] = {"widths": (1, 2), "search_channels": 4, "retrain_channels": 4, "timesteps": 2}
_TINY |= {"search_batch": 100, "retrain_batch": 100, "search_epochs": SEARCH_EPOCHS}


class Stage:
    """What a scenario acts on; ``chance`` decides when the fault comes, and whom it meets."""

    def __init__(self, hosts: Hosts, storage: Path, watch: Watch, options: list[str], chance: random.Random) -> None:
        self.hosts, self.storage, self.watch, self.options, self.chance = hosts, storage, watch, options, chance
        self.moment = time.monotonic()
        self.affected: set[str] = set()
        self.before: dict[Path, bytes] = {}
        self.facts: dict[str, Any] = {}

    def two_hosts(self) -> None:
        """A head and a further host with room for one trial each."""
        self.hosts.start_head()
        self.hosts.start_node("node")

    def begin(self, least: int, most: int, *more: str) -> subprocess.Popen[str]:
        """The command on two hosts, when a random number of epochs is on disk."""
        self.two_hosts()
        run = self.drive(*more)
        self.wait_epochs(least, most, run)
        return run

    def drive(self, *more: str, inside: Iterable[str] = ()) -> subprocess.Popen[str]:
        """Starts the command, as the host ``driver``."""
        program = [sys.executable, str(ROOT / "tune" / "pareto.py"), "run", "--address", self.hosts.address]
        return self.hosts.start("driver", [*inside, *program, "--storage", str(self.storage), *self.options, *more])

    def on(self, host: str) -> set[str]:
        """Trials that run on a host."""
        there = self.hosts.alive(host)
        return {trial for trial, pid in self.watch.claims().items() if pid in there}

    def wait_epochs(self, least: int, most: int, run: subprocess.Popen[str]) -> None:
        """Waits for a random number of epochs on disk, and for a random part of an epoch more."""
        wanted = self.chance.randint(least, most)
        self.wait(lambda: self.watch.epochs() >= wanted, f"{wanted} epochs", run)
        time.sleep(self.chance.uniform(0, 0.3))  # not to wait for anything

    def wait(self, condition: Callable[[], Any], what: str, run: subprocess.Popen[str]) -> Any:
        """Waits for something while the command runs.

        Raises:
            Stuck: it has not come, or the command ended before.
        """

        def look() -> Any:
            found = condition()
            if not found and run.poll() is not None:
                raise Stuck(f"{what}: the run ended before: {self.hosts.output('driver')[-600:]}")
            return found

        return wait_until(look, what)

    def strike(self, affected: Iterable[str]) -> None:
        """Says that the fault comes now, and whom it meets."""
        self.affected = set(affected)
        self.before = self.watch.finished_files()
        self.moment = time.monotonic()

    def end(self, run: subprocess.Popen[str]) -> None:
        """Waits until the command ends by itself, and well."""
        wait_until(lambda: run.poll() is not None, "end of the run")
        if run.returncode:
            raise Stuck(f"the run ended with code {run.returncode}: {self.hosts.output('driver')[-600:]}")


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """A kind of fault."""

    what: str  # it is, for the table
    act: Callable[[Stage], None]  # builds the cluster, runs the command, brings the fault, waits for the end
    options: tuple[str, ...] = ()  # more of the command
    points: str = POINTS  # as ``--points``
    retrain_epochs: int = RETRAIN_EPOCHS
    variables: Callable[[Path], dict[str, str]] = field(default=lambda storage: {})  # environment of all on the cluster
    ends: Mapping[str, str] = field(default_factory=dict)  # states that trials end in, by name, other than finished
    needs: Callable[[], str] = field(default=lambda: "")  # says what is missing on this machine, or nothing

    @property
    def trials(self) -> set[str]:
        """Names of all trials."""
        return {Trial(point=point, seed=0).name for point in parse_points(self.points)}


@cache
def _calm(points: str, retrain_epochs: int) -> Experiment:
    recipe = Recipe.preset("digits", **_TINY, retrain_epochs=retrain_epochs)
    return calm(recipe, points, Path(tempfile.mkdtemp(prefix="calm-")))


def perform(scenario: Scenario, seed: int) -> dict[str, Any]:
    """Runs one repetition; ready for JSON. What goes wrong is in it under ``wrong``, nothing is raised."""
    undisturbed = _calm(scenario.points, scenario.retrain_epochs)
    started, wrong = time.monotonic(), []
    sizes = {**_TINY, "widths": "1,2", "retrain_epochs": scenario.retrain_epochs, "points": scenario.points}
    options = [f"--{name.replace('_', '-')}={value}" for name, value in sizes.items()]
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        storage = Path(folder) / "results"
        storage.mkdir()
        with Hosts(**scenario.variables(storage)) as hosts, Watch(storage / "digits") as watch:
            every = [*options, "--no-early-stopping", *scenario.options]
            stage = Stage(hosts, storage, watch, every, random.Random(seed))
            try:
                scenario.act(stage)
            except Stuck as error:
                wrong.append(str(error))
            said = hosts.output("driver")
        lost = losses(stage.before, watch, scenario.trials)
        states = {name: str(row["status"]) for name, row in watch.rows().items()}
        wrong += [f"lost: {what}" for what in lost]
        for name in sorted(scenario.trials):
            expected = scenario.ends.get(name, "finished")
            if states.get(name) != expected:
                wrong.append(f"{name}: expected {expected}, got {states.get(name)}")
        here, there = (front_of(found, set(scenario.ends)) for found in (watch.experiment, undisturbed))
        same = not wrong and here == there
        if not wrong and not same:
            wrong.append(f"the front is another than that of an undisturbed run: {here} instead of {there}")
        recovery = watch.recovered_after(stage.moment, stage.affected)
        return {
            "seed": seed,
            "seconds": round(time.monotonic() - started, 1),
            "affected": len(stage.affected),
            "recovery_s": None if recovery is None else round(recovery, 2),
            "epochs_repeated": watch.repeated(scenario.trials),
            "losses": len(lost),
            "same_front": same,
            "states": dict(sorted(Counter(states.values()).items())),
            "facts": stage.facts,
            "wrong": wrong,
            **({"output": said[-2000:]} if wrong else {}),
        }
