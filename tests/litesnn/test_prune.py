"""Pruning masks against sorting, and the kept count against decimal arithmetic."""

import math
from decimal import ROUND_HALF_UP, Decimal

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from litesnn.checks import InputError
from litesnn.kept import kept_count, mask_groups, position_bits
from litesnn.prune import prune_mask


def expected_count(weights: int, p: float) -> int:
    """(1 - p / 100) * weights in decimal, half rounded up."""
    return int(((100 - Decimal(str(p))) * weights / 100).quantize(Decimal(1), rounding=ROUND_HALF_UP))


def expected_mask(scores: list[float], p: float) -> list[int]:
    """The first ``expected_count`` of the indices sorted by falling |score|, then by index."""
    ranked = sorted(range(len(scores)), key=lambda i: (-abs(scores[i]), i))
    kept = set(ranked[: expected_count(len(scores), p)])
    return [int(i in kept) for i in range(len(scores))]


@pytest.mark.parametrize(
    ("weights", "p", "kept"),
    [
        (15, 90, 2),  # 1.5
        (25, 90, 3),  # 2.5: half up, not to even
        (15, 33.3, 10),  # 10.005
        (10, 0, 10),
        (1, 50, 1),  # 0.5
        (1, 50.1, 0),
        (3, 99.9, 0),
        (1000, 33.35, 667),  # 666.5, which binary floating point takes for less
        (2000, 99.975, 1),  # 0.5
        (3981312, 80, 796262),  # 796262.4
    ],
)
def test_kept_count_at_known_values(weights: int, p: float, kept: int) -> None:
    assert kept_count(weights, p) == kept


@settings(max_examples=200)
@given(weights=st.integers(1, 5000), thousandths=st.integers(0, 99_999))
def test_kept_count_equals_decimal_arithmetic(weights: int, thousandths: int) -> None:
    p = thousandths / 1000
    assert kept_count(weights, p) == expected_count(weights, p)


@settings(max_examples=150)
@given(
    scores=st.lists(st.integers(-4, 4), min_size=1, max_size=25),  # few values: many ties
    p=st.sampled_from([0, 10, 33.3, 50, 66.7, 75, 90, 95, 99.9]),
)
def test_mask_equals_sorting(scores: list[int], p: float) -> None:
    mask = prune_mask(torch.tensor(scores, dtype=torch.float32) / 8, p)
    assert mask.tolist() == expected_mask([s / 8 for s in scores], p)


@settings(max_examples=60)
@given(
    layers=st.lists(st.lists(st.integers(-3, 3), min_size=12, max_size=12), min_size=1, max_size=4),
    p=st.sampled_from([0, 20, 50, 90, 99]),
)
def test_stacked_layers_are_pruned_each_alone(layers: list[list[int]], p: float) -> None:
    scores = torch.tensor(layers, dtype=torch.float32).view(len(layers), 2, 3, 2, 1)
    mask = prune_mask(scores, p, start_dim=1)
    assert mask.shape == scores.shape and mask.dtype == scores.dtype
    for layer, got in zip(layers, mask.flatten(1).tolist(), strict=True):
        assert got == expected_mask([float(s) for s in layer], p)


def expected_groups(weights: int, p: float, n: int) -> list[tuple[int, int, int]]:
    """Each weight i of a layer belongs to group floor(i * kept / (weights * n)), in exact arithmetic."""
    kept = expected_count(weights, p)
    groups: dict[int, list[int]] = {}
    for i in range(weights):
        groups.setdefault(i * kept // (weights * n), []).append(i)
    members = list(groups.values())
    return [(g[0], g[-1] + 1, min(n, kept - j * n)) for j, g in enumerate(members)]


@settings(max_examples=300)
@given(
    weights=st.integers(1, 60),
    p=st.sampled_from([0, 10, 33.3, 50, 66.7, 75, 80, 90, 97]),
    n=st.integers(1, 5),
)
def test_groups_of_nm_masks(weights: int, p: float, n: int) -> None:
    kept = kept_count(weights, p)
    groups = list(mask_groups(weights, kept, n))
    assert groups == expected_groups(weights, p, n)
    assert sum(few for _, _, few in groups) == kept and all(few <= end - start for start, end, few in groups)
    sizes = [end - start for start, end, _ in groups][:-1]
    assert max(sizes, default=0) - min(sizes, default=0) <= 1


def test_four_of_five_pruned_is_one_of_every_five() -> None:
    assert list(mask_groups(20, 4, 1)) == [(0, 5, 1), (5, 10, 1), (10, 15, 1), (15, 20, 1)]
    assert position_bits(1000, 200, 1) == pytest.approx(200 * math.log2(5))
    assert position_bits(1000, 500, 2) == pytest.approx(250 * math.log2(6))  # 2:4
    assert position_bits(1000, 200) == pytest.approx(math.log2(math.comb(1000, 200)))
    assert position_bits(1000, 0, 1) == 0


@settings(max_examples=150)
@given(
    layers=st.lists(st.lists(st.integers(-3, 3), min_size=23, max_size=23), min_size=1, max_size=3),
    p=st.sampled_from([0, 20, 50, 80, 90, 99]),
    n=st.integers(1, 4),
)
def test_nm_mask_equals_sorting_each_group(layers: list[list[int]], p: float, n: int) -> None:
    scores = torch.tensor(layers, dtype=torch.float32)
    mask = prune_mask(scores, p, start_dim=1, n=n)
    for layer, got in zip(layers, mask.tolist(), strict=True):
        expected = [0] * len(layer)
        for start, end, few in expected_groups(len(layer), p, n):
            for i in sorted(range(start, end), key=lambda i: (-abs(layer[i]), i))[:few]:
                expected[i] = 1
        assert got == expected


@pytest.mark.parametrize("p", [0, 50, 99.9])
def test_gradient_goes_straight_through_to_the_size_of_the_score(p: float) -> None:
    scores = torch.tensor([0.5, -0.25, 2.0, -3.0, 0.0], requires_grad=True)
    upstream = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0])
    prune_mask(scores, p).backward(upstream)
    assert scores.grad is not None
    # Pruned or not: d|s|/ds is the sign.
    assert scores.grad.tolist() == [1.0, -2.0, 3.0, -4.0, 0.0]


def test_scores_are_left_alone() -> None:
    scores = torch.tensor([0.5, -0.25, 2.0])
    prune_mask(scores, 50)
    assert scores.tolist() == [0.5, -0.25, 2.0]


@pytest.mark.parametrize("p", [-0.1, 100, 250, float("nan"), float("inf"), True, "50", None])
def test_p_outside_its_range_is_refused(p: object) -> None:
    with pytest.raises(InputError, match=r"^p: expected .* at least 0 and below 100, got [^\n]*$"):
        prune_mask(torch.ones(3), p)  # type: ignore[arg-type]
