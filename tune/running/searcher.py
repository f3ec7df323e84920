"""An Optuna study as a searcher of Ray Tune: points chosen from the results of finished trials.

Ray's own ``OptunaSearch`` is not used: it tells Optuna that a trial which was stopped early is complete, with the figures
of its last report, and its state is a pickle of one run. Here the study is told what the trials' folders say, and everything
that must survive is in those folders, so the same command continues the search.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from optuna.trial import FrozenTrial, TrialState
from ray.tune.search import Searcher

from litesnn.checks import check_integer
from litesnn.config import SearchPoint
from tune.plan.points import Trial, point_in
from tune.plan.space import NAMES, Space, sobol
from tune.plan.study import NAME, add_running, ask, open_study, point_of
from tune.storage.objectives import ACCURACY, BIT_SYNOPS, SIZE
from tune.storage.store import FAILED, FINISHED, OUTCOMES, STOPPED

_TRIES = 10  # of a sampler that repeats itself

Row = Mapping[str, Any]


@dataclass(kw_only=True)
class _Candidate:
    """A point on its way: the seeds still to be handed out, and all its trials; ``number`` is its trial in the study."""

    point: SearchPoint
    number: int | None
    waiting: list[int]
    trials: list[str] = field(default_factory=list)
    running: set[str] = field(default_factory=set)
    broken: set[str] = field(default_factory=set)


class ParetoSearcher(Searcher):
    """Suggests points to Ray Tune that promise a better front of accuracy, model size and Bit-SynOps.

    A finished trial is told with its validation accuracy and the logarithms of its size and Bit-SynOps; a stopped one is
    noted as pruned, a diverged or failed one as failed, both without figures. With several seeds, each point is run with
    all of them one after the other and told the mean of those that finished.

    Its state follows from ``known`` alone: points that are over are put into the study, points with unfinished or failed
    trials are run again first, and only then new ones are asked for, until there are ``count`` points in all. A study in a
    storage is matched with ``known`` by the trials' names: nothing is put in twice, and trials that it believes to be running
    are told their outcome or run again. One command at a time may use a study. After each resume the sampler draws other
    random numbers, given by seed and number of known trials.

    Args:
        space: where to search. Known points outside of it count but do not teach.
        count: how many points there shall be in all, the known ones included.
        config: makes Ray's configuration of a trial.
        outcome: row of a trial by its name with ``status`` and the three objectives; None while there is none.
        known: rows of all trials so far (``trial``, ``status``, ``lambda1``, ``lambda2``, ``p``, ``seed`` and the
            objectives), in the order in which they ended.
        sampler: see ``tune.plan.study.make_sampler``.
        seed: first seed of every point, and the sampler's.
        seeds: how many seeds each point is run with.
        storage_url: where the study is kept, see ``tune.plan.study.open_storage``; None keeps it in memory.
        study_name: its name there.

    Raises:
        InputError: a count below 1, an unfit sampler, a bad storage.
    """

    def __init__(
        self,
        space: Space,
        *,
        count: int,
        config: Callable[[Trial], dict[str, Any]],
        outcome: Callable[[str], Row | None],
        known: Iterable[Row] = (),
        sampler: str = "tpe",
        seed: int = 0,
        seeds: int = 1,
        storage_url: str | None = None,
        study_name: str = "litesnn",
    ) -> None:
        super().__init__()
        check_integer("num-points", count, minimum=1)
        check_integer("seeds", seeds, minimum=1)
        self.space = space
        self._seeds = [seed + i for i in range(seeds)]
        self._config, self._outcome = config, outcome
        self._left = count  # points still to be chosen
        self._open: list[_Candidate] = []
        self._live: dict[str, tuple[_Candidate, str]] = {}  # by Ray's trial_id
        rows = list(known)
        points = _by_point(rows)
        self._tried = {str(row["trial"]).rpartition("-seed_")[0] for row in rows} | set(points)
        self.study = open_study(space, sampler, (seed, len(rows)), storage_url, study_name)
        self._take_up(points)

    @property
    def remaining(self) -> int:
        """How many trials are still to be handed out: Ray's ``num_samples``."""
        return sum(len(candidate.waiting) for candidate in self._open) + self._left * len(self._seeds)

    @property
    def done(self) -> bool:
        """Whether all its points are over; trials of the experiment that it never took up do not count."""
        self.settle()
        return not self.remaining and not self._open

    def suggest(self, trial_id: str) -> Any:
        """The next trial's configuration; the text ``Searcher.FINISHED`` once there are enough points."""
        self.settle()
        candidate = next((candidate for candidate in self._open if candidate.waiting), None)
        if candidate is None and self._left > 0:
            candidate = self._next()
        if candidate is None:
            return Searcher.FINISHED
        trial = Trial(point=candidate.point, seed=candidate.waiting.pop(0))
        if trial.name not in candidate.trials:
            candidate.trials.append(trial.name)
        candidate.running.add(trial.name)
        self._live[trial_id] = candidate, trial.name
        return self._config(trial)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """A trial is over; what came of it is read from its folder, never from Ray's last report."""
        if trial_id not in self._live:
            return
        candidate, name = self._live.pop(trial_id)
        candidate.running.discard(name)
        if error:
            candidate.broken.add(name)
        self.settle()

    def settle(self) -> None:
        """Tells the study about points whose trials are all over.

        A trial may leave Ray before its outcome is on disk: it is looked at again at the next suggestion, and whenever
        this is called.
        """
        for candidate in list(self._open):
            if candidate.waiting or candidate.running:
                continue
            rows = [self._row(candidate, name) for name in candidate.trials]
            if all(row.get("status") in (*OUTCOMES, FAILED) for row in rows):
                self._open.remove(candidate)
                self._tell(candidate.number, rows)

    def __getstate__(self) -> dict[str, Any]:
        """Ray writes its searcher to disk beside the trials; the study is not needed there and may know a password."""
        return {**self.__dict__, "study": None}

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: the state is in the trials' folders."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore."""

    def _row(self, candidate: _Candidate, name: str) -> Row:
        row = self._outcome(name) or {}
        return {"status": FAILED} if name in candidate.broken and row.get("status") not in OUTCOMES else row

    def _tell(self, number: int | None, rows: list[Row]) -> None:
        if number is not None:
            state, values = _verdict(rows)
            self.study.tell(number, values, state)

    def _next(self) -> _Candidate | None:
        """A point that has not been tried, from the sampler; None if the space has no more."""
        for _ in range(_TRIES):
            asked, point = ask(self.study, self.space)
            trial = Trial(point=point, seed=self._seeds[0])
            if trial.point_name not in self._tried:
                asked.set_user_attr(NAME, trial.name)
                return self._admit(point, asked.number, list(self._seeds))
            asked.set_user_attr("repeats", trial.name)
            self.study.tell(asked, state=TrialState.FAIL)
        for point in sobol(self.space, self._seeds[0]):
            if Trial(point=point, seed=0).point_name not in self._tried:
                return self._admit(point, self._add(point), list(self._seeds))
        self._left = 0
        return None

    def _admit(self, point: SearchPoint, number: int | None, seeds: list[int]) -> _Candidate:
        candidate = _Candidate(point=point, number=number, waiting=seeds)
        self._tried.add(Trial(point=point, seed=0).point_name)
        self._open.append(candidate)
        self._left -= 1
        return candidate

    def _add(self, point: SearchPoint) -> int | None:
        """A new running trial of the study; None for a point that the study cannot hold."""
        if not self.space.contains(point):
            return None
        return add_running(self.study, self.space, point, Trial(point=point, seed=self._seeds[0]).name)

    def _take_up(self, points: dict[str, list[Row]]) -> None:
        """Brings the known points and the study together."""
        noted = self._noted()
        self._tried |= set(noted)
        again: list[tuple[str, list[int]]] = []
        for name, rows in points.items():
            seeds = self._seeds_to_run(rows)
            if seeds:
                again.append((name, seeds))
            else:
                self._left -= 1
                self._note(rows, noted.pop(name, None))
        for name, seeds in again:
            rows, trial = points[name], noted.pop(name, None)
            if self._left > 0:
                number = (
                    self._add(point_in(rows[0])) if trial is None or trial.state == TrialState.FAIL else trial.number
                )
                told = trial is not None and trial.state in (TrialState.COMPLETE, TrialState.PRUNED)
                candidate = self._admit(point_in(rows[0]), None if told else number, seeds)
                candidate.trials = [str(row["trial"]) for row in rows]
        for trial in noted.values():
            if self._left > 0 and trial.state == TrialState.RUNNING:  # chosen, but ended before it had a folder
                self._admit(point_of(trial.params), trial.number, list(self._seeds))
        self._left = max(0, self._left)

    def _noted(self) -> dict[str, FrozenTrial]:
        """Trials of the study by their point, one each; running ones that nothing can be told about are ended."""
        order = [TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING, TrialState.FAIL]
        noted: dict[str, FrozenTrial] = {}
        trials = [trial for trial in self.study.get_trials() if trial.state in order]
        for trial in sorted(trials, key=lambda trial: order.index(trial.state)):
            name = trial.user_attrs.get(NAME, "").rpartition("-seed_")[0]
            if name and name not in noted:
                noted[name] = trial
            elif trial.state == TrialState.RUNNING:
                self.study.tell(trial.number, state=TrialState.FAIL)
        return noted

    def _note(self, rows: list[Row], trial: FrozenTrial | None) -> None:
        """Tells the study about a point that is over, unless it knows."""
        if trial is not None and trial.state == TrialState.RUNNING:
            self._tell(trial.number, rows)
        elif trial is None or (trial.state == TrialState.FAIL and _verdict(rows)[0] != TrialState.FAIL):
            self._tell(self._add(point_in(rows[0])), rows)

    def _seeds_to_run(self, rows: list[Row]) -> list[int]:
        """Of a known point: its trials that are not over, and those of our seeds that it has not had.

        A point that has none of our seeds was run with another ``--seed`` and is left as it is.
        """
        had = {int(row["seed"]) for row in rows}
        again = {int(row["seed"]) for row in rows if row["status"] not in OUTCOMES}
        return sorted(again | (set(self._seeds) - had if had & set(self._seeds) else set()))


def _by_point(rows: list[Row]) -> dict[str, list[Row]]:
    """Rows by the name of their point; a damaged trial that has lost its point is left out."""
    points: dict[str, list[Row]] = {}
    for row in rows:
        if all(isinstance(row[name], int | float) and math.isfinite(row[name]) for name in (*NAMES, "seed")):
            points.setdefault(Trial(point=point_in(row), seed=0).point_name, []).append(row)
    return points


def _verdict(rows: list[Row]) -> tuple[TrialState, list[float] | None]:
    """What the study is told about a point: the mean over the seeds that finished."""
    figures = [_figures(row) for row in rows if row["status"] == FINISHED]
    figures = [values for values in figures if all(map(math.isfinite, values))]
    if figures:
        return TrialState.COMPLETE, [sum(column) / len(figures) for column in zip(*figures, strict=True)]
    return (TrialState.PRUNED if any(row["status"] == STOPPED for row in rows) else TrialState.FAIL), None


def _figures(row: Row) -> list[float]:
    return [float(row[ACCURACY]), *(math.log10(max(float(row[name]), 1.0)) for name in (SIZE, BIT_SYNOPS))]
