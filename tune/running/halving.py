"""Asynchronous successive halving for accuracy, model size and Bit-SynOps: the rule alone, on NumPy and moocore.

A trial that reaches a rung leaves an entry there and is judged at once against the entries that came before it, also
those of trials that have been stopped since. Nobody waits and nobody is called back. `docs/early-stopping.md` says why
the rule is as it is and what it was measured to do.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import moocore
import numpy as np

from litesnn.checks import check_integer, check_number
from tune.storage.objectives import Z, accuracy_variance

Rung = tuple[str, int]
"""Phase and milestone, the epoch of that phase at which entries are taken: ``("search", 4)``."""

Entry = tuple[float, float, float]
"""Accuracy in percent, model size in bits, Bit-SynOps: in the search what decoding now would give."""

_BEYOND = 1.1  # reference of the normalised costs: the dearest entry keeps a tenth of the axis to itself


@dataclass(frozen=True, kw_only=True)
class Halving:
    """Settings of the rule.

    Args:
        search_epochs: length of the search.
        retrain_epochs: length of the retraining.
        chance: accuracy of guessing, in percent.
        grace_period: no rung but the gate stands before this epoch of a phase.
        reduction_factor: the rungs of a phase stand at its end divided by this, by its square and so on, as far as ``earliest``
            allows; and of a full rung at most one in so many goes on.
        noise_margin: points of accuracy that an entry may owe to its seed; they are credited to the one that is judged.
        catch_up: share of its distance to the best accuracy of the rung that the judged entry is credited with besides,
            because it may still make it up: small networks learn later.
        floor: entries below this share of the way from chance to the rung's best accuracy are useless.
        least_loss: share of the front's hypervolume that must be lost without an entry for it to go on.
        full_rung: entries from which on a rung is full.
        quorum: entries, with the one that is judged, below which nobody is stopped.
        val_samples: images or clips that accuracies are measured on; 0: accuracies are exact.
        ties: standard deviations of the difference of two accuracies within which they may be the same.
        keep_largest: whether the largest goes on as the smallest does: large networks learn late.
        earliest: share of a phase before which no rung stands: costs and accuracies are not yet those of the end.

    Raises:
        InputError: a value is outside its range.
    """

    search_epochs: int
    retrain_epochs: int
    chance: float
    grace_period: int = 2
    reduction_factor: float = 2.0
    noise_margin: float = 1.0
    catch_up: float = 0.3
    floor: float = 0.25
    least_loss: float = 0.003
    full_rung: int = 20
    quorum: int = 4
    val_samples: int = 0
    ties: float = Z
    keep_largest: bool = True
    earliest: float = 0.5

    def __post_init__(self) -> None:
        check_integer("search_epochs", self.search_epochs, minimum=1)
        check_integer("retrain_epochs", self.retrain_epochs, minimum=1)
        check_number("chance", self.chance, minimum=0, below=100)
        check_integer("grace_period", self.grace_period, minimum=1)
        check_number("reduction_factor", self.reduction_factor, minimum=1.1)
        check_number("noise_margin", self.noise_margin, minimum=0, below=100)
        check_number("catch_up", self.catch_up, minimum=0, maximum=1)
        check_number("floor", self.floor, minimum=0, below=1)
        check_number("least_loss", self.least_loss, above=0, below=1)
        check_integer("full_rung", self.full_rung, minimum=1)
        check_integer("quorum", self.quorum, minimum=1)
        check_integer("val_samples", self.val_samples, minimum=0)
        check_number("ties", self.ties, minimum=0)
        check_number("earliest", self.earliest, above=0, maximum=1)

    @property
    def rungs(self) -> tuple[Rung, ...]:
        """All rungs in the order in which a trial meets them; the search's last epoch is the gate to retraining.

        With 8 and 15 epochs and the defaults: search 4, 8 (the gate), retrain 8.
        """
        search = {self.search_epochs, *self._below(self.search_epochs)}
        retrain = self._below(self.retrain_epochs) - {self.retrain_epochs}  # nothing is left to be saved there
        return (*(("search", epoch) for epoch in sorted(search)), *(("retrain", epoch) for epoch in sorted(retrain)))

    def _below(self, epochs: int) -> set[int]:
        count = int(math.log(1 / self.earliest) / math.log(self.reduction_factor) + 1e-9)
        shares = [self.reduction_factor**-k for k in range(1, count + 1)] or [self.earliest]
        return {epoch for epoch in (math.ceil(share * epochs) for share in shares) if epoch >= self.grace_period}


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What the rule says of an entry.

    Args:
        goes_on: whether its trial may.
        rank: its place in the rung, from 1; equally good entries share one.
        of: entries in the rung.
    """

    goes_on: bool
    rank: int
    of: int


class Rungs:
    """The entries of all rungs; ``entries[rung][trial]``. They are never compared across rungs.

    Args:
        settings: of the rule.
    """

    def __init__(self, settings: Halving) -> None:
        self.settings = settings
        self.entries: dict[Rung, dict[str, Entry]] = {rung: {} for rung in settings.rungs}

    def record(self, rung: Rung, trial: str, entry: Entry) -> None:
        """Leaves an entry; a trial's first one on a rung stays, and one that is not finite is not taken."""
        if all(map(math.isfinite, entry)):
            self.entries[rung].setdefault(trial, entry)

    def judge(self, rung: Rung, trial: str) -> Verdict:
        """Judges a trial by its entry on a rung; without one, its figures were not finite and it ends there.

        Other seeds of the same point are left out: they are meant to be alike, and would dominate each other. In the search
        so are its other widths, of which the search knows nothing.
        """
        point = _point(trial, rung[0])
        rivals = {name: e for name, e in self.entries[rung].items() if name == trial or _point(name, rung[0]) != point}
        return judge(rivals, trial, self.settings, last=rung == self.settings.rungs[-1])


def judge(entries: Mapping[str, Entry], trial: str, settings: Halving, *, last: bool = True) -> Verdict:
    """Says whether a trial goes on from a rung.

    On a rung with fewer entries than ``quorum`` everyone does. On others the smallest, the cheapest and the largest do, and one that may
    be the most accurate; on the last rung if they are not below the floor. Another one does if it is not below the floor, no
    entry dominates it, the front would lose ``least_loss`` of its hypervolume without it, and, on a full rung, it is among
    the best by (non-dominated rank, loss). The floor is asked with the credit for noise, the rest with that for noise and
    catching up.

    Args:
        entries: of one rung, by trial, in any order.
        trial: who is judged.
        settings: of the rule.
        last: whether it is the last rung.
    """
    count = len(entries)
    if trial not in entries:
        return Verdict(goes_on=False, rank=count + 1, of=count + 1)
    if count < settings.quorum:
        return Verdict(goes_on=True, rank=1, of=count)
    values = np.array([entries[trial], *(entry for other, entry in entries.items() if other != trial)])  # [N, 3]
    accuracy, best = values[:, 0], values[:, 0].max()
    if accuracy[0] == best and not _dominated(values):
        return Verdict(goes_on=True, rank=1, of=count)
    floor = min(best, settings.chance + settings.floor * max(0.0, best - settings.chance))
    useful = accuracy + settings.noise_margin >= floor
    if not useful[0]:
        goes_on = not last and _is_an_end(values, settings)
        return Verdict(goes_on=goes_on, rank=1 + int((accuracy > accuracy[0]).sum()), of=count)
    end = _is_an_end(values[useful], settings) or _may_be_the_best(values, settings)
    credit = settings.noise_margin + settings.catch_up * (best - accuracy[0])
    values[0, 0] = min(best, accuracy[0] + credit)
    depth, loss = ranking(normalised(values[useful], floor))
    rank = 1 + int(((depth < depth[0]) | ((depth == depth[0]) & (loss > loss[0]))).sum())
    room = math.ceil(count / settings.reduction_factor) if count >= settings.full_rung else count
    adds = depth[0] == 0 and loss[0] >= settings.least_loss and rank <= room
    return Verdict(goes_on=bool(end or adds), rank=rank, of=count)


def _is_an_end(values: np.ndarray, settings: Halving) -> bool:
    """Whether the first of ``values`` ``[N, 3]`` is the smallest, the cheapest or the largest."""
    costs, others = values[0, 1:], values[1:, 1:]
    largest = settings.keep_largest and costs[0] >= others[:, 0].max(initial=-np.inf)
    return bool(largest or (costs < others.min(axis=0, initial=np.inf)).any())


def _may_be_the_best(values: np.ndarray, settings: Halving) -> bool:
    """Whether the first of ``values`` ``[N, 3]`` is the most accurate one, or no less accurate than chance explains."""
    gap, samples = values[1:, 0].max(initial=-np.inf) - values[0, 0], settings.val_samples
    if samples and gap > 0:
        both = np.array([values[0, 0] + gap, values[0, 0]])
        gap -= settings.ties * math.sqrt(accuracy_variance(both, samples).sum())
    return bool(gap < 0)


def normalised(values: np.ndarray, floor: float) -> np.ndarray:
    """Objectives of one rung on common axes, all to be minimised.

    Args:
        values: ``[N, 3]``, accuracy in percent, model size and Bit-SynOps; counts below 1 are taken as 1.
        floor: accuracy in percent that becomes 1; the best one becomes 0.

    Returns:
        ``[N, 3]``; the costs on a log scale from 0, the least, to 1, the largest, or 0 where all are equal.
    """
    best = values[:, 0].max()
    errors = (best - values[:, :1]) / (best - floor or 1.0)
    costs = np.log(np.maximum(values[:, 1:], 1.0))
    low, high = costs.min(axis=0), costs.max(axis=0)
    return np.hstack([errors, (costs - low) / np.where(high > low, high - low, 1.0)])


def ranking(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ranks by dominance, and within a rank by what would be missing.

    Args:
        points: ``[N, 3]`` as ``normalised`` returns them.

    Returns:
        ``[N]`` non-dominated ranks from 0, and ``[N]`` hypervolumes that each rank alone would lose without the entry,
        as shares of the front's hypervolume.
    """
    reference = np.array([1.0, _BEYOND, _BEYOND])
    depth = moocore.pareto_rank(points)
    loss = np.zeros(len(points))
    for level in range(depth.max() + 1):
        layer = depth == level
        loss[layer] = moocore.hv_contributions(points[layer], ref=reference)
    volume = moocore.hypervolume(points[depth == 0], ref=reference)
    return depth, loss / volume if volume > 0 else loss


def _point(trial: str, phase: str) -> str:
    """The part of a trial's name that says what it does in a phase, whatever the seed; see ``tune.plan.points.Trial``."""
    point = trial.rpartition("-seed_")[0] or trial
    return point.partition("-c_")[0] if phase == "search" else point


def _dominated(values: np.ndarray) -> bool:
    """Whether an entry dominates the first one; ``values`` as for ``normalised``."""
    costs = values * np.array([-1.0, 1.0, 1.0])
    return bool(((costs <= costs[0]).all(axis=1) & (costs < costs[0]).any(axis=1)).any())
