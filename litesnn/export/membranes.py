"""Which membranes a neuron can have, whatever its input: those next to the threshold, for other numbers to leave on their side.

A channel of a node adds, at each timestep, s_1 n_1 + s_2 n_2 + b + k: integer sums of codes n between their bounds, times
step / 2 and scale, its bias, and the spikes k of its skips. Since its last spike, or the start, its membrane is therefore

    u_r = s_1 N_1 + s_2 N_2 + b B_r + K,    N = sum of tau^(r - j) n_j,  B_r = sum of tau^(r - j),  j = 1 … r,  r = 1 … T,

with N and K from sets that can be listed: with tau = a / q, N q^(r - 1) is an integer. For each N_2 and K only the two N_1 on
either side of the threshold matter: beyond them the distance grows faster than any change of s_1 by less than half.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

MOST = 2.0**22
"""Membranes of a channel; where there are more they lie so close that no digit can be spared."""

_LARGEST_DENOMINATOR = 100

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Neuron:
    """The neurons of one channel.

    Args:
        numbers: scale per layer, then the bias, ``[L + 1]``.
        factors: what a code is worth before the scale, half the layer's step, ``[L]``.
        bounds: least and largest sum of codes per layer.
        skips: how many skips there are.
        timesteps: T.
        tau: decay.
        v_threshold: threshold.
    """

    numbers: Array
    factors: Array
    bounds: tuple[tuple[int, int], ...]
    skips: int
    timesteps: int
    tau: float
    v_threshold: float

    def near_the_threshold(self) -> tuple[Array, Array] | None:
        """The membranes on either side of the threshold.

        Returns:
            How much each changes with each number, ``[M, L + 1]``, and its distance from the threshold, ``[M]``;
            None where there are too many.
        """
        tau, bounds = Fraction(self.tau).limit_denominator(_LARGEST_DENOMINATOR), [*self.bounds, (0, self.skips)]
        many = math.prod(_how_many(low, high, self.timesteps, tau) for low, high in bounds)
        if abs(float(tau) - self.tau) > 1e-15 or many > MOST:
            return None
        parts = [
            self._near([_sums(low, high, length, tau) for low, high in bounds], sum(self.tau**j for j in range(length)))
            for length in range(1, self.timesteps + 1)
        ]
        ways, room = zip(*parts, strict=True)
        return np.concatenate(ways), np.concatenate(room)

    def _near(self, sets: list[Array], times: float) -> tuple[Array, Array]:
        """Of neurons that add their bias ``times`` times; ``sets`` has the sums of each layer, then those of skips."""
        weights = [*(self.factors * self.numbers[:-1]), 1.0]
        last = max(range(len(weights)), key=lambda index: len(sets[index]) if weights[index] else 0)
        others = [np.zeros(1) if index == last else values for index, values in enumerate(sets)]
        grid = np.stack([axis.ravel() for axis in np.meshgrid(*others, indexing="ij")], 1)
        rest = grid @ weights + times * self.numbers[-1] - self.v_threshold
        place = np.searchsorted(sets[last], -rest / weights[last])
        grid, rest = np.concatenate([grid, grid]), np.concatenate([rest, rest])
        grid[:, last] = sets[last][np.clip(np.concatenate([place - 1, place]), 0, len(sets[last]) - 1)]
        ways = np.concatenate([grid[:, :-1] * self.factors, np.full((len(grid), 1), times)], 1)
        return ways, np.abs(rest + weights[last] * grid[:, last])


@lru_cache(maxsize=256)
def _sums(low: int, high: int, length: int, tau: Fraction) -> Array:
    """Every sum over j = 1 … ``length`` of tau^(length - j) n_j with integers ``low`` <= n_j <= ``high``, ascending."""
    steps = np.arange(low, high + 1, dtype=np.int64)
    found, unit = np.zeros(1, np.int64), 1
    for _ in range(length):
        found = np.unique((tau.numerator * found)[:, None] + unit * steps)
        unit *= tau.denominator
    return found / (unit // tau.denominator)


def _how_many(low: int, high: int, length: int, tau: Fraction) -> float:
    """At least as many as ``_sums`` has."""
    each = float(high - low)
    span = sum(each * tau.numerator**j * tau.denominator ** (length - 1 - j) for j in range(length))
    return min((each + 1) ** length, span + 1)
