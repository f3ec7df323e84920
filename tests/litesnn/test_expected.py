"""Decoding by expectation: against every way to round, by hand, and in a search."""

import math
from collections.abc import Callable
from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from litesnn.config import Recipe, SearchPoint
from litesnn.data.dataset import Dataset
from litesnn.expected import rounded_by_remainder, with_expected_bits
from litesnn.genotype import Genotype
from litesnn.held import Held
from litesnn.joint_search import Search

WIDTHS = (1, 2, 4)
NEIGHBOURS = [(1, 2), (2, 4)]


@settings(max_examples=200)
@given(st.lists(st.tuples(st.integers(0, 48), st.integers(1, 9)), min_size=1, max_size=5))
def test_rounding_equals_brute_force(cells: list[tuple[int, int]]) -> None:
    expected = [1 + sixteenths / 16 for sixteenths, _ in cells]
    weights = [count for _, count in cells]
    got = rounded_by_remainder(expected, WIDTHS, weights)

    def allowed(e: float) -> set[int]:
        return {int(e)} if e in WIDTHS else next(set(pair) for pair in NEIGHBOURS if pair[0] < e < pair[1])

    def way(e: float) -> float:
        return 0.0 if e in WIDTHS else next((e - a) / (b - a) for a, b in NEIGHBOURS if a < e < b)

    def upper(bits: int, e: float) -> bool:
        return bits > e

    # Every assignment next to the expectation in which no cell is rounded up before one that is further on its way.
    fair = [
        bits
        for bits in product(WIDTHS, repeat=len(cells))
        if all(b in allowed(e) for b, e in zip(bits, expected, strict=True))
        and not any(
            upper(bits[i], expected[i]) and bits[j] < expected[j] and way(expected[j]) > way(expected[i])
            for i, j in product(range(len(cells)), repeat=2)
        )
    ]
    target = math.fsum(e * w for e, w in zip(expected, weights, strict=True))

    def distance(bits: tuple[int, ...]) -> float:
        return abs(sum(b * w for b, w in zip(bits, weights, strict=True)) - target)

    assert got in fair
    ways = [way(e) for e in expected if e not in WIDTHS]
    if len(set(ways)) == len(ways):  # else equals go by their order
        assert distance(got) == pytest.approx(min(map(distance, fair)))


@pytest.mark.parametrize(
    ("expected", "weights", "bits"),
    [
        ([1.0, 2.0, 4.0], [5, 6, 7], (1, 2, 4)),
        ([2.69, 2.6, 2.79], [1, 2, 2], (2, 2, 4)),  # 13.47 of size: 10, 14, 16 and 20 can be had
        ([1.72, 1.45, 1.51], [1, 2, 2], (2, 1, 2)),  # 7.64 of 5, 6, 8, 10
        ([3.0], [1], (2,)),  # half way: the smaller
        ([1.5, 1.5], [1, 1], (2, 1)),  # equals: the first
    ],
)
def test_by_hand(expected: list[float], weights: list[int], bits: tuple[int, ...]) -> None:
    assert rounded_by_remainder(expected, WIDTHS, weights) == bits


def test_expectations_a_rounding_error_outside_of_the_candidates() -> None:
    assert rounded_by_remainder([4.0000002, 0.9999998], WIDTHS, [3, 3]) == (4, 1)


def recipe_and_genotype() -> tuple[Recipe, Genotype]:
    recipe = Recipe.preset("digits")
    nodes = (((0, "conv3x3"), (1, "conv3x3")), ((1, "conv3x3"), (2, "skip")))
    return recipe, Genotype(nodes=nodes, bits=(4, 4, 4), timesteps=4)


def test_cells_count_by_their_weights() -> None:
    recipe, genotype = recipe_and_genotype()
    # Convolutions of 3 x 3 with 16, 16, and 16, 32, 32 input channels: 3456, 6912 and 11520 weights. Above two bits the size should be
    # 0.9 * 3456 + 0.82 * 6912 + 0.8 * 11520 = 17994; it can be 0, 6912, 20736 or 43776. Of cells of equal weights one would be raised.
    shares = torch.tensor([[0, 0.55, 0.45], [0, 0.59, 0.41], [0, 0.6, 0.4]]).clamp_min(1e-20)
    assert with_expected_bits(genotype, shares.log(), recipe).bits == (4, 4, 2)


def test_a_search_decodes_by_expectation(tiny_recipe: Callable[..., Recipe], tiny_dataset: Dataset) -> None:
    point = SearchPoint(lambda1=0, lambda2=0, p=50)
    found = {}
    for decoding in ("largest", "expected"):
        recipe = tiny_recipe(bit_decoding=decoding, bit_widths=(1, 2, 4))
        for held in (Held(), Held(bits=(1, 4))):
            run = Search(point, recipe, tiny_dataset, device=torch.device("cpu"), held=held)
            with torch.no_grad():
                run.arch.beta.copy_(torch.tensor([0.55, 0.1, 0.35]).log().expand(recipe.cells, 3))
            found[decoding, held.bits] = run.genotype().bits
    assert found["largest", None] == (1, 1)
    assert found["expected", None] == (2, 2)  # 0.55 + 0.2 + 1.4 = 2.15 bits
    assert found["largest", (1, 4)] == found["expected", (1, 4)] == (1, 4)
