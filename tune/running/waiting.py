"""A list of trials for Ray Tune in which some wait for others, from whose weights they start."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ray.tune.search import Searcher

from tune.plan.points import Trial


class WaitingList(Searcher):
    """Hands out each trial once the one that it starts from is over, whatever came of that.

    Args:
        trials: in the order in which they are wanted; none comes before its parent.
        parents: names of those that wait, each with the name of the one that it waits for; ones outside of ``trials`` are over.
        config: makes Ray's configuration of a trial.
    """

    def __init__(
        self, trials: Sequence[Trial], parents: dict[str, str], config: Callable[[Trial], dict[str, Any]]
    ) -> None:
        super().__init__()
        self.parents, self._config = parents, config
        self._waiting = list(trials)
        self._open = {trial.name for trial in trials}
        self._live: dict[str, str] = {}  # by Ray's trial_id

    def suggest(self, trial_id: str) -> Any:
        """The configuration of the first trial that need not wait; None while all must; ``Searcher.FINISHED`` at the end."""
        for index, trial in enumerate(self._waiting):
            if self.parents.get(trial.name) not in self._open:
                self._live[trial_id] = self._waiting.pop(index).name
                return self._config(trial)
        return None if self._waiting else Searcher.FINISHED

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """A trial is over."""
        self._open.discard(self._live.pop(trial_id, ""))

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: a repeated command makes a new list."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore."""
