"""What writer and reader of a packed file agree upon: its first bytes, its models, and the bytes that a network needs."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from litesnn.export.coder import Coder, Tree
from litesnn.export.plan import Layer, Plan

MAGIC = b"LSNN"
FREE, GROUPED = 2, 3
"""Versions: masks that may be anywhere, and N:M masks, whose N the header has."""
BEYOND = 2
"""Added to the version where an edge has an operation that is not of the paper."""
VERSIONS = (FREE, GROUPED, FREE + BEYOND, GROUPED + BEYOND)

DATASETS = ("", "digits", "cifar10", "cifar100", "speech_commands")
"""Data sets by number; 0 stands for a name that follows."""

INPUT_SKIPS = ("conv3x3", "conv1x1")
PRECISIONS = ("fp32", "bf16")
RESIZES = ("crop", "none")
RATE_UNIT = 65535
SILENT = -2.0
"""Bias of a removed channel: its skips, two at most, do not lift it above 0."""

WEIGHTS_PER_BYTE, DENSE_WEIGHTS_PER_BYTE = 64, 4096
"""At most, of a whole file: those of all layers, and with those between groups, which a reader lays out as zeros."""
LARGEST_LAYER = 2**24

Marks = NDArray[np.bool_]


@dataclass
class Numbers:
    """How numbers of one kind are distributed, learnt as they are coded: sign, exponent and length of the mantissa."""

    sign: Tree = field(default_factory=lambda: Tree(1))
    exponent: Tree = field(default_factory=lambda: Tree(11))
    length: Tree = field(default_factory=lambda: Tree(6))

    def code(self, coder: Coder, value: float = 0.0) -> float:
        """Codes one finite double: of the mantissa what lies before its last 1, which single precision puts early.

        Raises:
            ValueError: no finite number.
        """
        (bits,) = struct.unpack("<Q", struct.pack("<d", value))
        mantissa = bits & ((1 << 52) - 1)
        size = 52 - ((mantissa & -mantissa).bit_length() - 1) if mantissa else 0
        (sign,) = coder.tree(self.sign, [bits >> 63])
        (exponent,) = coder.tree(self.exponent, [bits >> 52 & 2047])
        (size,) = coder.tree(self.length, [size])
        if exponent == 2047 or size > 52:
            raise ValueError("a number that is not finite")
        if size:
            top = coder.bits(size - 1, mantissa >> (53 - size))
            mantissa = (top << 1 | 1) << (52 - size)
        found: float = struct.unpack("<d", struct.pack("<Q", sign << 63 | exponent << 52 | mantissa))[0]
        return found


def code_decimal(coder: Coder, value: float = 0.0) -> float:
    """A number from 0 as its shortest decimal: m / 10^e as two integers, m first.

    Raises:
        ValueError: too many digits.
    """
    _, digits, power = Decimal(repr(value)).normalize().as_tuple()
    assert isinstance(power, int)
    whole = int("".join(map(str, digits))) * 10 ** max(0, power)
    m, e = coder.integer(whole), coder.integer(max(0, -power))
    if e > 400:
        raise ValueError("a number with too many digits")
    return float(f"{m}e-{e}")


def code_text(coder: Coder, text: bytes = b"") -> bytes:
    """Its length and its bytes."""
    return bytes(coder.bits(8, text[i] if i < len(text) else 0) for i in range(coder.integer(len(text))))


def rows_fed(plan: Plan) -> list[int | None]:
    """For each layer the row that it leads to; None for the classifier."""
    rows: list[int | None] = [None] * len(plan.layers)
    for number, row in enumerate(plan.rows):
        for layer in row.layers:
            rows[layer] = number
    return rows


def alive_ends(plan: Plan, alive: Sequence[Marks]) -> list[tuple[Marks, Marks]]:
    """For each layer which of its outputs and inputs are there, ``[O]`` and ``[I]``."""
    ends = []
    for layer, row in zip(plan.layers, rows_fed(plan), strict=True):
        outputs = np.ones(layer.outputs, np.bool_) if row is None else alive[row]
        inputs = (
            np.concatenate([alive[read] for read in layer.reads]) if layer.reads else np.ones(layer.inputs, np.bool_)
        )
        ends.append((outputs, inputs))
    return ends


def within_groups(layer: Layer) -> Marks:
    """Which inputs each output reads, ``[O, I]``: those of its group, all where there is one."""
    outputs, inputs = np.arange(layer.outputs), np.arange(layer.inputs)
    marks: Marks = outputs[:, None] * layer.groups // layer.outputs == inputs * layer.groups // layer.inputs
    return marks


def read_pairs(layer: Layer, outputs: Marks, inputs: Marks) -> Marks:
    """Which of the inputs that are there each output that is there reads, ``[O, I]``; see ``alive_ends``."""
    pairs: Marks = outputs[:, None] & inputs
    return pairs & within_groups(layer) if layer.groups > 1 else pairs


def least_bytes(plan: Plan) -> int:
    """Bytes of a file that may claim the plan's shapes, before it is known what of them is there."""
    dense = sum(layer.dense_weights for layer in plan.layers)
    return max(math.ceil(plan.weights / WEIGHTS_PER_BYTE), math.ceil(dense / DENSE_WEIGHTS_PER_BYTE))
