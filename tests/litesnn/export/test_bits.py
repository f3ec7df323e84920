"""Bit streams: there and back for anything, the smaller form, close to the entropy, and streams that are none."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from litesnn.export.bits import pack_codes, pack_positions, unpack_codes, unpack_positions
from litesnn.export.sizes import entropy_bits


@given(st.lists(st.booleans(), min_size=1, max_size=400))
def test_positions_there_and_back(marks: list[bool]) -> None:
    mask = np.array(marks)
    form, stream = pack_positions(mask)
    assert len(stream) <= -(-len(mask) // 8)
    assert np.array_equal(unpack_positions(form, stream, int(mask.sum()), len(mask)), mask)


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(0, 50)), min_size=1, max_size=6), st.integers(0, 99))
def test_codes_there_and_back(layers: list[tuple[int, int]], seed: int) -> None:
    draw = np.random.default_rng(seed)
    codes = [draw.integers(0, 1 << bits, count, dtype=np.uint8) for bits, count in layers]
    stream = pack_codes(codes, [bits for bits, _ in layers])
    assert len(stream) == -(-sum(bits * count for bits, count in layers) // 8)
    got = unpack_codes(stream, [count for _, count in layers], [bits for bits, _ in layers])
    assert all(np.array_equal(a, b) for a, b in zip(got, codes, strict=True))


def test_streams_by_hand() -> None:
    # Codes 1, 2, 3 of two bits, lowest bit first: 10 01 11 -> 0b111001.
    assert pack_codes([np.array([1, 2, 3], np.uint8)], [2]).tolist() == [0b111001]
    # Kept at 2 and 9 of 10: gaps 2 and 6. With k = 2: q 0 and 1 in unary 1 01, r 2 and 2 as 01 01: 7 bits against 10.
    mask = np.zeros(10, np.bool_)
    mask[[2, 9]] = True
    form, stream = pack_positions(mask)
    assert (form, stream.tolist()) == ("rice2", [0b1010101])
    assert pack_positions(np.ones(9, np.bool_))[0] == "all"


@pytest.mark.parametrize("p", [50, 70, 80, 90, 95])
def test_positions_at_random_cost_little_more_than_their_entropy(p: int) -> None:
    weights, kept = 200_000, 2000 * (100 - p)
    mask = np.zeros(weights, np.bool_)
    mask[np.random.default_rng(p).choice(weights, kept, replace=False)] = True
    form, stream = pack_positions(mask)
    bound = entropy_bits(1 - p / 100) * kept / 8
    assert 0.995 * bound < len(stream) < 1.035 * bound
    assert (form == "bitmap") == (p == 50)


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
