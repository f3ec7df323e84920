"""How long a run still takes: from the epochs so far and, for what nobody has seen yet, from the work that it is."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median
from typing import Any

from litesnn.config import Recipe
from litesnn.genotype import cell_edges
from litesnn.layout import conv_shapes

KEPT_SHARE = 0.55
"""Of all epochs, what early stopping lets run: 0.49, 0.57 and 0.67 in runs of the digits preset."""

_WARM_UP = 60.0
"""Seconds from which on a process's first epoch is a measure: before, it may have waited for a compiler most of the time."""

_PRIOR_TRIALS = 2  # as much as so many trials that ended counts what was expected beforehand


class Warming:
    """Tells measures from the first epochs of processes, which may have waited for a compiler.

    Args:
        processes: whose first epoch is still to come.
    """

    def __init__(self, processes: int) -> None:
        self._left = processes

    def measures(self, seconds: float) -> bool:
        """Whether an epoch that took so long says what others take."""
        self._left -= 1
        return self._left < 0 or seconds >= _WARM_UP


class Estimate:
    """Seconds that a run still takes whose searches choose what its trials do.

    Args:
        recipe: of its trials.
        slots: how many of them run at once.
        stopping: whether trials are stopped early.
        warm: whether most trials start from the weights of others; ``stopping`` makes no difference then.
    """

    def __init__(self, recipe: Recipe, slots: int, *, stopping: bool, warm: bool = False) -> None:
        self.epochs = {"search": recipe.all_epochs - recipe.retrain_epochs, "retrain": recipe.retrain_epochs}
        self.slots, self.share = max(1, slots), KEPT_SHARE if stopping else 1.0
        self.warm = warm
        if warm:
            self.share = recipe.warm_epochs / recipe.retrain_epochs
        self.ratio = work_ratio(recipe)
        self._warming = Warming(self.slots)
        self._seconds: dict[str, list[float]] = {"search": [], "retrain": []}
        self._spent: list[float] = []

    def epoch(self, trial: str, phase: str, seconds: float) -> None:
        """An epoch of some trial is over."""
        if self._warming.measures(seconds):
            self._seconds[phase].append(seconds)

    def end(self, trial: str, seconds: float) -> None:
        """A trial is over that took so many seconds in all."""
        self._spent.append(seconds)

    def remaining(self, waiting: int, running: Mapping[str, Mapping[str, Any]]) -> float | None:
        """Seconds until the end; None before the first epoch that is a measure.

        Args:
            waiting: trials that have not started.
            running: of each that runs the last record (``phase``, ``epoch``, ``epochs``), or none of them before its
                first; by name.
        """
        # The median: epochs differ with T and with what else the machine does.
        known = {phase: median(seconds) for phase, seconds in self._seconds.items() if seconds}
        if not known:
            return None
        search = known["search"] if "search" in known else known["retrain"] / self.ratio
        retrain = known["retrain"] if "retrain" in known else known["search"] * self.ratio
        cost = {"search": search * self.epochs["search"], "retrain": retrain * self.epochs["retrain"]}
        full = sum(cost.values())
        expected = full * self.share
        typical = min(full, (_PRIOR_TRIALS * expected + sum(self._spent)) / (_PRIOR_TRIALS + len(self._spent)))
        left = waiting * typical
        for last in running.values():
            if self.warm:  # a record says how many epochs its trial has
                left += retrain * (last["epochs"] - last["epoch"]) if "epochs" in last else typical
                continue
            phase = last.get("phase", "search")
            spent = cost[phase] * last.get("epoch", 0) / max(1, self.epochs[phase]) + (
                cost["search"] if phase == "retrain" else 0
            )
            left += full - spent if self.share == 1 else max(typical - spent, (full - spent) / 2)
        return left / self.slots


def work_ratio(recipe: Recipe) -> float:
    """Work of an epoch of retraining over that of an epoch of search, at equal T.

    A search passes its data twice through all operations at ``search_channels``, a retraining once through two of the
    largest ones per node at ``retrain_channels``.
    """
    searched = conv_shapes(recipe, recipe.search_channels, recipe.searched_classes, None)
    of_search = sum(layer.weights * layer.positions for layer in searched)
    kept = 2 * recipe.nodes / len(cell_edges(recipe.nodes))  # of its edges a node keeps two
    largest: dict[tuple[int | None, int | None, str], float] = {}
    for layer in conv_shapes(recipe, recipe.retrain_channels, recipe.classes, None):
        place = layer.cell, layer.edge, layer.name if layer.edge is None else ""
        work = layer.weights * layer.positions * (1.0 if layer.edge is None else kept)
        largest[place] = max(work, largest.get(place, 0.0))
    return sum(largest.values()) / (2 * of_search)
