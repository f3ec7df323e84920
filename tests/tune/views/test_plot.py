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
