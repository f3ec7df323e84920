"""How large a network is, three ways: as the paper counts it, as a file, and dense at the same bits. Loads no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from litesnn.export.file_layout import alive_ends, read_pairs
from litesnn.export.packed import Packed
from litesnn.export.trim import trim
from litesnn.export.writer import file_of
from litesnn.file_size import BIAS_BITS, HEADER_BITS, LEARNT_BITS, RATE_BITS, SCALE_BITS, STEP_BITS, short_bits
from litesnn.kept import kept_count, mask_bits, position_bits


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Sizes in bits.

    Args:
        paper: kept weights at their bit-widths, without where they are (Eq. 18).
        bound: these and, per layer, log2 of the number of ways to choose them: no code for random masks needs less.
        file: the whole packed file.
        parts: the file by part, see ``writer.File``.
        dense: all weights at the same bit-widths, without pruning.
        kept: how many weights are kept in the file; those of removed channels are not in it.
        weights: of how many.
        channels: how many channels are in the file.
        all_channels: of how many.
    """

    paper: int
    bound: float
    file: int
    parts: dict[str, float]
    dense: int
    kept: int
    weights: int
    channels: int
    all_channels: int

    def lines(self) -> list[tuple[str, str]]:
        """Rows of a table: what, and how much."""
        positions, codes = self.parts["positions"], self.parts["codes"]
        norms = self.parts["scales and steps"] + self.parts["biases"]
        each = max(1, self.kept)
        removed = self.all_channels - self.channels
        return [
            (
                "size as in the paper",
                f"{size_text(self.paper)} (Eq. 18: kept weights at their bits, positions left out)",
            ),
            ("size when packed", f"{size_text(self.file)} (all that is needed to run it)"),
            ("  codes", f"{size_text(codes)} ({codes / each:.2f} bits for each of {self.kept:,} kept weights)"),
            ("  positions", f"{size_text(positions)} ({positions / each:.2f} bits for each)"),
            ("  scales and biases", f"{size_text(norms)} (batch norm and steps)"),
            ("  header and the rest", size_text(self.file - codes - positions - norms)),
            ("  left out", f"{removed} of {self.all_channels} channels, which nobody reads or which never fire"),
            ("size when dense", f"{size_text(self.dense)} (all {self.weights:,} weights at the same bits)"),
        ]


def measure_sizes(packed: Packed) -> Sizes:
    """The sizes of a network; packs it to know."""
    plan, file = packed.plan, file_of(packed)
    counts = [kept_count(layer.weights, packed.genotype["p"]) for layer in plan.layers]
    paper = sum(count * layer.bits for layer, count in zip(plan.layers, counts, strict=True))
    masks = sum(position_bits(layer.weights, k, layer.mask_n) for layer, k in zip(plan.layers, counts, strict=True))
    return Sizes(
        paper=paper,
        bound=paper + masks,
        file=8 * len(file.content),
        parts=file.parts,
        dense=sum(layer.weights * layer.bits for layer in plan.layers),
        kept=sum(file.kept),
        weights=plan.weights,
        channels=file.channels,
        all_channels=sum(row.channels for row in plan.rows),
    )


def estimated_bits(packed: Packed) -> int:
    """Bits of the packed file of a network as it is, channels and codes that training leaves without effect left out.

    Within four percent of the files of 66 trained networks, in milliseconds: what is shortened and coded is not worked out but estimated.
    """
    trimmed, alive = trim(packed)
    plan = packed.plan
    names = "" if packed.classes == tuple(map(str, range(len(packed.classes)))) else "".join(packed.classes)
    statistics = packed.mean.size + packed.std.size - 2  # the first two are in the header's constant
    bits = HEADER_BITS + LEARNT_BITS + RATE_BITS * packed.rates.size + 9.0 * len(names) + BIAS_BITS * statistics
    counts: dict[int, NDArray[np.int64]] = {}
    for index, (layer, (outputs, inputs)) in enumerate(zip(plan.layers, alive_ends(plan, alive), strict=True)):
        kept = trimmed.codes[index][trimmed.codes[index] != 0]
        if layer.mask_n:
            before = kept_count(layer.weights, packed.genotype["p"])
            bits += len(kept) / max(1, before) * position_bits(layer.weights, before, layer.mask_n)
        else:
            bits += mask_bits(int(read_pairs(layer, outputs, inputs).sum()) * layer.kernel**2, len(kept))
        found = np.bincount((kept.astype(int) + (1 << layer.bits) - 1) >> 1, minlength=1 << layer.bits)
        counts[layer.bits] = counts.get(layer.bits, 0) + found
    for found in counts.values():
        shares = found[found > 0] / found.sum()
        bits -= float(found.sum() * (shares * np.log2(shares)).sum())
    stem = int(alive[0].sum())
    bits += (2 + stem) * SCALE_BITS + stem * BIAS_BITS  # the classifier has a step alone
    for row, there in zip(plan.rows[1:], alive[1:], strict=True):
        bits += mask_bits(len(there), int(there.sum())) + STEP_BITS * len(row.layers)
        ranges = [np.abs(trimmed.codes[index].astype(int)).sum((1, 2, 3)).tolist() for index in row.layers]
        for channel in np.flatnonzero(there).tolist() if row.layers else ():
            bits += sum(short_bits([size[channel] for size in ranges if size[channel]], plan.timesteps, plan.tau))
    return round(bits)


def entropy_bits(share: float) -> float:
    """H(share) / share: what the position of a kept weight costs at least where ``share`` of them is kept at random."""
    if share <= 0 or share >= 1:
        return 0.0
    return -math.log2(share) - (1 - share) / share * math.log2(1 - share)


def size_text(bits: float) -> str:
    """Bits as bytes, kB or MB (10^3, 10^6 bytes)."""
    for unit, factor in (("MB", 8e6), ("kB", 8e3)):
        if bits >= factor:
            return f"{bits / factor:.3g} {unit}" if bits < 1e3 * factor else f"{bits / factor:.0f} {unit}"
    return f"{bits / 8:.0f} B"
