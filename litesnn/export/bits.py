"""Bit streams of packed files of format 1: codes of a few bits each, and the positions of the kept weights.

All streams fill bytes from the lowest bit. Positions are in one of two forms:

- ``bitmap``: one bit per weight;
- ``rice<k>``, k above 0: a Golomb-Rice code of the gaps between kept weights. With q = gap >> k and r = gap mod 2^k, first all q
  in unary (q zeros and a one), then all r in k bits.

``all`` stands for no pruning and takes no bits.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Bits = NDArray[np.uint8]
_LARGEST_K = 15


def unpack_codes(stream: Bytes, counts: list[int], bits: list[int]) -> list[NDArray[np.uint8]]:
    """Layers' codes, which lie one after another.

    Args:
        stream: their bytes.
        counts: codes per layer.
        bits: per layer b, 1 to 4.

    Returns:
        Per layer its codes ``[count]``, 0 to 2^b - 1.

    Raises:
        ValueError: the stream is shorter or longer than these codes.
    """
    lengths = [count * b for count, b in zip(counts, bits, strict=True)]
    flat = _unpack(stream, sum(lengths))
    parts = np.split(flat, np.cumsum(lengths)[:-1])
    return [_collect(part, b).astype(np.uint8) for part, b in zip(parts, bits, strict=True)]


def unpack_positions(form: str, stream: Bytes, kept: int, weights: int) -> NDArray[np.bool_]:
    """Marks of kept weights ``[n]``.

    Args:
        form: of the stream.
        stream: its bytes.
        kept: how many weights are kept.
        weights: n.

    Raises:
        ValueError: form, stream and counts do not go together.
    """
    if form == "all":
        if kept != weights or len(stream):
            raise ValueError("positions of another network")
        return np.ones(weights, np.bool_)
    if form == "bitmap":
        mask = _unpack(stream, weights).astype(np.bool_)
        if int(mask.sum()) != kept:
            raise ValueError("a bitmap with another number of kept weights")
        return mask
    k = int(form.removeprefix("rice")) if form.startswith("rice") and form[4:].isdecimal() and len(form) < 7 else -1
    if not 0 <= k <= _LARGEST_K:
        raise ValueError(f"positions in an unknown form {form[:20]!r}")
    if kept * (k + 1) > 8 * len(stream):
        raise ValueError("too few positions")
    flat = np.unpackbits(stream, bitorder="little")
    ones = np.flatnonzero(flat)[:kept] if kept else np.zeros(0, np.int64)
    end = int(ones[-1]) + 1 if len(ones) else 0
    if len(ones) < kept:
        raise ValueError("too few positions")
    rest = _unpack(stream, end + kept * k)[end:]
    gaps = ((np.diff(ones, prepend=-1) - 1) << k) + _collect(rest, k)
    positions = np.cumsum(gaps + 1) - 1
    if kept and int(positions[-1]) >= weights:
        raise ValueError("a position behind the last weight")
    mask = np.zeros(weights, np.bool_)
    mask[positions] = True
    return mask


def _collect(flat: Bits, bits: int) -> NDArray[np.int64]:
    """Numbers of ``bits`` bits each, lowest first; zeros for values of no bits need their number from elsewhere and broadcast."""
    if bits == 0:
        return np.zeros(1, np.int64)
    return flat.reshape(-1, bits).astype(np.int64) @ (1 << np.arange(bits))


def _unpack(stream: Bytes, length: int) -> Bits:
    """The first ``length`` bits of a stream that has no more bytes than it needs, the last one padded by zeros."""
    if len(stream) != -(-length // 8):
        raise ValueError(f"a stream of {len(stream)} bytes instead of {-(-length // 8)}")
    flat = np.unpackbits(stream, bitorder="little")
    if flat[length:].any():
        raise ValueError("a stream that goes on behind its end")
    return flat[:length]
