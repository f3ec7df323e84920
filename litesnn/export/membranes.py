"""Which membranes a neuron can have, whatever its input: those that other numbers must leave on their side of the threshold.

A channel of a node adds, at each timestep, c_1 n_1 + c_2 n_2 + b + k: integer sums of codes n between their bounds, times
what a code is worth, its bias, and the spikes k of its skips. Since its last spike, or the start, its membrane is therefore

    u_r = c_1 N_1 + c_2 N_2 + b B_r + K,    N = sum of tau^(r - j) n_j,  B_r = sum of tau^(r - j),  j = 1 … r,  r = 1 … T,

with N and K from sets that can be listed: with tau = a / q, N q^(r - 1) is an integer. Sums whose membrane fired before r are
no sums of u_r. With N_2 and K fixed only the two N_1 on either side of the threshold matter, as long as c_1 keeps its sign.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

_MOST, _MOST_OF_A_LAYER = 2.0**22, 2.0**15
"""Sums of a channel, and of one of its layers; where there are more they lie so close that hardly a digit can be spared."""

_MOST_TOGETHER = 2**18  # of all layers' sums, where those that fired before are left out
_LARGEST_DENOMINATOR = 100

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Neuron:
    """The neurons of one channel.

    Args:
        worth: of a code, per layer, then the bias, ``[L + 1]``.
        bounds: least and largest sum of codes per layer.
        skips: how many skips there are.
        timesteps: T.
        tau: decay.
        v_threshold: threshold.
    """

    worth: Array
    bounds: tuple[tuple[int, int], ...]
    skips: int
    timesteps: int
    tau: float
    v_threshold: float

    def near_the_threshold(self) -> tuple[Array, Array] | None:
        """The membranes next to the threshold.

        Returns:
            What each adds up, N_1 … N_L and B_r, ``[M, L + 1]``, and K less the threshold, ``[M]``; None where there are
            too many.
        """
        tau, bounds = _ratio(self.tau), [*self.bounds, (0, self.skips)]
        if tau is None or too_many([how_many(low, high, self.timesteps, self.tau) for low, high in bounds]):
            return None
        steps = [np.arange(low, high + 1, dtype=np.int64) for low, high in bounds]
        parts, before, unit = [], np.zeros((1, len(bounds)), np.int64), 1
        for length in range(1, self.timesteps + 1):
            bias = sum(self.tau**j for j in range(length))
            together = len(before) * math.prod(map(len, steps))
            if length == 1 or together > _MOST_TOGETHER:  # nothing fired before, or it is asked no more
                sets = [_sums(low, high, length, tau) for low, high in bounds]
                last = self._longest([len(values) for values in sets])
                parts.append(self._near(self._on_either_side(sets, last, bias), last, bias))
            if together > _MOST_TOGETHER or self.timesteps == 1:
                continue
            sums = ((tau.numerator * before)[:, None] + unit * _grid(steps)).reshape(-1, len(bounds))
            if length > 1:
                parts.append(self._near(sums / unit, self._longest(_lengths(sums)), bias))
            if length < self.timesteps:
                sums = _distinct(sums[self._above(sums / unit, bias) <= 0])
                before, unit = sums, unit * tau.denominator
        near, rest = zip(*parts, strict=True)
        return np.concatenate(near), np.concatenate(rest)

    @property
    def _weights(self) -> Array:
        """Of the sums of each layer, and of skips, in a membrane."""
        return np.append(self.worth[:-1], 1.0)

    def _above(self, sums: Array, bias: float) -> Array:
        """How far membranes of these sums, ``[M, L + 1]`` with skips the last, lie above the threshold."""
        above: Array = sums @ self._weights + bias * self.worth[-1] - self.v_threshold
        return above

    def _on_either_side(self, sets: list[Array], last: int, bias: float) -> Array:
        """Of all combinations of the sums of ``sets`` the two next to the threshold on the axis ``last``."""
        weights = self._weights
        grid = _grid([np.zeros(1) if index == last else values for index, values in enumerate(sets)])
        place = np.searchsorted(sets[last], -self._above(grid, bias) / weights[last])
        both = np.concatenate([grid, grid])
        both[:, last] = sets[last][np.clip(np.concatenate([place - 1, place]), 0, len(sets[last]) - 1)]
        return both

    def _longest(self, lengths: list[int]) -> int:
        """The axis of most sums that make a difference."""
        return max(range(len(lengths)), key=lambda index: lengths[index] if self._weights[index] else 0)

    def _near(self, sums: Array, last: int, bias: float) -> tuple[Array, Array]:
        """Of membranes that differ in the sum ``last`` only the highest that does not fire and the lowest that does."""
        above, others = self._above(sums, bias), np.delete(sums, last, 1)
        chosen = []
        for some in (np.flatnonzero(above > 0), np.flatnonzero(above <= 0)):
            some = some[np.lexsort((np.abs(above[some]), *others[some].T))]
            new = np.ones(len(some), np.bool_)
            new[1:] = (others[some[1:]] != others[some[:-1]]).any(1)
            chosen.append(some[new])
        near = sums[np.concatenate(chosen)]
        return np.concatenate([near[:, :-1], np.full((len(near), 1), bias)], 1), near[:, -1] - self.v_threshold


def _grid(axes: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Every combination of one value of each axis, ``[M, axes]``."""
    return np.stack([axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")], 1)


def _lengths(rows: NDArray[np.int64]) -> list[int]:
    """How many different values each column has."""
    low = rows.min(0, initial=np.iinfo(np.int64).max)
    return [int(np.count_nonzero(np.bincount(column))) for column in (rows - low).T]


def _distinct(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """The rows without repetitions, in some order."""
    rows = rows[np.lexsort(rows.T)]
    new = np.ones(len(rows), np.bool_)
    new[1:] = (rows[1:] != rows[:-1]).any(1)
    return rows[new]


@lru_cache(maxsize=256)
def _sums(low: int, high: int, length: int, tau: Fraction) -> Array:
    """Every sum over j = 1 … ``length`` of tau^(length - j) n_j with integers ``low`` <= n_j <= ``high``, ascending."""
    steps = np.arange(low, high + 1, dtype=np.int64)
    found, unit = np.zeros(1, np.int64), 1
    for _ in range(length):
        sums = (tau.numerator * found)[:, None] + unit * steps
        least = int(sums.min())
        there = np.zeros(int(sums.max()) - least + 1, np.bool_)
        there[sums - least] = True
        found = np.flatnonzero(there) + least
        unit *= tau.denominator
    return found / (unit // tau.denominator)


def how_many(low: float, high: float, timesteps: int, tau: float) -> float:
    """How many sums of ``timesteps`` integers from ``low`` to ``high`` there can be at most, each worth tau of the next."""
    ratio = _ratio(tau)
    if ratio is None:
        return math.inf
    spans = (ratio.numerator**j * ratio.denominator ** (timesteps - 1 - j) for j in range(timesteps))
    return 1 + (high - low) * sum(spans)


def too_many(sums: Sequence[float]) -> bool:
    """Whether a channel's numbers keep their digits, for how many sums each of its layers has."""
    return max(sums, default=0) > _MOST_OF_A_LAYER or math.prod(sums) > _MOST


def _ratio(tau: float) -> Fraction | None:
    """The decay as a ratio of small integers; None where it is none."""
    ratio = Fraction(tau).limit_denominator(_LARGEST_DENOMINATOR)
    return ratio if abs(float(ratio) - tau) <= 1e-15 else None
