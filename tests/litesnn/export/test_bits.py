"""Bit streams of format 1: anything that fits is read, by hand and at random, and streams that are none are refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from litesnn.export.bits import unpack_codes, unpack_positions
from litesnn.export.sizes import entropy_bits


def filled(bits: list[int]) -> np.ndarray:
    """Bytes filled from the lowest bit."""
    return np.packbits(np.array(bits, np.uint8), bitorder="little")


@given(st.lists(st.booleans(), min_size=1, max_size=400), st.integers(0, 6))
def test_positions_in_every_form(marks: list[bool], k: int) -> None:
    mask = np.array(marks)
    assert np.array_equal(unpack_positions("bitmap", filled(list(marks)), int(mask.sum()), len(mask)), mask)
    gaps = (np.diff(np.flatnonzero(mask), prepend=-1) - 1).tolist()
    unary = [bit for gap in gaps for bit in [0] * (gap >> k) + [1]]
    rest = [gap >> i & 1 for gap in gaps for i in range(k)]
    assert np.array_equal(unpack_positions(f"rice{k}", filled(unary + rest), len(gaps), len(mask)), mask)


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(0, 50)), min_size=1, max_size=6), st.integers(0, 99))
def test_codes_of_every_width(layers: list[tuple[int, int]], seed: int) -> None:
    draw = np.random.default_rng(seed)
    codes = [draw.integers(0, 1 << bits, count, dtype=np.uint8) for bits, count in layers]
    flat = [
        int(code) >> i & 1
        for (bits, _), layer in zip(layers, codes, strict=True)
        for code in layer
        for i in range(bits)
    ]
    got = unpack_codes(filled(flat), [count for _, count in layers], [bits for bits, _ in layers])
    assert all(np.array_equal(a, b) for a, b in zip(got, codes, strict=True))


def test_streams_by_hand() -> None:
    # Codes 1, 2, 3 of two bits, lowest bit first: 10 01 11 -> 0b111001.
    (codes,) = unpack_codes(np.array([0b111001], np.uint8), [3], [2])
    assert codes.tolist() == [1, 2, 3]
    # Kept at 2 and 9 of 10: gaps 2 and 6. With k = 2: q 0 and 1 in unary 1 01, r 2 and 2 as 01 01: 7 bits.
    assert np.flatnonzero(unpack_positions("rice2", np.array([0b1010101], np.uint8), 2, 10)).tolist() == [2, 9]
    assert unpack_positions("all", np.zeros(0, np.uint8), 9, 9).all()


def test_entropy_of_a_position() -> None:
    assert entropy_bits(0.5) == 2
    assert entropy_bits(0.2) == pytest.approx(3.6096, abs=1e-4)  # H(0.2) = 0.7219
    assert entropy_bits(1) == 0


@pytest.mark.parametrize(
    ("form", "stream", "kept", "weights"),
    [
        ("all", [], 3, 4),
        ("all", [1], 4, 4),
        ("bitmap", [255], 7, 8),
        ("bitmap", [255, 0], 8, 8),
        ("bitmap", [255], 4, 4),  # bits behind the end
        ("rice0", [0], 1, 8),
        ("rice1", [0b10], 1, 2),  # position 2 of 2
        ("rice3", [255], 8, 99),
        ("rice16", [255], 1, 99),
        ("rice-1", [255], 1, 99),
        ("zip", [255], 1, 99),
    ],
)
def test_positions_that_are_none(form: str, stream: list[int], kept: int, weights: int) -> None:
    with pytest.raises(ValueError):
        unpack_positions(form, np.array(stream, np.uint8), kept, weights)


def test_codes_that_are_none() -> None:
    for stream in ([1, 2], [], [0b10000]):
        with pytest.raises(ValueError):
            unpack_codes(np.array(stream, np.uint8), [2], [2])
