"""The arithmetic coder: vectors worked out by hand, there and back for anything, and what its choices cost."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from litesnn.export.coder import Decoder, Encoder, Tree
from litesnn.export.file_layout import Numbers, code_decimal, code_text
from litesnn.kept import mask_bits

floats = st.floats(allow_nan=False, allow_infinity=False)
quick = settings(max_examples=60)


def test_vectors_by_hand() -> None:
    # Of 4 equal choices the third: the interval [2/4, 3/4). Its shortest number of whole bytes is 0x80.
    coder = Encoder()
    coder.uniform(4, 2)
    assert coder.finish() == b"\x80"
    # One 1 among 4 places, the third: 0 with 3/4, 0 with 2/3, 1 with 1/2, then nothing is left to say. The interval is
    # [0, 1/2) and of it the upper half, [1/4, 1/2).
    coder = Encoder()
    coder.mask(bytes([0, 0, 1, 0]), 1)
    assert coder.finish() == b"\x40"
    # A tree of one bit sees 1, 1: upper half, counts 1 and 3, upper 3/4 of that: [1/2 + 1/8, 1) holds 0xa0 to 0xff.
    coder, tree = Encoder(), Tree(1)
    coder.tree(tree, [1, 1])
    assert tree[1] == [1, 5] and coder.finish() == b"\xa0"
    # 4 + 1 = 101 in binary: two bits behind the first, so 1, 1, 0 and then 01: 11001 and three zeros.
    coder = Encoder()
    coder.integer(4)
    assert coder.finish() == bytes([0b11001000])
    assert Decoder(b"\xc8").integer() == 4


def test_what_is_certain_costs_nothing() -> None:
    coder = Encoder()
    coder.mask(bytes(1000), 0)
    coder.mask(b"\1" * 1000, 1000)
    assert coder.finish() == b""
    assert Decoder(b"").mask(bytes(3), 3) == b"\1\1\1"


@quick
@given(marks=st.lists(st.integers(0, 1), max_size=300), ahead=st.lists(st.integers(0, 255), max_size=3))
def test_masks_there_and_back_at_their_bound(marks: list[int], ahead: list[int]) -> None:
    coder = Encoder()
    for value in ahead:
        coder.bits(8, value)
    coder.mask(bytes(marks), sum(marks))
    content = coder.finish()
    assert len(content) <= len(ahead) + math.ceil(mask_bits(len(marks), sum(marks)) / 8) + 1
    decoder = Decoder(content)
    assert [decoder.bits(8) for _ in ahead] == ahead
    assert decoder.mask(bytes(len(marks)), sum(marks)) == bytes(marks)


@quick
@given(
    values=st.lists(st.integers(0, 15), max_size=200),
    integers=st.lists(st.integers(0, 2**63), max_size=5),
    numbers=st.lists(floats | st.floats(width=32, allow_nan=False, allow_infinity=False), max_size=5),
    text=st.binary(max_size=9),
)
def test_everything_in_a_row(values: list[int], integers: list[int], numbers: list[float], text: bytes) -> None:
    coder, tree, kind = Encoder(), Tree(4), Numbers()
    coder.tree(tree, values)
    assert [coder.integer(value) for value in integers] == integers
    assert [kind.code(coder, value) for value in numbers] == numbers
    code_text(coder, text)
    decoder, again, kind = Decoder(coder.finish() + b"\0\0"), Tree(4), Numbers()
    assert decoder.tree(again, values) == values and again == tree
    assert [decoder.integer() for _ in integers] == integers
    assert [kind.code(decoder) for _ in numbers] == numbers
    assert code_text(decoder) == text


@quick
@given(st.floats(0, 1e15) | st.sampled_from([0.0, 0.2, 95.0, 1e18, 83.17264, 5e-324, 0.1 + 0.2]))
def test_decimals_are_the_same_double(value: float) -> None:
    coder = Encoder()
    code_decimal(coder, value)
    assert code_decimal(Decoder(coder.finish())) == value


def test_a_carry_runs_through_many_bytes() -> None:
    coder = Encoder()
    for _ in range(3000):  # the upper end of the interval stays, so a later choice may carry through all of it
        coder.uniform(3, 2)
    coder.bits(16, 65535)
    decoder = Decoder(coder.finish())
    assert [decoder.uniform(3) for _ in range(3000)] == [2] * 3000 and decoder.bits(16) == 65535


def test_learnt_values_cost_their_entropy() -> None:
    values = [0, 0, 0, 1] * 2000
    coder = Encoder()
    coder.tree(Tree(1), values)
    assert 8 * len(coder.finish()) < 8000 * 0.8113 * 1.002 + 16  # H(1/4) = 0.8113


@pytest.mark.parametrize("content", [b"", b"\xff" * 4])
def test_streams_that_end_too_early(content: bytes) -> None:
    decoder = Decoder(content)
    with pytest.raises(ValueError, match="too early|no encoder|too large"):
        for _ in range(100):
            decoder.bits(16)
    with pytest.raises(ValueError):
        Decoder(b"\xff" * 40).integer()
