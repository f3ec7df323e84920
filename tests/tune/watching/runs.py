"""A run told by hand: trials of two epochs of search and three of retraining, their facts, and the ledger that takes them in."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

from litesnn.config import Recipe, SearchPoint
from tune.plan.points import Trial
from tune.running.facts import EpochReported, TrialEnded, TrialLeft, TrialStarted
from tune.storage.objectives import Reference
from tune.storage.store import Experiment
from tune.trials.reasons import Notice
from tune.watching.estimate import Estimate
from tune.watching.ledger import Ledger

RECIPE = Recipe.preset("digits", search_epochs=2, retrain_epochs=3)
REFERENCE = Reference(accuracy=10, size_bits=16_000, bit_synops=6e6)
FIGURES = {"val_accuracy": 75.0, "model_size_bits": 8000, "bit_synops": 3e6, "timesteps": 2, "seconds": 2.0}


def trial(p: float) -> Trial:
    return Trial(point=SearchPoint(lambda1=1.23e-6, lambda2=4.56e-9, p=p), seed=0)


A, B, C = trial(10), trial(20), trial(30)


def ledger(experiment: Experiment, count: int = 3, again: Collection[str] = ()) -> Ledger:
    """Of a further run of the experiment."""
    estimate = Estimate(RECIPE, 2, stopping=False)
    samples, before = {"search": 100, "retrain": 200}, experiment.table()
    return Ledger(RECIPE, before, REFERENCE, estimate, experiment.path, count=count, again=again, samples=samples)


def report(of: Trial, phase: str, epoch: int, *notices: Notice, **changes: Any) -> EpochReported:
    record = {**FIGURES, "phase": phase, "epoch": epoch, "epochs": 2 if phase == "search" else 3, **changes}
    return EpochReported(trial=of, record=record, notices=notices)


class Run:
    """An experiment, and a ledger that is told what its trials do; their folders are written as they write them."""

    def __init__(self, path: Path, count: int = 3, again: Collection[str] = ()) -> None:
        self.experiment = Experiment(path)
        self.ledger = ledger(self.experiment, count, again)

    def start(self, of: Trial) -> TrialStarted:
        self.experiment.trial(of.name).write_start({**of.point.to_dict(), "seed": of.seed}, RECIPE.to_dict())
        self.ledger.tell(fact := TrialStarted(trial=of))
        return fact

    def epochs(self, of: Trial, *epochs: tuple[str, int], **changes: Any) -> None:
        folder = self.experiment.trial(of.name)
        for phase, epoch in epochs:
            fact = report(of, phase, epoch, **changes)
            folder.write_records([r for r in folder.read_records() if r != fact.record] + [fact.record])
            self.ledger.tell(fact)

    def end(self, of: Trial, status: str = "", **figures: Any) -> TrialEnded:
        """By itself, with a result, or with the whole run, without one."""
        if status:
            figures = {"reason": "why"} if status in ("stopped", "failed", "diverged") else {**FIGURES, **figures}
            self.experiment.trial(of.name).write_result(status, **figures)
        self.ledger.tell(TrialLeft(trial=of))
        return self.ended(of)

    def ended(self, of: Trial) -> TrialEnded:
        """What its folder says."""
        fact = TrialEnded(trial=of, row=self.experiment.row(of.name))
        self.ledger.tell(fact)
        return fact
