"""The state of a run: one object takes in the facts, and the live table, metrics, watchdog and outcomes read from it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any

import pandas as pd

from litesnn.config import Recipe
from tune.plan.points import Trial
from tune.results.front import front, hypervolume
from tune.running import facts
from tune.storage.objectives import Reference
from tune.storage.paths import StoragePath
from tune.storage.rows import COLUMNS, FINISHED, STOPPED, UNFINISHED
from tune.trials.reasons import Hung, Reason, Stopped, StorageDelayed, sentence
from tune.watching.estimate import Estimate
from tune.watching.planned import Planned
from tune.watching.trial_state import (
    INTERRUPTED,
    PHASES,
    RUNNING,
    STARTING,
    STATES,
    WAITING,
    TrialState,
    count_of,
    epochs_of,
    outcome_of,
    point_of,
    state_of,
)


class Ledger:
    """Takes in the facts of one ``Tuner.fit``.

    Args:
        recipe: of all trials.
        before: the table of the experiment's trials so far.
        reference: of the hypervolume.
        estimate: of the time that is left.
        folder: of the experiment.
        count: how many trials are to come.
        again: trials of ``before`` that are among them.
        samples: training samples of an epoch, by phase.

    Attributes:
        trials: all of the experiment, by name.
        rows: their rows of the table, by name, as they were before this run or when they ended in it.
        ended: names of the trials that have ended in this run.
        owed: trials whose outcome the driver has yet to write, and why they ended, by name.
        front: as of ``tune.results.front``; ``volumes`` are its hypervolumes, at first and after each trial that ended.
        seconds: durations of this run's epochs, by phase.
        clock: seconds in which the driver looked for reports.
    """

    def __init__(
        self,
        recipe: Recipe,
        before: pd.DataFrame,
        reference: Reference,
        estimate: Estimate | Planned,
        folder: StoragePath,
        *,
        count: int,
        again: Collection[str] = (),
        samples: Mapping[str, int] | None = None,
    ) -> None:
        self.recipe, self.reference, self.estimate, self.folder = recipe, reference, estimate, folder
        self.to_come, self.samples = count, samples or dict.fromkeys(PHASES, 0)
        self.rows: dict[str, Any] = {str(row["trial"]): row for row in before.to_dict("records")}
        self.trials = {
            name: TrialState(state=WAITING if name in again else state_of(row), epochs=epochs_of(row))
            for name, row in self.rows.items()
        }
        self.ended: set[str] = set()
        self.owed: dict[str, tuple[Trial, Reason]] = {}
        self.front, self.volumes = front(before), [hypervolume(before, reference)]
        self.seconds: dict[str, list[float]] = {phase: [] for phase in PHASES}
        self.restarts = self.failures = self.storage_errors = 0
        self.clock, self.over = 0.0, False
        self.began = self.last_report = time.time()  # for people and Prometheus; nothing is decided by it

    def tell(self, fact: facts.AnyFact) -> None:
        """Takes in what has happened."""
        match fact:
            case facts.TrialStarted():
                state = self.of(fact.trial.name)
                state.state, state.phase, state.heard, state.reason = RUNNING, STARTING, self.clock, None
                state.record = {**state.record, **point_of(fact.trial)}
                self.ended.discard(fact.trial.name)
            case facts.EpochReported():
                self._report(fact)
            case facts.TrialJudged():
                self.of(fact.name).reason = fact.stopped
            case facts.TrialHung():
                state = self.of(fact.trial.name)
                state.heard, state.reason = None, fact.reason
            case facts.AttemptBroke():
                self._break(fact)
            case facts.TrialLeft():
                if isinstance(reason := self.of(fact.trial.name).reason, Stopped):
                    self.owed[fact.trial.name] = fact.trial, reason
            case facts.OutcomeWritten():
                self.owed.pop(fact.trial.name, None)
            case facts.TrialEnded():
                self._end(fact)
            case facts.TimePassed():
                self.clock += fact.seconds
            case facts.RunOver():
                self.over = True
                for state in self.trials.values():
                    if state.state in (WAITING, RUNNING):
                        state.state, state.phase, state.heard = INTERRUPTED, "", None

    def of(self, name: str) -> TrialState:
        """How a trial stands, also one that nothing is known of yet."""
        return self.trials.setdefault(name, TrialState())

    def is_new(self, fact: facts.EpochReported) -> bool:
        """Whether a trial had not come as far before."""
        return int(fact.record["epoch"]) > self.of(fact.trial.name).epochs[fact.record["phase"]]

    @property
    def running(self) -> dict[str, TrialState]:
        """The trials at work, by name."""
        return {name: state for name, state in self.trials.items() if state.state == RUNNING}

    @property
    def states(self) -> dict[str, int]:
        """How many trials are in each of ``STATES``; those that nobody has named yet are waiting."""
        counts = Counter(state.state for state in self.trials.values())
        waiting = 0 if self.over else max(0, self.to_come - len(self.ended) - counts[RUNNING])
        return {**{state: counts[state] for state in STATES}, WAITING: waiting}

    @property
    def volume(self) -> float:
        """Hypervolume of the front."""
        return self.volumes[-1]

    def saved(self, names: Collection[str]) -> int:
        """Epochs that those of these trials that were stopped early would still have had."""
        stopped = [self.rows[name] for name in names if self.trials[name].state == STOPPED]
        whole, passed = self.recipe.search_epochs + self.recipe.retrain_epochs, {"retrain": self.recipe.search_epochs}
        return sum(max(0, whole - passed.get(row["phase"], 0) - count_of(row["epoch"])) for row in stopped)

    def table(self) -> pd.DataFrame:
        """The rows as a table."""
        return pd.DataFrame(list(self.rows.values()), columns=COLUMNS)

    def _report(self, fact: facts.EpochReported) -> None:
        state, record, phase = self.of(fact.trial.name), fact.record, fact.record["phase"]
        self.last_report = time.time()
        self.storage_errors += sum(isinstance(notice, StorageDelayed) for notice in fact.notices)
        if self.is_new(fact):
            state.epochs[phase] = int(record["epoch"])
            self.seconds[phase].append(float(record["seconds"]))
            self.estimate.epoch(fact.trial.name, phase, float(record["seconds"]))
        state.record, state.phase, state.heard = {**record, **point_of(fact.trial)}, phase, self.clock

    def _break(self, fact: facts.AttemptBroke) -> None:
        state, name = self.of(fact.trial.name), fact.trial.name
        state.state, state.phase, state.heard = WAITING, "", None
        state.reason = state.reason if isinstance(state.reason, Hung) else fact.reason
        self.storage_errors += fact.reason.of_storage
        if fact.last:
            self.failures += 1
            self.owed[name] = fact.trial, state.reason
        else:
            self.restarts += 1

    def _end(self, fact: facts.TrialEnded) -> None:
        name = fact.trial.name
        row = {**dict.fromkeys(COLUMNS), "trial": name, "status": UNFINISHED, **(fact.row or {})}
        if name in self.owed:  # the storage does not have it yet
            reason = self.owed[name][1]
            row |= {"status": outcome_of(reason), "reason": sentence(reason)}
        state = self.of(name)
        state.state, state.phase, state.heard = state_of(row), "", None
        if name not in self.ended:
            self.ended.add(name)
            self.estimate.end(name, float(row["seconds"] or 0))
        self.rows[name] = row
        if row["status"] == FINISHED:  # of what was not on the front nothing can come to be
            kept = self.front[self.front["trial"] != name].to_dict("records")
            table = pd.DataFrame([*kept, row], columns=COLUMNS)
            self.front, volume = front(table), hypervolume(table, self.reference)
        self.volumes.append(volume if row["status"] == FINISHED else self.volume)
