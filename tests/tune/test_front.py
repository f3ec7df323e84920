"""Dominance and fronts against brute force and a table drawn by hand."""

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from tune.front import front, non_dominated, on_front

# accuracy up, size to the right; * on the front
#   97 |         a*
#   95 |    b*        d
#   95 |    b2* (equal to b: neither dominates the other)
#   90 | c*    e
TRIALS = pd.DataFrame(
    [
        ("a", "finished", 97.0, 300, 9.0),
        ("b", "finished", 95.0, 200, 5.0),
        ("b2", "finished", 95.0, 200, 5.0),
        ("c", "finished", 90.0, 100, 7.0),
        ("d", "finished", 95.0, 400, 4.0),
        ("e", "finished", 90.0, 250, 8.0),
        ("crashed", "failed", 99.0, 10, 1.0),
        ("infinite", "diverged", 99.0, 10, 1.0),
        ("running", "unfinished", 99.0, 10, 1.0),
    ],
    columns=["trial", "status", "val_accuracy", "model_size_bits", "bit_synops"],
)


def test_front_of_size_matches_the_drawing() -> None:
    assert list(TRIALS["trial"][on_front(TRIALS, ["model_size_bits"])]) == ["a", "b", "b2", "c"]


def test_front_of_bit_synops() -> None:
    assert list(TRIALS["trial"][on_front(TRIALS, ["bit_synops"])]) == ["a", "d"]


def test_front_of_all_three_is_sorted_and_marks_the_others() -> None:
    chosen = front(TRIALS)
    assert list(chosen["trial"]) == ["a", "b", "b2", "d", "c"]
    assert list(chosen["on_size_front"]) == [True, True, True, False, True]
    assert list(chosen["on_bit_synops_front"]) == [True, False, False, True, False]


def test_front_of_nothing_is_empty() -> None:
    assert len(front(TRIALS[TRIALS["status"] != "finished"])) == 0


values = st.sampled_from([-np.inf, -1.0, 0.0, 0.5, 2.0, np.inf])


@given(st.integers(1, 4).flatmap(lambda d: st.lists(st.lists(values, min_size=d, max_size=d), min_size=1, max_size=12)))
def test_non_dominated_against_every_pair(rows: list[list[float]]) -> None:
    def dominates(a: list[float], b: list[float]) -> bool:
        return all(x <= y for x, y in zip(a, b, strict=True)) and any(x < y for x, y in zip(a, b, strict=True))

    expected = [not any(dominates(other, row) for other in rows) for row in rows]
    assert non_dominated(np.array(rows)).tolist() == expected
