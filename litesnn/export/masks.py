"""Which weights a packed file keeps: how many of each group, and which ones; writer and reader run the same code."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from litesnn.export.coder import Coder, Tree
from litesnn.export.file_layout import Marks, read_pairs, within_groups
from litesnn.export.plan import Layer, Plan
from litesnn.kept import kept_count, mask_bits, mask_groups


class Masks:
    """The masks of the channels that are there, for a coder that writes or reads.

    Args:
        plan: of the network.
        p: percent pruned.
        ends: for each layer which of its outputs and inputs are there.
    """

    def __init__(self, plan: Plan, p: float, ends: Sequence[tuple[Marks, Marks]]) -> None:
        self._layers, self._p, self._ends = plan.layers, p, ends
        self._counts: list[bytes | int] = []

    def code_counts(self, coder: Coder, masks: Sequence[bytes] | None = None) -> list[int]:
        """Codes how many weights of each group are kept, and returns how many of each layer.

        Args:
            coder: a writer is given masks.
            masks: per layer a byte of 0 or 1 for each weight that is there.

        Raises:
            ValueError: a number that contradicts p.
        """
        trees: dict[int, Tree] = {}
        kept = []
        for number, layer in enumerate(self._layers):
            counts = []
            for start, end, low, high in self._groups(number):
                above = masks[number].count(1, start, end) - low if masks else 0
                if not 0 <= low <= low + above <= high:
                    raise ValueError(f"another number of weights in {layer.name} than p = {self._p:g} leaves")
                if layer.mask_n == 0:
                    above = coder.uniform(high - low + 1, above)
                elif low < high:
                    tree = trees.setdefault(high - low, Tree((high - low).bit_length()))
                    (above,) = coder.tree(tree, [above])
                if low + above > high:
                    raise ValueError(f"more weights in {layer.name} than p = {self._p:g} leaves")
                counts.append(low + above)
            kept.append(sum(counts))
            self._counts.append(bytes(counts) if layer.mask_n else counts[0])
        return kept

    def code_marks(self, coder: Coder, masks: Sequence[bytes] | None = None) -> list[bytes]:
        """Codes the masks themselves, after ``code_counts``, and returns them."""
        found = []
        for number in range(len(self._layers)):
            whole = masks[number] if masks else bytes(_left(self._layers[number], *self._ends[number]))
            marks = [coder.mask(whole[start:end], ones) for start, end, ones in self._kept(number)]
            found.append(b"".join(marks))
        return found

    def least_bits(self) -> float:
        """Bits of a stream with the counts that were coded: its masks, and a quarter of all codes' bits."""
        kinds: Counter[tuple[int, int]] = Counter()
        codes = 0
        for number, layer in enumerate(self._layers):
            for start, end, ones in self._kept(number):
                kinds[end - start, ones] += 1
                codes += ones * layer.bits
        return sum(times * mask_bits(*kind) for kind, times in kinds.items()) + codes / 4

    def _groups(self, number: int) -> Iterator[tuple[int, int, int, int]]:
        """Of each group where it starts and ends among the weights that are there, and the least and most that it keeps."""
        layer, (outputs, inputs) = self._layers[number], self._ends[number]
        kept = kept_count(layer.weights, self._p)
        if layer.mask_n == 0:
            left = _left(layer, outputs, inputs)
            yield 0, left, max(0, kept - (layer.weights - left)), min(kept, left)
            return
        pairs = read_pairs(layer, outputs, inputs)
        there = (pairs[within_groups(layer)] if layer.groups > 1 else pairs).repeat(layer.kernel**2).tobytes()
        place = 0
        for start, end, few in mask_groups(layer.weights, kept, layer.mask_n):
            left = there.count(1, start, end)
            yield place, place + left, max(0, few - (end - start - left)), min(few, left)
            place += left

    def _kept(self, number: int) -> Iterator[tuple[int, int, int]]:
        """Of each group where it starts and ends among the weights that are there, and how many it keeps."""
        counts = self._counts[number]
        for group, (start, end, _, _) in enumerate(self._groups(number)):
            yield start, end, counts if isinstance(counts, int) else counts[group]


def _left(layer: Layer, outputs: Marks, inputs: Marks) -> int:
    """Weights that are there."""
    return int(read_pairs(layer, outputs, inputs).sum()) * layer.kernel**2
