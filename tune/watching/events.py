"""The one place where Ray's events become facts: the ledger takes them in, then whoever reads from it may act."""

from __future__ import annotations

import pickle
from contextlib import suppress
from pathlib import Path
from typing import Any

from ray.exceptions import RayTaskError
from ray.tune import Callback
from rich.console import Console

from litesnn.files import StorageError
from tune.running import facts
from tune.running.cluster import last_line
from tune.running.facts import trial_of
from tune.storage.store import Experiment
from tune.trials.reasons import Broken, from_plain, sentence
from tune.watching.ledger import Ledger
from tune.watching.live import LiveTable
from tune.watching.metrics_ray import Metrics
from tune.watching.outcomes import Outcomes
from tune.watching.watchdog import Watchdog


class Events(Callback):
    """Follows a ``Tuner.fit``; stands before Ray's own loggers, which are given notices as a sentence.

    Args:
        experiment: where the row of a trial is read when it is over.
        ledger: takes in the facts; live table, metrics, watchdog and outcomes read from it.
        limit_s: seconds without a report after which a trial hangs; None: however long.
        console: where progress is shown.
    """

    def __init__(self, experiment: Experiment, ledger: Ledger, limit_s: float | None, console: Console) -> None:
        self.experiment, self.ledger = experiment, ledger
        self.live, self.metrics = LiveTable(ledger, console), Metrics(ledger)
        self.outcomes, self.watchdog = Outcomes(experiment, ledger), Watchdog(limit_s, ledger)

    def __getstate__(self) -> dict[str, Any]:
        """Ray writes its callbacks to disk beside the trials; a screen and the numbers of this run do not belong there."""
        return {}

    def __enter__(self) -> Events:
        """Says how things stand before the first trial."""
        self.metrics.say()
        self.live.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Nothing runs or waits any more; what was running without coming to an end was interrupted."""
        self.live.stop()
        self.ledger.tell(facts.RunOver())
        self.metrics.say()

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial got its resources."""
        self._tell(facts.TrialStarted(trial=trial_of(trial.config)))

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """A trial finished an epoch; if it had not come as far before, earlier deaths are forgiven."""
        notices = tuple(from_plain(values) for values in result.pop("notices", ()))
        result["notice"] = "; ".join(map(sentence, notices))
        if "phase" not in result:
            return
        fact = facts.EpochReported(trial=trial_of(trial.config), record=result, notices=notices)
        if self.ledger.is_new(fact):
            trial.run_metadata.num_failures = 0
        self._tell(fact)

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """An attempt broke off; another one follows."""
        self._tell(facts.AttemptBroke(trial=trial_of(trial.config), reason=broken(trial)))

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial failed for good: it hung, its process or node died too often in a row, or it raised."""
        self._end(facts.AttemptBroke(trial=trial_of(trial.config), reason=broken(trial), last=True))

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial ended by itself, by the scheduler, or with the whole run."""
        self._end(facts.TrialLeft(trial=trial_of(trial.config)))

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """The driver has looked for reports."""
        self.watchdog.look(trials)
        self.outcomes.try_again()
        self.metrics.repeat()

    def _end(self, fact: facts.Fact) -> None:
        self._tell(fact)
        self.outcomes.write(fact.trial.name)
        self._tell(facts.TrialEnded(trial=fact.trial, row=self.experiment.row(fact.trial.name)))

    def _tell(self, fact: facts.Fact) -> None:
        self.ledger.tell(fact)
        self.live.show(fact)


def broken(trial: Any) -> Broken:
    """Why an attempt broke off: what Ray wrote down on this host; the whole text goes to the run's folder in ``ray/``."""
    line, cause = "unknown", None
    with suppress(OSError, TypeError):
        line = last_line(Path(trial.error_file).read_text(encoding="utf-8", errors="replace"))
    with suppress(Exception):  # what was pickled elsewhere may be anything
        error = pickle.loads(Path(trial.pickled_error_file).read_bytes())
        cause = error.cause if isinstance(error, RayTaskError) else None
    return Broken(error=line, of_storage=isinstance(cause, OSError | StorageError))
