"""How large a network is, three ways: as the paper counts it, as a file, and dense at the same bits. Loads no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass

from litesnn.export.packed import Packed


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Sizes in bits.

    Args:
        paper: kept weights at their bit-widths, without where they are (Eq. 18).
        positions: where the kept weights are, as the packed file holds it.
        norms: batch norm at two numbers per channel, and one step per layer, at 32 bits.
        file: the whole packed file; what is not named above is its header, rounding to bytes and the input statistics.
        dense: all weights at the same bit-widths, without pruning.
        kept: how many weights are kept.
        weights: of how many.
    """

    paper: int
    positions: int
    norms: int
    file: int
    dense: int
    kept: int
    weights: int

    def lines(self) -> list[tuple[str, str]]:
        """Rows of a table: what, and how much."""
        share = self.kept / self.weights
        cost = f"{self.positions / max(1, self.kept):.2f} bits for each of {self.kept:,} kept weights"
        return [
            (
                "size as in the paper",
                f"{size_text(self.paper)} (Eq. 18: kept weights at their bits, positions left out)",
            ),
            ("size of the file", f"{size_text(self.file)} (all that is needed to run it)"),
            ("  positions", f"{size_text(self.positions)} ({cost}; at random {entropy_bits(share):.2f} at least)"),
            ("  batch norm and steps", f"{size_text(self.norms)} (32 bits each)"),
            ("  header and the rest", size_text(self.file - self.paper - self.positions - self.norms)),
            ("size when dense", f"{size_text(self.dense)} (all {self.weights:,} weights at the same bits)"),
        ]


def measure_sizes(packed: Packed) -> Sizes:
    """The sizes of a network; packs it to know."""
    layers, kept = packed.plan.layers, packed.kept
    content, positions = packed.to_bytes(), packed.positions()[1]
    return Sizes(
        paper=sum(count * layer.bits for layer, count in zip(layers, kept, strict=True)),
        positions=8 * len(positions),
        norms=32 * (len(packed.steps) + 2 * sum(map(len, packed.scale))),
        file=8 * len(content),
        dense=sum(layer.weights * layer.bits for layer in layers),
        kept=sum(kept),
        weights=packed.plan.weights,
    )


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
