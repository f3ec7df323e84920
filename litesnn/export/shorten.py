"""Scales and biases with fewer digits: as few as leave every spike that the network can fire where it is.

Batch norm leaves numbers of 24 bits, most of which no neuron notices: it compares sums of a few integers with its threshold.
What is accepted here leaves every membrane that a neuron can have, whatever the input, on its side of the threshold and as
clear of it as single precision needs (``litesnn.export.membranes``). Hence the same spikes and scores. A layer whose channels
all allow it gets a power of two for its step, which takes no digits at all, and scales to match.

The stem, whose inputs are real numbers, keeps its numbers, and so does a channel with too many membranes.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from litesnn.export.membranes import Array, Neuron
from litesnn.export.packed import Packed
from litesnn.export.shortest import Limits, shortest
from litesnn.export.trim import trim

_AMBIGUOUS = 1e-10
"""Channels with a membrane closer to the threshold than this keep their numbers."""

CLEARANCE = 1e-4
"""Of the sum of all sizes, as in ``trim``: how far a membrane stays from the threshold, or half as far as it was."""


def shorten(packed: Packed) -> Packed:
    """The network with the same spikes and scores for every input, and scales and biases that take fewer bits in a file."""
    scale, bias = [values.copy() for values in packed.scale], [values.copy() for values in packed.bias]
    steps = packed.steps.copy()
    trimmed, alive = trim(packed)
    for number, row in enumerate(packed.plan.rows[1:], start=1):
        channels = [
            _Channel(trimmed, number, channel, sum(int(alive[skipped][channel]) for skipped in row.skips))
            for channel in (np.flatnonzero(alive[number]).tolist() if row.layers else ())
        ]
        bound = {layer for channel in channels if channel.limits is None for layer in channel.layers}
        new = {layer: _power_of_two(float(steps[layer])) for layer in row.layers if layer not in bound}
        found = {channel.channel: channel.shortest(new) for channel in channels}
        if any(found[channel.channel] is None for channel in channels if channel.limits):
            new = {}
            found = {channel.channel: channel.shortest(new) for channel in channels}
        for layer, step in new.items():
            scale[layer] *= np.float32(steps[layer] / step)  # of channels that are removed: the others follow
            steps[layer] = step
        for channel in channels:
            numbers = found[channel.channel]
            if numbers is None:
                continue
            for layer, value in zip(channel.layers, numbers, strict=False):
                scale[layer][channel.channel] = value
            bias[number][channel.channel] = numbers[-1]
    return replace(packed, scale=tuple(scale), bias=tuple(bias), steps=steps)


class _Channel:
    """One channel of a node, and what its numbers may be.

    Args:
        packed: the network, trimmed.
        row: the node's.
        channel: its number.
        skips: how many skips it has.
    """

    def __init__(self, packed: Packed, row: int, channel: int, skips: int) -> None:
        self.channel = channel
        self.layers = [index for index in packed.plan.rows[row].layers if packed.codes[index][channel].any()]
        self._steps = np.array([float(packed.steps[index]) for index in self.layers])
        scales = [float(packed.scale[index][channel]) for index in self.layers]
        self._numbers = np.array([*scales, packed.bias[row][channel]])
        codes = [packed.codes[index][channel].astype(int) for index in self.layers]
        self.limits = limits_of(
            Neuron(
                worth=self._numbers * np.append(self._steps / 2, 1),
                bounds=tuple((int(some[some < 0].sum()), int(some[some > 0].sum())) for some in codes),
                skips=skips,
                timesteps=packed.plan.timesteps,
                tau=packed.plan.tau,
                v_threshold=packed.plan.v_threshold,
            )
        )

    def shortest(self, new: dict[int, float]) -> Array | None:
        """Scales, then the bias, ``[L + 1]``, for other steps of some layers; None where there are none."""
        if self.limits is None:
            return None
        steps = np.array([new.get(layer, step) for layer, step in zip(self.layers, self._steps, strict=True)])
        numbers = self._numbers * np.append(self._steps / steps, 1)
        return shortest(self.limits.with_factors(np.append(steps / 2, 1)), numbers)


def limits_of(neuron: Neuron) -> Limits | None:
    """What the worth of codes and the bias have to meet for the neuron to fire as it does; None where they must stay."""
    near = neuron.near_the_threshold()
    if near is None:
        return None
    sums, rest = near
    above = sums @ neuron.worth + rest
    if np.abs(above).min() < _AMBIGUOUS:
        return None
    clear = np.minimum(np.abs(above) / 2, CLEARANCE * (1 + np.abs(sums) @ np.abs(neuron.worth)))
    return Limits.on_their_side(sums, rest, above > 0, clear)


def _power_of_two(value: float) -> float:
    return float(2.0 ** np.rint(np.log2(value)))
