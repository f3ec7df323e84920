"""Dominance, fronts and hypervolume against brute force and tables drawn by hand."""

from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from litesnn.checks import InputError
from tune.results.front import front, hypervolume, non_dominated, on_front, worst
from tune.storage.objectives import Reference

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
        ("early", "stopped", 99.0, 10, 1.0),
        ("infinite", "diverged", 99.0, 10, 1.0),
        ("running", "unfinished", 99.0, 10, 1.0),
        ("without figures", "finished", np.nan, 10, 1.0),
    ],
    columns=["trial", "status", "val_accuracy", "size_bits", "bit_synops"],
)


def test_front_of_size_matches_the_drawing() -> None:
    assert list(TRIALS["trial"][on_front(TRIALS, ["size_bits"])]) == ["a", "b", "b2", "c"]


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


def finished(*rows: tuple[float, float, float]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=["val_accuracy", "size_bits", "bit_synops"], dtype=float)
    return table.assign(status="finished")


CORNER = Reference(accuracy=10, size_bits=1e6, bit_synops=1e8)


def test_hypervolume_of_one_network_by_hand() -> None:
    """60 % is half a unit above guessing; 1e4 bits two decades, 1e5 Bit-SynOps three decades below the reference."""
    one = finished((60, 1e4, 1e5))
    assert hypervolume(one, CORNER) == pytest.approx(0.5 * 2 * 3)
    assert hypervolume(one, CORNER, ["size_bits"]) == pytest.approx(0.5 * 2)
    assert hypervolume(one, CORNER, ["bit_synops"]) == pytest.approx(0.5 * 3)


def test_hypervolume_of_two_networks_by_hand() -> None:
    """The second is a decade smaller in both and 40 points worse: 0.5·2·3 + 0.1·3·4 - 0.1·2·3."""
    two = finished((60, 1e4, 1e5), (20, 1e3, 1e4))
    assert hypervolume(two, CORNER) == pytest.approx(3 + 1.2 - 0.6)


def test_what_is_not_better_than_the_reference_adds_nothing() -> None:
    one = finished((60, 1e4, 1e5))
    for row in ((10, 1, 1), (5, 1, 1), (99, 1e6, 1), (99, 2e6, 1), (99, 1, 1e8), (99, np.inf, 1), (np.nan, 1, 1)):
        assert hypervolume(finished((60, 1e4, 1e5), row), CORNER) == hypervolume(one, CORNER)
        assert hypervolume(finished(row), CORNER) == 0.0
    assert hypervolume(one.assign(status="stopped"), CORNER) == 0.0
    assert hypervolume(one.iloc[:0], CORNER) == 0.0


def test_counts_below_one_are_taken_as_one() -> None:
    assert hypervolume(finished((60, 0, 0)), CORNER) == pytest.approx(0.5 * 6 * 8)
    assert hypervolume(finished((60, 0, 0)), Reference(accuracy=10, size_bits=0, bit_synops=0)) == 0.0


grid = st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(0, 5))


@given(st.lists(grid, max_size=8))
def test_hypervolume_against_counting_cells(corners: list[tuple[int, int, int]]) -> None:
    """Networks on a grid of 20 % steps and whole decades: the volume is the number of cells that any of them covers."""
    rows = [(100 - 20.0 * a, 10.0**b, 10.0**c) for a, b, c in corners]
    reference = Reference(accuracy=20, size_bits=1e4, bit_synops=1e4)
    for smaller, dims in ((("size_bits", "bit_synops"), 3), (("size_bits",), 2)):
        covered = np.zeros((4,) * dims, dtype=bool)
        for corner in corners:
            covered[tuple(slice(at, None) for at in corner[:dims])] = True
        volume = hypervolume(finished(*rows), reference, smaller)
        assert volume == pytest.approx(0.2 * covered.sum())


def test_the_worst_of_references() -> None:
    one = Reference(accuracy=10, size_bits=1, bit_synops=9)
    two = Reference(accuracy=1, size_bits=5, bit_synops=3)
    assert worst([one, two]) == Reference(accuracy=1, size_bits=5, bit_synops=9)
    assert Reference.from_dict(asdict(one)) == one


@pytest.mark.parametrize("field", ["accuracy", "size_bits", "bit_synops"])
@pytest.mark.parametrize("value", [-1, float("nan"), float("inf"), "1", None, True])
def test_a_bad_reference_is_refused(field: str, value: object) -> None:
    good = {"accuracy": 10.0, "size_bits": 1.0, "bit_synops": 1.0}
    with pytest.raises(InputError, match=field):
        Reference(**{**good, field: value})  # type: ignore[arg-type]
