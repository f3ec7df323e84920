"""What leaves a packed network makes no difference: the other channels' spikes and all scores stay, to the last bit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from litesnn.export.packed import Packed
from litesnn.export.runtime import Runtime
from litesnn.export.trim import trim
from litesnn.kept import kept_count
from tests.litesnn.export.old_file import answers_alike, inputs, old_network


@pytest.fixture(scope="module")
def sparse() -> Packed:
    """The network of the old file, thinned out until it has channels of every kind."""
    packed, draw = old_network(), np.random.default_rng(0)
    codes = []
    for layer in packed.codes:
        thin, kept = np.zeros_like(layer), np.flatnonzero(layer)
        some = draw.choice(kept, kept_count(layer.size, 90), replace=False)
        thin.flat[some] = layer.flat[some]
        codes.append(thin)
    return replace(packed, codes=tuple(codes), genotype={**packed.genotype, "p": 90.0})


def test_spikes_of_what_is_left_and_all_scores_are_the_same(sparse: Packed) -> None:
    trimmed, alive = trim(sparse)
    left, count = sum(int(marks.sum()) for marks in alive), sum(map(len, alive))
    assert 0.2 * count < left < 0.9 * count
    assert answers_alike(sparse, trimmed, alive) > 500
    assert all(Runtime(trimmed)(x).additions < Runtime(sparse)(x).additions for x in inputs(3))


def test_twice_is_once(sparse: Packed) -> None:
    trimmed, alive = trim(sparse)
    again, same = trim(trimmed)
    assert all(map(np.array_equal, alive, same)) and all(map(np.array_equal, trimmed.codes, again.codes))
    assert again.to_bytes() == trimmed.to_bytes() == sparse.to_bytes()


def test_by_hand() -> None:
    packed = old_network()
    plan = packed.plan
    last = [np.zeros_like(codes) for codes in packed.codes]
    # Only stem channel 0 gets weights, and a chain of single weights leads from it to the classifier; nothing else is read.
    last[0][0, 0, 1, 1] = 1
    rows = [0, *(row for row in plan.layers[-1].reads)]
    assert trim(replace(packed, codes=tuple(last)))[1][0].sum() == 0  # read by nobody
    last[-1][0, 0] = 1  # the classifier reads channel 0 of the last cell's first node
    _, alive = trim(replace(packed, codes=tuple(last), bias=tuple(np.ones_like(b) for b in packed.bias)))
    assert alive[plan.layers[-1].reads[0]].tolist() == [True] + [False] * (len(alive[rows[1]]) - 1)
    _, alive = trim(replace(packed, codes=tuple(last), bias=tuple(0.4 + 0 * b for b in packed.bias)))
    # 0.4 leaks to 0.4 * (1 + 0.2 + 0.04) = 0.496 < 0.5 in three timesteps; only what skips may add keeps a channel.
    first = plan.rows[plan.layers[-1].reads[0]]
    assert alive[plan.layers[-1].reads[0]].any() == bool(first.skips)


def test_what_is_removed_may_free_more() -> None:
    """Where the classifier reads nothing all goes, cell by cell, in one call."""
    packed = old_network()
    trimmed, alive = trim(replace(packed, codes=(*packed.codes[:-1], np.zeros_like(packed.codes[-1]))))
    assert not any(marks.any() for marks in alive) and sum(trimmed.kept) == 0
