"""Scales and biases with fewer digits: as few as leave every spike that the network can fire where it is.

Batch norm leaves numbers of 24 bits, most of which no neuron notices: it compares sums of a few integers with its threshold.
What is accepted here moves no membrane that a neuron can have, whatever the input, by more than half of its distance from
the threshold (``litesnn.export.membranes``). Hence the same spikes and scores, and what was clear of rounding stays clear of it.

The stem, whose inputs are real numbers, keeps its numbers, and so does a channel with too many membranes.
"""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np

from litesnn.export.membranes import Array, Neuron
from litesnn.export.packed import Packed
from litesnn.export.trim import trim

_CLEAR = 1e-10  # the membranes of a channel that has one closer to the threshold than this stay as they are
_FEWEST_BITS, _MOST_BITS = 3, 22  # significant; single precision has 24
_FIRST = 256  # membranes that are looked at first


def shorten(packed: Packed) -> Packed:
    """The network with the same spikes and scores for every input, and scales and biases that take fewer bits in a file."""
    scale, bias = [values.copy() for values in packed.scale], [values.copy() for values in packed.bias]
    trimmed, alive = trim(packed)
    for number, row in enumerate(packed.plan.rows[1:], start=1):
        for channel in np.flatnonzero(alive[number]).tolist() if row.layers else ():
            layers = [index for index in row.layers if trimmed.codes[index][channel].any()]
            skips = sum(int(alive[skipped][channel]) for skipped in row.skips)
            neurons = _neurons(trimmed, number, channel, layers, skips)
            if not neurons:
                continue
            numbers = _shortest(neurons)
            for index, value in zip(layers, numbers, strict=False):
                scale[index][channel] = value
            bias[number][channel] = numbers[-1]
    return replace(packed, scale=tuple(scale), bias=tuple(bias))


def _neurons(packed: Packed, row: int, channel: int, layers: list[int], skips: int) -> list[Neuron]:
    """A channel's neurons as the runtime has them and, of a network in bf16, as training has: with a step that is rounded.

    None where weights in bf16 have several bits: each code is rounded for itself, and they are no multiples of one number.
    """
    plan, codes = packed.plan, [packed.codes[index][channel].astype(int) for index in layers]
    halves = [float(packed.steps[index]) / 2 for index in layers]
    forms = [halves]
    if packed.recipe.precision == "bf16":
        if any(plan.layers[index].bits > 1 for index in layers):
            return []
        forms.append([_in_bf16(half) for half in halves])
    return [
        Neuron(
            numbers=np.array([*(packed.scale[index][channel] for index in layers), packed.bias[row][channel]], float),
            factors=np.array(factors),
            bounds=tuple((int(some[some < 0].sum()), int(some[some > 0].sum())) for some in codes),
            skips=skips,
            timesteps=plan.timesteps,
            tau=plan.tau,
            v_threshold=plan.v_threshold,
        )
        for factors in forms
    ]


def _in_bf16(value: float) -> float:
    """To the nearest number of 8 significant bits, ties to even."""
    mantissa, exponent = np.frexp(value)
    return float(np.ldexp(np.rint(mantissa * 256), exponent - 8))


def _shortest(neurons: list[Neuron]) -> Array:
    """Numbers of as few significant bits as will do, first all of as many, then each for itself, the bias first."""
    numbers = neurons[0].numbers
    parts = [neuron.near_the_threshold() for neuron in neurons]
    near = [part for part in parts if part is not None]
    if len(near) < len(parts) or min(float(room.min()) for _, room in near) < _CLEAR:
        return numbers
    limits = _Limits(numbers, *(np.concatenate(some) for some in zip(*near, strict=True)))
    for bits in range(_FEWEST_BITS, _MOST_BITS + 1):
        found = limits.first([_close(value, bits) for value in numbers])
        if found is not None:
            break
    else:
        return numbers
    for index in reversed(range(len(numbers))):
        for fewer in range(1, bits):
            better = limits.first(
                [_close(value, fewer) if at == index else [found[at]] for at, value in enumerate(numbers)]
            )
            if better is not None:
                found = better
                break
    return found


def _close(value: float, bits: int) -> list[float]:
    """The three numbers of so many significant bits that are closest to ``value``, closest first."""
    if value == 0:
        return [0.0]
    unit = float(np.ldexp(1.0, int(np.frexp(value)[1]) - bits))
    whole = round(value / unit)
    return sorted(((whole + offset) * unit for offset in (-1, 0, 1)), key=lambda near: abs(near - value))


class _Limits:
    """What other numbers may do to membranes.

    Args:
        numbers: as they are, ``[N]``.
        ways: how much each membrane changes with each number, ``[M, N]``.
        room: its distance from the threshold, ``[M]``.
    """

    def __init__(self, numbers: Array, ways: Array, room: Array) -> None:
        order = np.argsort(room)
        self._numbers, self._ways, self._room = numbers, ways[order], room[order] / 2
        self._reach = np.abs(ways).max(0)

    def first(self, choices: list[list[float]]) -> Array | None:
        """The combination that moves membranes least and none by more than half of its room; scales by less than half."""
        tried = np.array(list(itertools.product(*choices)))
        moves = tried - self._numbers
        most = (np.abs(moves) * self._reach).sum(1)
        gentle = np.abs(moves[:, :-1]) <= np.abs(self._numbers[:-1]) / 2
        near = np.abs(self._ways[:_FIRST] @ moves.T) <= self._room[:_FIRST, None]
        tame = np.flatnonzero(gentle.all(1) & near.all(0))
        for index in tame[np.argsort(most[tame], kind="stable")]:
            some = slice(0, int(np.searchsorted(self._room, most[index], side="right")))
            if (np.abs(self._ways[some] @ moves[index]) <= self._room[some]).all():
                accepted: Array = tried[index]
                return accepted
        return None
