"""Which differences of accuracy are none."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom

from tune.results.front import front
from tune.results.intervals import half_width, tie, ties


def networks(*rows: tuple[float, float, float], samples: float = 400.0) -> pd.DataFrame:
    """Finished networks: validation accuracy, size, Bit-SynOps."""
    table = pd.DataFrame(rows, columns=["val_accuracy", "size_bits", "bit_synops"])
    return table.assign(trial=[f"t{i}" for i in range(len(rows))], status="finished", val_samples=samples)


@pytest.mark.parametrize(("accuracy", "samples"), [(90, 400), (75, 5000), (98, 287), (50, 100)])
def test_the_interval_holds_nine_of_ten_draws(accuracy: float, samples: int) -> None:
    (half,) = half_width(networks((accuracy, 1, 1), samples=samples))
    assert half == pytest.approx(164 * math.sqrt(accuracy / 100 * (1 - accuracy / 100) / samples))
    counts = np.arange(samples + 1)
    inside = np.abs(100 * counts / samples - accuracy) <= half
    assert 0.85 < binom.pmf(counts, samples, accuracy / 100)[inside].sum() < 0.95


def test_a_perfect_score_is_not_certain() -> None:
    (half,) = half_width(networks((100, 1, 1), samples=100))
    assert half == pytest.approx(164 * math.sqrt(0.005 * 0.995 / 100)) and half > 1


def test_ties_by_hand() -> None:
    # 400 samples: 90 % ± 2.46 each, so a difference of up to 3.48 points is none.
    rows = networks((90, 100, 100), (88, 50, 50), (86.9, 20, 20), (60, 10, 10))
    assert ties(rows) == ["t2", "t2", "", ""]  # the smallest that ties, not the next
    assert ties(networks((90, 100, 100), (86, 50, 50))) == ["", ""]
    assert ties(networks((90, 100, 100), (89, 50, 200))) == ["", ""]  # smaller, and dearer
    assert ties(networks((90, 100, 100), (90, 100, 100))) == ["", ""]  # costs the same
    assert tie(networks((89, 50, 50), (90, 100, 100)), 1) == "t0"


def test_without_the_number_of_samples_nothing_ties_and_there_is_no_interval() -> None:
    rows = networks((90, 100, 100), (89.9, 50, 50), samples=math.nan)
    assert ties(rows) == ["", ""] and np.isnan(half_width(rows)).all()
    assert ties(rows.drop(columns="val_samples")) == ["", ""]
    mixed = rows.assign(val_samples=[400, math.nan])
    assert ties(mixed) == ["", ""]


def test_a_network_of_the_front_is_sure_or_names_another_of_it() -> None:
    """Against the definition, over all networks and not only the front's."""
    draw = np.random.default_rng(0)
    for _ in range(20):
        rows = networks(*((draw.uniform(80, 99), draw.integers(1, 50), draw.integers(1, 50)) for _ in range(30)))
        chosen = front(rows)
        for _, own in chosen.iterrows():
            tied = [
                other["trial"]
                for _, other in rows.iterrows()
                if other["size_bits"] <= own["size_bits"]
                and other["bit_synops"] <= own["bit_synops"]
                and (other["size_bits"] < own["size_bits"] or other["bit_synops"] < own["bit_synops"])
                and own["val_accuracy"] - other["val_accuracy"]
                <= math.hypot(*half_width(pd.DataFrame([own, other])).tolist())
            ]
            assert (own["ties_with"] == "") == (not tied)
            assert own["ties_with"] == "" or own["ties_with"] in tied
            assert own["ties_with"] in ("", *chosen["trial"])
