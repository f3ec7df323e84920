"""An arithmetic coder in integers: every choice costs what its probability says, to a byte or two for a whole file.

It holds an interval ``low <= x < low + width`` of 40-bit numbers. A choice with counts a and b takes the lower
``width // (a + b) * a`` of it where it is 0 and the rest where it is 1; when the interval is shorter than 2^32 its
first byte is settled and leaves. The reader needs only ``x - low`` and ``width``. Counts come from two places:

- a *mask* of k ones among n places is given k: at each place the counts are the zeros and the ones still to come. Each
  of the C(n, k) masks so costs log2 C(n, k) bits, which no code can undercut where masks are random, and a mask of
  nothing or of everything costs nothing;
- a *tree* learns: a value of d bits is d choices from the highest, each with counts of its own that grow by 2.

``Encoder`` and ``Decoder`` share every method: the encoder is given values and returns them, the decoder is given
anything and returns what it reads. Nothing here knows networks.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

_FULL, _SHORT, _LOW_BITS = 1 << 40, 1 << 32, (1 << 32) - 1
_LONGEST = 64  # bits of the largest integer
LARGEST_TOTAL = 1 << 24
"""Of counts, so that an interval of 2^32 is divided to better than 1 in 256."""


class Tree(dict[int, list[int]]):
    """Counts of zeros and ones, 1 and 1 at first, for values of ``depth`` bits.

    Node 1 is the highest bit, 2 i + bit follows node i; a node is there once it has been met.
    """

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.depth = depth

    def __missing__(self, node: int) -> list[int]:
        counts = self[node] = [1, 1]
        return counts


class Coder(ABC):
    """What encoder and decoder have in common: codings made of single choices."""

    @abstractmethod
    def uniform(self, choices: int, value: int = 0) -> int:
        """One of ``choices`` equally likely values, at most ``LARGEST_TOTAL`` of them."""

    @abstractmethod
    def tree(self, tree: Tree, values: Sequence[int]) -> list[int]:
        """As many values as ``values`` has, by and into the counts of ``tree``."""

    @abstractmethod
    def mask(self, mask: bytes, ones: int) -> bytes:
        """Zeros and ones, as many places as ``mask`` has, of which ``ones`` are 1."""

    def bits(self, count: int, value: int = 0) -> int:
        """An integer of ``count`` bits, 16 at a time from the highest."""
        found = 0
        for start in range(0, count, 16):
            size = min(16, count - start)
            found = found << size | self.uniform(1 << size, value >> (count - start - size) & ((1 << size) - 1))
        return found

    def integer(self, value: int = 0) -> int:
        """An integer from 0 (Elias gamma of value + 1): a 1 for each bit behind the first, a 0, and these bits."""
        wanted, length = (value + 1).bit_length() - 1, 0
        while self.uniform(2, int(length < wanted)):
            length += 1
            if length > _LONGEST:
                raise ValueError("an integer that is too large")
        return (1 << length) + self.bits(length, (value + 1) & ((1 << length) - 1)) - 1


class Encoder(Coder):
    """Writes; ``finish`` gives the bytes."""

    def __init__(self) -> None:
        self._out, self._low, self._width = bytearray(), 0, _FULL

    def uniform(self, choices: int, value: int = 0) -> int:
        self._width //= choices
        self._low += self._width * value
        self._settle()
        return value

    def tree(self, tree: Tree, values: Sequence[int]) -> list[int]:
        for value in values:
            node = 1
            for shift in range(tree.depth - 1, -1, -1):
                counts, bit = tree[node], value >> shift & 1
                self._choose(counts[0], counts[0] + counts[1], bit)
                counts[bit] += 2
                node = 2 * node + bit
        return list(values)

    def mask(self, mask: bytes, ones: int) -> bytes:
        for left, bit in zip(range(len(mask), 0, -1), mask, strict=True):
            if ones == 0 or ones == left:
                break
            self._choose(left - ones, left, bit)
            ones -= bit
        return mask

    def finish(self) -> bytes:
        """The shortest bytes inside the interval; zeros at the end are left out, the decoder adds them."""
        for size in range(6):
            step = 1 << (40 - 8 * size)
            value = -(-self._low // step) * step
            if value < self._low + self._width:
                self._low = value
                break
        self._carry()
        return bytes(self._out + self._low.to_bytes(5, "big")).rstrip(b"\0")

    @property
    def bits_written(self) -> float:
        """What the choices so far cost."""
        return 8 * len(self._out) + math.log2(_FULL / self._width)

    def _choose(self, zeros: int, total: int, bit: int) -> None:
        lower = self._width // total * zeros
        if bit:
            self._low += lower
            self._width -= lower
        else:
            self._width = lower
        if self._width < _SHORT:
            self._settle()

    def _settle(self) -> None:
        self._carry()
        while self._width < _SHORT:
            self._out.append(self._low >> 32)
            self._low = (self._low & _LOW_BITS) << 8
            self._width <<= 8

    def _carry(self) -> None:
        if self._low >= _FULL:
            self._low -= _FULL
            place = len(self._out) - 1
            while self._out[place] == 255:
                self._out[place] = 0
                place -= 1
            self._out[place] += 1


class Decoder(Coder):
    """Reads what ``Encoder`` wrote.

    Args:
        content: what ``Encoder.finish`` returned; zeros may follow.

    Raises:
        ValueError: in any method, where the content cannot be what an encoder wrote or ends too early.
    """

    def __init__(self, content: bytes) -> None:
        self._content, self._place = content, 5
        self._value, self._width = int.from_bytes(content[:5].ljust(5, b"\0"), "big"), _FULL

    def uniform(self, choices: int, value: int = 0) -> int:
        self._width //= choices
        found = self._value // self._width
        if found >= choices:
            raise ValueError("a stream that no encoder writes")
        self._value -= self._width * found
        self._fill()
        return found

    def tree(self, tree: Tree, values: Sequence[int]) -> list[int]:
        depth, width, value = tree.depth, self._width, self._value
        found = [0] * len(values)
        for place in range(len(found)):
            node = 1
            for _ in range(depth):
                counts = tree[node]
                zeros, ones = counts
                lower = width // (zeros + ones) * zeros
                if value < lower:
                    width = lower
                    counts[0] = zeros + 2
                    node += node
                else:
                    value -= lower
                    width -= lower
                    counts[1] = ones + 2
                    node += node + 1
                if width < _SHORT:
                    self._width, self._value = width, value
                    self._fill()
                    width, value = self._width, self._value
            found[place] = node - (1 << depth)
        self._width, self._value = width, value
        return found

    def mask(self, mask: bytes, ones: int) -> bytes:
        width, value = self._width, self._value
        found, places = bytearray(len(mask)), len(mask)
        for place in range(places):
            left = places - place
            if ones == 0 or ones == left:
                found[place:] = bytes([ones > 0]) * left
                break
            lower = width // left * (left - ones)
            if value < lower:
                width = lower
            else:
                value -= lower
                width -= lower
                found[place] = 1
                ones -= 1
            if width < _SHORT:
                self._width, self._value = width, value
                self._fill()
                width, value = self._width, self._value
        self._width, self._value = width, value
        return bytes(found)

    def _fill(self) -> None:
        while self._width < _SHORT:
            byte = self._content[self._place] if self._place < len(self._content) else 0
            self._value = self._value << 8 | byte
            self._width <<= 8
            self._place += 1
        if self._place > len(self._content) + 5 + 8:
            raise ValueError("a stream that ends too early")
