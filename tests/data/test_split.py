"""Stratified splits: the promised counts per class, for any labels."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from litesnn.checks import InputError
from litesnn.data.split import halves, stratified_split

labels_lists = st.lists(st.integers(0, 4), min_size=0, max_size=60)
seeds = st.integers(0, 2**31)


@given(labels_lists, st.floats(0.01, 0.99), seeds)
def test_a_split_is_disjoint_complete_and_leaves_every_class_on_both_sides(labels, fraction, seed):
    train, val = stratified_split(torch.tensor(labels, dtype=torch.int64), fraction, seed)
    assert sorted(train.tolist() + val.tolist()) == list(range(len(labels)))
    for label in set(labels):
        size = labels.count(label)
        held = sum(labels[index] == label for index in val.tolist())
        if size == 1:
            assert held == 0
        else:
            assert 1 <= held <= size - 1
            assert abs(held - fraction * size) <= 1


def test_the_share_is_rounded_half_up_per_class():
    labels = torch.tensor([0] * 25 + [1] * 14)  # 2.5 -> 3 and 1.4 -> 1
    _, val = stratified_split(labels, 0.1, seed=3)
    assert labels[val].bincount().tolist() == [3, 1]


def test_the_seed_decides():
    labels = torch.arange(200) % 4
    first, again, other = (stratified_split(labels, 0.25, seed)[1] for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_held_out_samples_are_spread_over_the_class():
    _, val = stratified_split(torch.zeros(1000, dtype=torch.int64), 0.5, seed=0)
    assert 400 < val.double().mean() < 600  # the first or last 500 would have a mean of 250 or 750


@given(labels_lists, seeds)
def test_halves_differ_by_one_sample_at_most_in_all_and_per_class(labels, seed):
    first, second = halves(torch.tensor(labels, dtype=torch.int64), seed)
    assert sorted(first.tolist() + second.tolist()) == list(range(len(labels)))
    assert abs(len(first) - len(second)) <= 1
    for label in set(labels):
        assert abs(sum(labels[i] == label for i in first) - sum(labels[i] == label for i in second)) <= 1


def test_halves_follow_the_seed():
    labels = torch.arange(100) % 5
    assert torch.equal(halves(labels, 7)[0], halves(labels, 7)[0])
    assert not torch.equal(halves(labels, 7)[0], halves(labels, 8)[0])


@pytest.mark.parametrize(("fraction", "seed"), [(0.0, 0), (1.0, 0), (float("nan"), 0), (0.5, -1)])
def test_bad_arguments_are_refused(fraction, seed):
    with pytest.raises(InputError, match="expected .*, got"):
        stratified_split(torch.tensor([0, 0, 1, 1]), fraction, seed)
