"""The PNG: drawn for any table, and only finished networks are results."""

import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tune.results.compare import Comparison
from tune.views.look import mark_colour
from tune.views.plot import draw_fronts


def table(rows: list[tuple[str, float | None, float | None, float | None, float | None]]) -> pd.DataFrame:
    columns = ["status", "val_accuracy", "test_accuracy", "size_bits", "bit_synops"]
    return pd.DataFrame(rows, columns=columns).assign(model_size_bits=lambda t: t["size_bits"])


NETWORKS = [("finished", 90.0, 89.0, 8e5, 3e6), ("finished", 97.0, 98.0, 8e6, 9e6), ("finished", 80.0, 81.0, 4e6, 5e6)]


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [("unfinished", None, None, None, None)],
        NETWORKS[:1],
        NETWORKS,
        [("finished", 100.0, 100.0, 8e5, 3e6), ("finished", 100.0, 99.0, 8e6, 9e6)],
        [("finished", 0.0, 0.0, 8e5, 3e6)],
        [("finished", 90.0, 89.0, 0, 0.0)],
        [("finished", 90.0, None, 8e5, 3e6)],
        NETWORKS * 500,
    ],
    ids=["empty", "unfinished", "one", "three", "perfect", "useless", "no size", "no test accuracy", "many"],
)
def test_draws(rows: list[tuple[str, float | None, float | None, float | None, float | None]]) -> None:
    png = draw_fronts(table(rows), "a $title_ & <more>")
    assert Image.open(io.BytesIO(png)).size == (1650, 720)


def test_stopped_trials_are_not_drawn() -> None:
    others = [("stopped", 99.0, 99.0, 8e3, 1e3), ("diverged", 99.0, 99.0, 8e3, 1e3)]
    assert np.array_equal(pixels(draw_fronts(table(NETWORKS + others), "t")), pixels(draw_fronts(table(NETWORKS), "t")))


def test_a_published_network_without_bit_synops_stands_in_the_left_panel() -> None:
    """Far below all others: the accuracy axis, which both panels share, reaches to it."""
    networks = pd.DataFrame(
        {"method": ["somebody"], "accuracy": [30.0], "model_size_bits": [2e6], "bit_synops": [np.nan], "source": [""]}
    )
    picture = pixels(draw_fronts(table(NETWORKS), "t", Comparison(table=networks, note="")))
    colour = [int(mark_colour("published")[k : k + 2], 16) for k in (1, 3, 5)]
    panels = (picture[:560] == colour).all(axis=-1)  # above the legend
    assert panels[:, :825].any() and not panels[:, 825:].any()


def of_points(width: float) -> pd.DataFrame:
    """Two points of the front, the larger not for sure, and one that is dominated."""
    networks = table(NETWORKS).assign(seeds=3, val_interval=width, front=["sure", "unsure", "possible"])
    return networks.assign(val_accuracy=[90.0, 92.0, 80.0])


def count(picture: np.ndarray, mark: str) -> int:
    colour = [int(mark_colour(mark)[k : k + 2], 16) for k in (1, 3, 5)]
    return int((picture == colour).all(axis=-1).sum())


def test_points_have_intervals_and_unsure_ones_are_hollow() -> None:
    wide, narrow = (pixels(draw_fronts(of_points(width), "t"))[:560] for width in (3.0, 1.0))  # above the legend
    assert count(wide, "interval") > count(narrow, "interval") > 0
    sure = pixels(draw_fronts(of_points(1.0).assign(front=["sure", "sure", "possible"]), "t"))[:560]
    assert count(sure, "sure") > count(narrow, "sure") > 0


@pytest.mark.parametrize("width", [np.nan, 0.0, 30.0, 99.0])
def test_intervals_of_any_width(width: float) -> None:
    for accuracies in ([90.0, 92.0, 80.0], [100.0, 100.0, 0.0]):
        png = draw_fronts(of_points(width).assign(val_accuracy=accuracies), "t")
        assert Image.open(io.BytesIO(png)).size == (1650, 720)


def test_test_accuracies_are_drawn_of_networks_and_not_of_points() -> None:
    points = of_points(1.0)
    assert np.array_equal(
        pixels(draw_fronts(points, "t")), pixels(draw_fronts(points.assign(test_accuracy=[91.0, 99.0, 85.0]), "t"))
    )
