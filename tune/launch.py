"""Runs the trials of one experiment on the cluster that the program has joined."""

from __future__ import annotations

import os
import signal
import time
import uuid
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ray import tune as ray_tune
from ray.tune import Stopper
from ray.tune.progress_reporter import TrialProgressCallback
from ray.tune.stopper import CombinedStopper
from ray.tune.trainable.function_trainable import wrap_function
from rich.console import Console

from litesnn.config import Recipe
from tune.plan.families import are_families, in_order
from tune.plan.points import Trial
from tune.plan.space import Space
from tune.results.goals import Goals
from tune.running.cluster import resources
from tune.running.halving import Halving
from tune.running.scheduler import ParetoScheduler
from tune.running.searcher import ParetoSearcher
from tune.running.settings import Settings
from tune.running.starts import Starts
from tune.running.waiting import WaitingList
from tune.storage.objectives import Reference
from tune.storage.store import OUTCOMES, Experiment
from tune.trials.shared_data import Arrays
from tune.trials.trial import run_trial
from tune.watching.enough import Enough, TimeBudget
from tune.watching.estimate import Estimate
from tune.watching.events import Events
from tune.watching.ledger import Ledger
from tune.watching.loggers import loggers
from tune.watching.planned import Planned, plans
from tune.watching.watchdog import RETRIES


@dataclass(frozen=True, kw_only=True)
class Launch:
    """Everything that a run needs.

    Args:
        settings: the command's settings.
        recipe: the recipe of all trials.
        experiment: where they write.
        reference: of the hypervolume.
        data: arrays of both phases.
        slots: how many trials the cluster runs at once.
        cpu_instead: whether a trial whose GPU torch cannot use takes a CPU, as nobody has asked for GPUs.
        goals: at which the run ends before all trials are over.
        console: where progress is shown.
    """

    settings: Settings
    recipe: Recipe
    experiment: Experiment
    reference: Reference
    data: dict[str, Arrays]
    slots: int
    cpu_instead: bool
    goals: Goals
    console: Console

    def __getstate__(self) -> dict[str, Any]:
        """Ray writes the searcher, which knows its launch, to disk; neither a screen nor data nor a password belong there."""
        settings = replace(self.settings, optuna_storage="")
        return {**self.__dict__, "settings": settings, "console": None, "data": {}}

    def run(self, trials: list[Trial], parents: dict[str, str]) -> bool:
        """Runs these trials; whether all of them came to an end of their own.

        Args:
            trials: which.
            parents: names of those that start from another one's weights, each with the name of that one.
        """
        names, count = {trial.name for trial in trials}, len(trials)
        if parents:
            ordered = in_order(trials, parents)
            waiting = WaitingList(ordered, parents, lambda trial: self._config(trial, parents.get(trial.name, "")))
            estimate = Planned(plans(trials, parents, self.recipe), self._at_once(count))
            self._fit(count, names, estimate, search_alg=waiting, num_samples=count)
        else:
            configs = [self._config(trial) for trial in trials]
            self._fit(count, names, self._estimate(count), param_space=ray_tune.grid_search(configs))
        return all(self.experiment.trial(trial.name).read_result() is not None for trial in trials)

    def run_searched(self, space: Space) -> bool:
        """Runs points that a sampler chooses from the results so far; returns as ``run``."""
        settings = self.settings
        known: list[Any] = self.experiment.table().sort_values("ended_at", na_position="last").to_dict("records")
        starts = Starts(self.recipe, self.experiment.row, known)
        searcher = ParetoSearcher(
            space,
            count=settings.num_points,
            config=lambda trial: self._config(trial, starts.parent(trial)),
            outcome=self.experiment.row,
            known=known,
            sampler=settings.search,
            seed=settings.seed,
            seeds=settings.seeds,
            storage_url=settings.optuna_storage or None,
            study_name=self.experiment.path.name,
        )
        if searcher.remaining:
            again = {row["trial"] for row in known if row["status"] not in OUTCOMES}
            count = searcher.remaining
            warm = are_families(self.recipe) and space.p[0] == space.p[1]
            self._fit(count, again, self._estimate(count, warm=warm), search_alg=searcher, num_samples=count)
        return searcher.done

    def _config(self, trial: Trial, parent: str = "") -> dict[str, Any]:
        return {
            "trial": trial.name,
            "point": trial.point.to_dict(),
            "seed": trial.seed,
            "parent": parent,
            "recipe": self.recipe.to_dict(),
            "folder": str(self.experiment.trial(trial.name).path),
            "cpu_instead": self.cpu_instead,
        }

    def _estimate(self, count: int, *, warm: bool = False) -> Estimate:
        return Estimate(self.recipe, self._at_once(count), stopping=self.settings.early_stopping, warm=warm)

    def _at_once(self, count: int) -> int:
        return min(self.slots, count)

    def _fit(
        self,
        count: int,
        again: Collection[str],
        estimate: Estimate | Planned,
        *,
        param_space: Any = None,
        **tuning: Any,
    ) -> None:
        settings, before = self.settings, self.experiment.table()
        samples = {phase: len(arrays["train.labels"]) for phase, arrays in self.data.items()}
        folder, reference = self.experiment.path, self.reference
        ledger = Ledger(self.recipe, before, reference, estimate, folder, count=count, again=again, samples=samples)
        events = Events(self.experiment, ledger, settings.trial_timeout_s, self.console)
        ends: list[Stopper] = [Enough(self.goals, ledger)]
        if settings.time_budget_s is not None:
            ends.append(TimeBudget(settings.time_budget_s))
        trainable = ray_tune.with_parameters(run_trial, data=self.data)
        tuner = ray_tune.Tuner(
            _named(ray_tune.with_resources(trainable, resources(settings)), self.experiment.path.name),
            param_space=param_space,
            tune_config=ray_tune.TuneConfig(
                scheduler=self._scheduler(ledger) if settings.early_stopping else None,
                max_concurrent_trials=settings.max_concurrent or None,
                reuse_actors=True,
                trial_name_creator=lambda trial: trial.config["trial"],
                trial_dirname_creator=lambda trial: f"{trial.config['trial']}-{trial.trial_id}",
                **tuning,
            ),
            run_config=ray_tune.RunConfig(
                # A clock that is set back must not lead into the folder of an earlier run.
                name=f"{time.strftime('%Y%m%d-%H%M%S')}-{uuid.uuid4().hex[:6]}",
                stop=CombinedStopper(*ends),
                failure_config=ray_tune.FailureConfig(max_failures=RETRIES),
                callbacks=[_Silent(), events, *loggers(settings.log, self.experiment)],
                verbose=0,
                **self._ray_storage(),
            ),
        )
        with events, _terminated_like_interrupted():
            tuner.fit()
        events.outcomes.settle()

    def _scheduler(self, ledger: Ledger) -> ParetoScheduler:
        settings, recipe = self.settings, self.recipe
        rule = Halving(
            search_epochs=recipe.search_epochs,
            retrain_epochs=recipe.retrain_epochs,
            grace_period=settings.grace_period,
            reduction_factor=settings.reduction_factor,
            noise_margin=settings.noise_margin,
            chance=100 / recipe.classes,
            val_samples=len(self.data["retrain"]["val.labels"]),
        )
        return ParetoScheduler(rule, self.experiment.records, ledger.tell)

    def _ray_storage(self) -> dict[str, Any]:
        """Where Ray keeps its own state and logs of this run: beside the trials, also on an object store."""
        folder = self.experiment.path / "ray"
        if isinstance(folder, Path):
            return {"storage_path": str(folder)}
        from pyarrow.fs import FSSpecHandler, PyFileSystem

        return {"storage_path": folder.path, "storage_filesystem": PyFileSystem(FSSpecHandler(folder.fs))}


class _Silent(TrialProgressCallback):
    """Takes the place of the callback with which Ray prints a line of its own for trials that reported nothing."""

    def on_trial_result(self, *args: Any, **info: Any) -> None:
        """Says nothing."""

    on_trial_error = on_trial_complete = on_trial_result


def _named(function: Any, experiment: str) -> type:
    """The trainable, as an actor that Ray's dashboard shows under a name that says something.

    An actor keeps the name that it starts with; the trials that it runs later are told by its title and its log.
    """

    class ImplicitFunc(wrap_function(function)):  # type: ignore[misc]
        def __repr__(self) -> str:
            return f"{experiment} from {self.config['trial']} on"

    ImplicitFunc.__qualname__ = "ImplicitFunc"  # what Ray's dashboard shows as its class
    return ImplicitFunc


@contextmanager
def _terminated_like_interrupted() -> Iterator[None]:
    """A stopped job gets SIGTERM, and ends in order as at Ctrl-C."""
    before = signal.signal(signal.SIGTERM, lambda number, frame: os.kill(os.getpid(), signal.SIGINT))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
