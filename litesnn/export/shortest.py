"""The numbers of fewest digits that meet linear inequalities."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_MOST_BITS = 22  # significant, of a scale; single precision has 24
_AROUND = 8  # numbers of so many bits on either side of a scale that are tried
_AT_FIRST = 32  # inequalities that are looked at first
_AT_A_TIME = 8  # and are then added, those that are missed by most
_ZERO_BITS = 4  # what a bias of 0 costs, whose exponent is like no other


class Limits(NamedTuple):
    """Inequalities ``ways @ numbers >= least``; the last number is the bias, whose ways are not 0.

    Args:
        ways: ``[M, N]``.
        least: ``[M]``.
    """

    ways: Array
    least: Array

    @classmethod
    def on_their_side(cls, sums: Array, rest: Array, above: NDArray[np.bool_], clear: Array) -> Limits:
        """Of membranes ``sums @ numbers + rest``: those ``above`` 0 stay at least ``clear`` above it, the others below."""
        side = np.where(above, 1.0, -1.0)
        return cls(side[:, None] * sums, clear - side * rest)

    def with_factors(self, factors: Array) -> Limits:
        """For numbers that are yet to be multiplied by ``factors``, ``[N]``."""
        return Limits(self.ways * factors, self.least)

    def missed_by(self, numbers: Array) -> Array:
        """By how much each is missed, ``[M]``; 0 and less where it is met."""
        missed: Array = self.least - self.ways @ numbers
        return missed


def shortest(limits: Limits, numbers: Array) -> Array | None:
    """Scales and bias with as few significant bits in all as are found near ``numbers``; scales keep their signs.

    Args:
        limits: what they have to meet; ``numbers`` does.
        numbers: scales, then the bias, ``[N]``.
    """
    search, best, cost = _Search(limits, numbers), None, np.inf
    for bits in range(1, _MOST_BITS + 1):
        found = search.best([_near(value, bits) for value in numbers[:-1].tolist()])
        if found is not None and found[1] < cost:
            best, cost = found
        elif best is not None:
            break
    return best


class _Search:
    """Among given scales: the bias of each may lie in an interval, of which a few inequalities settle the ends.

    Args:
        limits: all inequalities.
        numbers: that meet them.
    """

    def __init__(self, limits: Limits, numbers: Array) -> None:
        self._limits, self._numbers = limits, numbers
        self._used = np.argsort(-limits.missed_by(numbers), kind="stable")[:_AT_FIRST]

    def best(self, choices: list[Array]) -> tuple[Array, float] | None:
        """The numbers and what they cost, with one of ``choices`` for each scale; None where none meets all inequalities."""
        scales = (
            np.stack([axis.ravel() for axis in np.meshgrid(*choices, indexing="ij")], 1)
            if choices
            else np.zeros((1, 0))
        )
        costs, bias = _significant(scales).sum(1), self._numbers[-1]
        far = (np.abs(scales / self._numbers[:-1] - 1)).sum(1) / 1000
        spread = 1 + abs(bias)
        low, high = np.full(len(scales), bias - spread), np.full(len(scales), bias + spread)
        new = self._used
        while True:
            ways, least = self._limits.ways[new], self._limits.least[new]
            ends = (least - scales @ ways[:, :-1].T) / ways[:, -1]
            low = np.maximum(low, ends[:, ways[:, -1] > 0].max(1, initial=-np.inf))
            high = np.minimum(high, ends[:, ways[:, -1] < 0].min(1, initial=np.inf))
            some = np.flatnonzero(low < high)
            if not len(some):
                return None
            biases, bits = _shortest_between(low[some], high[some], bias)
            total = costs[some] + bits + far[some]
            chosen = int(np.argmin(total))
            numbers = np.append(scales[some[chosen]], biases[chosen])
            missed = self._limits.missed_by(numbers)
            missed[self._used] = 0  # these have set the interval: what they miss is rounding
            if missed.max() <= 0:
                return numbers, float(total[chosen])
            worst = np.argsort(-missed)[:_AT_A_TIME]
            new = worst[missed[worst] > 0]
            self._used = np.concatenate([self._used, new])


def _near(value: float, bits: int) -> Array:
    """Numbers of at most so many significant bits around ``value``, none as small as half of it or as large as twice."""
    unit = float(np.ldexp(1.0, int(np.frexp(value)[1]) - bits))
    found = (np.rint(value / unit) + np.arange(-_AROUND, _AROUND + 1)) * unit
    near: Array = found[(np.abs(found) > abs(value) / 2) & (np.abs(found) < abs(value) * 2) & (found * value > 0)]
    return near


def _shortest_between(low: Array, high: Array, wanted: float) -> tuple[Array, Array]:
    """For each interval the number in it that is a multiple of the largest power of two, and its significant bits."""
    found = np.zeros_like(low)
    power = np.floor(np.log2(high - low))
    for more in range(4):  # an interval has a multiple of the power below its length, and by chance one of a higher
        unit = np.exp2(power + more)
        multiple = np.clip(np.rint(wanted / unit), np.ceil(low / unit), np.floor(high / unit)) * unit
        found = np.where((low <= multiple) & (multiple <= high), multiple, found)
    return found, np.where(found == 0, _ZERO_BITS, _significant(found[:, None])[:, 0])


def _significant(values: Array) -> Array:
    """Of each number its binary digits from the first 1 to the last, counted to 40."""
    mantissa, _ = np.frexp(values)
    whole = np.rint(np.abs(mantissa) * 2.0**40).astype(np.int64)
    last = whole & -whole
    bits: Array = np.where(whole > 0, 41 - np.frexp(last.astype(float))[1], 0)
    return bits
