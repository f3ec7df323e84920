"""A network as a device keeps it, and the file ``.lsnn`` that holds it. Loads no torch.

``writer`` and ``reader`` have the format of today's files, ``format1`` reads those of earlier versions; docs/export.md
describes both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from litesnn.checks import InputError
from litesnn.config import Recipe
from litesnn.export.plan import Plan, make_plan
from litesnn.files import write_bytes

LARGEST_FILE = 2**30

Floats = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, eq=False)
class Packed:
    """A network with compressed weights and folded batch norm.

    Args:
        recipe: its fields about data and network; the others are defaults.
        genotype: plain values, see ``make_plan``.
        classes: class names in the order of the logits.
        codes: per layer of the plan int8 ``[O, I, K, K]``: odd, from -(2^b - 1) to 2^b - 1, and 0 where pruned. A
            weight is code / 2 * step.
        steps: one per layer.
        scale: per layer but the last ``[O]``: what batch norm multiplies with.
        bias: per row ``[C]``: what the batch norms of its layers add, summed in double precision, in which a sum of
            two floats is exact; zeros where a row has no layers.
        mean: of inputs, broadcastable to ``[C, H, W]``.
        std: likewise.
        rates: spike rates of the validation split, ``[rows, T]``.
    """

    recipe: Recipe
    genotype: Mapping[str, Any]
    classes: tuple[str, ...]
    codes: tuple[NDArray[np.int8], ...]
    steps: Floats
    scale: tuple[Floats, ...]
    bias: tuple[NDArray[np.float64], ...]
    mean: Floats
    std: Floats
    rates: Floats

    @property
    def plan(self) -> Plan:
        """Its layers and rows."""
        return make_plan(self.recipe, self.genotype)

    @property
    def kept(self) -> tuple[int, ...]:
        """Kept weights per layer; fewer than the genotype says where channels have been removed, see ``trim``."""
        return tuple(int(np.count_nonzero(codes)) for codes in self.codes)

    def weight(self, layer: int, kind: type[np.floating] = np.float32) -> NDArray[Any]:
        """The layer's weights ``[O, I, K, K]``; in single precision as the trained network multiplies them."""
        return (self.codes[layer].astype(kind) / 2) * self.steps[layer].astype(kind)

    def first_bias(self, row: int, layer: int, kind: type[np.floating] = np.float32) -> NDArray[Any]:
        """The row's bias for the first of its layers, zeros for the others: for those who add per layer, ``[C]``."""
        bias = self.bias[row].astype(kind)
        return bias if layer == self.plan.rows[row].layers[0] else np.zeros_like(bias)

    def to_bytes(self) -> bytes:
        """The file."""
        from litesnn.export.writer import file_of  # takes a ``Packed``

        return file_of(self).content

    def write(self, path: Path) -> int:
        """Writes the file atomically and returns its size in bytes."""
        content = self.to_bytes()
        write_bytes(path, content)
        return len(content)


def read_packed(path: Path) -> Packed:
    """Reads what ``Packed.write`` wrote, now or in an earlier version; memory stays in proportion to the file.

    Raises:
        InputError: no such file, damaged, or not a packed network.
    """
    from litesnn.export import format1, reader  # both build a ``Packed``
    from litesnn.export.file_layout import MAGIC

    try:
        size = path.stat().st_size
        if size > LARGEST_FILE:
            raise InputError(f"model: expected a file of at most {LARGEST_FILE} bytes, got {size} in {path}")
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"model: expected a readable file, got {path} ({error.strerror or error})") from None
    parse = reader.parse if content.startswith(MAGIC) else format1.parse
    try:
        return parse(content)
    except (ValueError, TypeError, KeyError, RecursionError, OverflowError) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise InputError(f"model: expected a packed network, got {path} ({reason})") from None
