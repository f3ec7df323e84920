"""Channels that make no difference leave a packed network, with their weights: those that nobody reads, those that never fire.

A neuron never fires if its largest possible membrane stays at or below the threshold: every positive weight met by a
spike at every timestep, every skip a spike. The stem's inputs have no bound, so a stem's channel counts as able to fire
unless nothing is left of its weights. A channel is read if a kept weight or a skip of a channel that is there reads it.
Removing one may leave others unread or unable to fire, so it is done until nothing changes. No other channel's
spikes change by any of this, and no score.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from litesnn.export.file_layout import SILENT, Marks, alive_ends
from litesnn.export.packed import Packed
from litesnn.export.plan import Plan

_CLEARANCE = 1e-4  # of the largest sum: far above what single precision rounds


def trim(packed: Packed) -> tuple[Packed, tuple[Marks, ...]]:
    """The network without channels that make no difference.

    Returns:
        The same network with codes and scales of 0 and a bias that keeps silent for them, and per row which channels
        are left, ``[C]``. Of filters without weights the scale is 0, of layers without weights the step is 1.
    """
    plan = packed.plan
    alive = [np.ones(row.channels, np.bool_) for row in plan.rows]
    codes = list(packed.codes)
    count = -1
    while count != (count := sum(int(marks.sum()) for marks in alive)):
        for index, (outputs, inputs) in enumerate(alive_ends(plan, alive)):
            codes[index] = codes[index] * (outputs[:, None] & inputs)[:, :, None, None]
        for number in range(len(plan.rows)):
            alive[number] &= _may_fire(packed, plan, codes, alive, number)
        for marks, used in zip(alive, _read(plan, codes, alive), strict=True):
            marks &= used
    left = [(layer != 0).any((1, 2, 3)) for layer in codes]
    bias = [
        np.where(marks, values, SILENT) if row.layers else values
        for values, marks, row in zip(packed.bias, alive, plan.rows, strict=True)
    ]
    trimmed = replace(
        packed,
        codes=tuple(codes),
        steps=np.where([some.any() for some in left], packed.steps, np.float32(1)),
        scale=tuple(np.where(some, scale, np.float32(0)) for some, scale in zip(left, packed.scale, strict=False)),
        bias=tuple(bias),
    )
    return trimmed, tuple(alive)


def _may_fire(packed: Packed, plan: Plan, codes: list[NDArray[np.int8]], alive: list[Marks], number: int) -> Marks:
    row = plan.rows[number]
    largest, size = packed.bias[number].copy(), np.abs(packed.bias[number])
    for index in row.layers:
        if number == 0:
            largest[(codes[index] != 0).any((1, 2, 3))] = np.inf
            continue
        factor = packed.steps[index].astype(np.float64) / 2 * packed.scale[index]
        sums = codes[index] * factor[:, None, None, None]
        largest += np.maximum(sums, 0).sum((1, 2, 3))
        size += np.abs(sums).sum((1, 2, 3))
    for skipped in row.skips:
        largest += alive[skipped]
    membrane = np.where(largest > 0, largest * sum(plan.tau**t for t in range(plan.timesteps)), largest)
    return membrane > plan.v_threshold - _CLEARANCE * (1 + size)


def _read(plan: Plan, codes: list[NDArray[np.int8]], alive: list[Marks]) -> list[Marks]:
    used = [np.zeros(row.channels, np.bool_) for row in plan.rows]
    for index, layer in enumerate(plan.layers):
        inputs, start = (codes[index] != 0).any((0, 2, 3)), 0
        for read in layer.reads:
            used[read] |= inputs[start : start + plan.rows[read].channels]
            start += plan.rows[read].channels
    for number, row in enumerate(plan.rows):
        for skipped in row.skips:
            used[skipped] |= alive[number]
    return used
