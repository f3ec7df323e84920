"""Places on the axes of the parallel coordinates, and on the error axis of the fronts."""

import numpy as np
import pandas as pd
import pytest

from tune.results.amounts import error, zero_error
from tune.views.parallel import log_axis, parallel_axes, parallel_figure


def test_zero_lies_below_the_smallest_value_with_a_tick_of_its_own() -> None:
    axis = log_axis("λ1", pd.Series([0.0, 1e-8, 1e-6, 1e-4]))
    assert [text for _, text in axis.ticks] == ["0", "1e-08", "1e-06", "0.0001"]
    assert axis.positions == [place for place, _ in axis.ticks]
    assert axis.positions[0] == 0 and axis.positions[-1] == 1
    assert axis.positions[1] > 0.1
    assert axis.positions[3] - axis.positions[2] == pytest.approx(axis.positions[2] - axis.positions[1])


@pytest.mark.parametrize("value", [0.0, 1e-6])
def test_equal_values_lie_in_the_middle(value: float) -> None:
    axis = log_axis("λ1", pd.Series([value, value]))
    assert axis.positions == [0.5, 0.5] and axis.ticks == [(0.5, f"{value:g}")]


def networks(count: int) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "row": range(count),
            "status": "finished",
            "lambda1": rng.choice([0.0, 1e-6, 3e-5], count),
            "lambda2": 0.0,
            "p": rng.uniform(0, 97, count),
            "bits": rng.choice(["1 2 4", "4 4 4"], count),
            "timesteps": rng.integers(1, 7, count),
            "val_accuracy": rng.uniform(50, 100, count),
            "test_accuracy": rng.uniform(50, 100, count),
            "size_bits": rng.uniform(1e3, 1e7, count),
            "bit_synops": rng.uniform(1e5, 1e9, count),
        }
    )


@pytest.mark.parametrize("count", [1, 2, 7, 200])
def test_everything_lies_between_bottom_and_top(count: int) -> None:
    for axis in parallel_axes(networks(count)):
        assert len(axis.positions) == count and all(0 <= place <= 1 for place in axis.positions), axis.label
        assert all(-0.01 <= place <= 1.01 for place, _ in axis.ticks), axis.label
        assert len(axis.ticks) <= 8, axis.label
        assert axis.ticks, axis.label


def test_one_line_per_network_and_more_accurate_ones_in_later_classes() -> None:
    trials = networks(23)
    figure = parallel_figure(trials)
    assert figure is not None
    classes = [trace for trace in figure["data"] if trace["meta"] == "class"]
    rows = [sorted({row for row in trace["customdata"] if row is not None}) for trace in classes]
    assert sorted(sum(rows, [])) == list(range(23))
    best = [trials["val_accuracy"][group].max() for group in rows]
    worst = [trials["val_accuracy"][group].min() for group in rows]
    assert all(low >= high for high, low in zip(best, worst[1:], strict=False))
    assert all(
        len(t["x"]) == len(t["y"]) == len(t["customdata"]) == 9 * len(r) for t, r in zip(classes, rows, strict=True)
    )


def test_networks_without_all_figures_are_left_out() -> None:
    assert parallel_figure(networks(2).assign(timesteps=np.nan)) is None


def test_error_without_any_error_stands_half_below_the_smallest() -> None:
    trials = pd.DataFrame({"val_accuracy": [100.0, 98.0], "test_accuracy": [99.9, None]})
    assert zero_error(trials) == pytest.approx(0.05)
    assert error(trials["val_accuracy"], 0.05).tolist() == [0.05, 2.0]
    assert zero_error(trials.iloc[1:]) is None
    assert zero_error(trials.iloc[:0]) is None
    assert zero_error(pd.DataFrame({"val_accuracy": [100.0], "test_accuracy": [100.0]})) == 0.1
