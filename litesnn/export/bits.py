"""Bit streams of a packed file: codes of a few bits each, and the positions of the kept weights.

All streams fill bytes from the lowest bit. Positions are written in the smaller of two forms:

- ``bitmap``: one bit per weight;
- ``rice<k>``, k above 0: a Golomb-Rice code of the gaps between kept weights. With q = gap >> k and r = gap mod 2^k, first all q
  in unary (q zeros and a one), then all r in k bits. Where a share s is kept at random, gaps are geometric and the
  shortest code has H(s) / s bits per kept weight; this one needs 2 to 3 % more and decodes in a few NumPy operations.

``all`` stands for no pruning and takes no bits.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Bits = NDArray[np.uint8]
_LARGEST_K = 15


def pack_codes(codes: list[NDArray[np.uint8]], bits: list[int]) -> Bytes:
    """Layers' codes one after another.

    Args:
        codes: per layer its codes ``[kept]``, 0 to 2^b - 1.
        bits: per layer b, 1 to 4.
    """
    parts = [_expand(layer, b) for layer, b in zip(codes, bits, strict=True)]
    return np.packbits(np.concatenate(parts), bitorder="little")


def unpack_codes(stream: Bytes, counts: list[int], bits: list[int]) -> list[NDArray[np.uint8]]:
    """The inverse of ``pack_codes``.

    Args:
        stream: what it returned.
        counts: codes per layer.
        bits: as there.

    Raises:
        ValueError: the stream is shorter or longer than these codes.
    """
    lengths = [count * b for count, b in zip(counts, bits, strict=True)]
    flat = _unpack(stream, sum(lengths))
    parts = np.split(flat, np.cumsum(lengths)[:-1])
    return [_collect(part, b).astype(np.uint8) for part, b in zip(parts, bits, strict=True)]


def pack_positions(mask: NDArray[np.bool_]) -> tuple[str, Bytes]:
    """Marks of kept weights ``[n]`` in their smallest form: its name and its bytes."""
    if mask.all():
        return "all", np.zeros(0, np.uint8)
    gaps = _gaps(mask)
    lengths = {k: int((gaps >> k).sum()) + len(gaps) * (k + 1) for k in range(_LARGEST_K + 1)}
    k = min(lengths, key=lengths.__getitem__)
    if k == 0:  # the bitmap itself, but for zeros at its end
        return "bitmap", np.packbits(mask, bitorder="little")
    unary = np.zeros(int((gaps >> k).sum()) + len(gaps), np.uint8)
    unary[np.cumsum((gaps >> k) + 1) - 1] = 1
    rest = _expand(gaps & ((1 << k) - 1), k)
    return f"rice{k}", np.packbits(np.concatenate([unary, rest]), bitorder="little")


def unpack_positions(form: str, stream: Bytes, kept: int, weights: int) -> NDArray[np.bool_]:
    """The inverse of ``pack_positions``.

    Args:
        form: its name.
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


def _gaps(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Pruned weights before each kept one, since the kept one before it."""
    return np.diff(np.flatnonzero(mask), prepend=-1) - 1


def _expand(values: NDArray[np.integer], bits: int) -> Bits:
    """``[n]`` to the n * bits bits of them, lowest first."""
    return ((values[:, None] >> np.arange(bits)) & 1).astype(np.uint8).ravel()


def _collect(flat: Bits, bits: int) -> NDArray[np.int64]:
    """The inverse of ``_expand``; zeros for values of no bits need their number from elsewhere and broadcast."""
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
