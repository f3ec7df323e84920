"""Points over seeds: means and intervals by hand, the interval against many draws, places on the front against the definition."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tune.results.front import front
from tune.results.seeds import NO, POSSIBLE, SURE, UNSURE, over_seeds, points, shown_front, sure_networks

T_OF_TWO, T_OF_THREE = 6.3138, 2.9200  # Student's t, 95 % one-sided, of 1 and 2 degrees of freedom


def trial(
    p: float, seed: int, accuracy: float, size: float = 100, status: str = "finished", **more: object
) -> dict[str, object]:
    return {
        "trial": f"p_{p:g}-seed_{seed}",
        "status": status,
        "lambda1": 0.0,
        "lambda2": 1e-9,
        "p": float(p),
        "seed": seed,
        "val_accuracy": accuracy,
        "test_accuracy": accuracy - 1,
        "val_samples": 400.0,
        "size_bits": size,
        "bit_synops": size * 2,
        "energy_mj": 0.5,
    } | more


# By hand: (90 + 92 + 97) / 3 = 93, deviation √13; 400 samples.
THREE = [trial(50, 0, 90, 100), trial(50, 1, 97, 300), trial(50, 2, 92, 200)]


def binomial(accuracy: float, samples: float = 400) -> float:
    return 164 * math.sqrt(accuracy / 100 * (1 - accuracy / 100) / samples)


def test_over_seeds_by_hand() -> None:
    table = pd.DataFrame(
        [*THREE, trial(50, 3, 10, 1, "diverged"), trial(80, 0, 80, 50), trial(90, 0, 99, 1, "stopped")]
    )
    seeds = over_seeds(table)
    assert list(seeds["point"]) == ["p_50", "p_80"]
    assert list(seeds["seeds"]) == [3, 1] and list(seeds["not_finished"]) == [1, 0]
    first = seeds.iloc[0]
    assert first["val_accuracy"] == 93 and first["val_accuracy_deviation"] == pytest.approx(math.sqrt(13))
    assert first["test_accuracy"] == 92 and first["size_bits"] == 200 and first["bit_synops"] == 400
    assert first["size_bits_deviation"] == pytest.approx(100) and first["energy_mj_deviation"] == 0
    assert first["trials"] == ["p_50-seed_1", "p_50-seed_2", "p_50-seed_0"]  # the most accurate first
    assert np.isnan(seeds.loc[1, "val_accuracy_deviation"])


def test_the_interval_joins_training_and_samples() -> None:
    (width,) = over_seeds(pd.DataFrame(THREE))["val_interval"]
    assert width == pytest.approx(math.hypot(T_OF_THREE * math.sqrt(13 / 3), binomial(93)), rel=1e-4)
    (width,) = over_seeds(pd.DataFrame(THREE[:2]))["val_interval"]
    assert width == pytest.approx(math.hypot(T_OF_TWO * 3.5, binomial(93.5)), rel=1e-4)  # |97 - 90| / √2 / √2
    (width,) = over_seeds(pd.DataFrame(THREE[:1]))["val_interval"]
    assert width == pytest.approx(binomial(90))
    same = pd.DataFrame([trial(50, seed, 90) for seed in range(5)])
    assert list(over_seeds(same)["val_interval"]) == pytest.approx([binomial(90)])  # seeds share the samples


def test_the_interval_holds_the_truth_in_nine_of_ten_draws() -> None:
    """Samples that are harder or easier for all seeds of a point, and training that is good or bad for each."""
    draw = np.random.default_rng(0)
    rows = []
    for point in range(2000):
        samples = draw.normal(0, binomial(90) / 1.64)
        rows += [trial(point / 100, seed, 90 + samples + draw.normal(0, 1.5)) for seed in range(3)]
    table = over_seeds(pd.DataFrame(rows))
    inside = (table["val_accuracy"] - 90).abs() <= table["val_interval"]
    assert len(table) == 2000 and 0.88 < inside.mean() < 0.97


def test_without_the_number_of_samples_there_is_no_interval() -> None:
    table = pd.DataFrame(THREE)
    assert over_seeds(table.drop(columns="val_samples"))["val_interval"].isna().all()
    assert over_seeds(table.assign(val_samples=math.nan))["val_interval"].isna().all()
    some = over_seeds(table.assign(val_samples=[math.nan, 400, 400]))  # of one split all are as many
    pd.testing.assert_frame_equal(some, over_seeds(table))


def test_points_are_told_apart_by_all_that_they_state_and_by_experiment() -> None:
    table = pd.DataFrame(THREE)
    assert list(over_seeds(table.assign(channels=[8, 16, np.nan]))["channels"]) == [0, 8, 16]
    assert len(over_seeds(table.assign(held_bits=[1, 4, 4], held_timesteps=[1, 1, 2]))) == 3
    merged = pd.concat([table.assign(experiment="a"), table.assign(experiment="b")], ignore_index=True)
    assert list(over_seeds(merged)["experiment"]) == ["a", "b"]
    assert over_seeds(merged)["trials"].iloc[1][0] == "b / p_50-seed_1"


def test_a_network_without_figures_is_in_no_mean() -> None:
    (point,) = over_seeds(pd.DataFrame([*THREE, trial(50, 3, math.nan)])).to_dict("records")
    assert (point["seeds"], point["not_finished"], point["val_accuracy"]) == (3, 1, 93)


def test_nothing_finished() -> None:
    for table in (pd.DataFrame(THREE).iloc[:0], pd.DataFrame([trial(50, 0, 99, 1, "stopped")])):
        assert len(over_seeds(table)) == len(points(table)) == len(shown_front(table)) == len(sure_networks(table)) == 0


def test_one_seed_each_is_no_matter_of_points() -> None:
    table = pd.DataFrame([trial(50, 0, 90, 100), trial(60, 0, 89, 50), trial(70, 0, 60, 10), trial(80, 0, 50, 60)])
    assert points(table).empty
    pd.testing.assert_frame_equal(shown_front(table), front(table))
    sure = front(table).query("ties_with == ''")
    assert list(sure_networks(table)["trial"]) == list(sure["trial"]) == ["p_60-seed_0", "p_70-seed_0"]


# accuracy up, size to the right; 3 seeds each that differ by nothing, 400 samples: about ± 2.5
#   93 |            a  unsure: c may be as accurate
#   92 |       c  sure
#   91 |                 d  possible: a and c may be no better
#   80 |          e  no
#   70 |  f  sure
def test_places_by_hand() -> None:
    sizes = {"a": (93, 400), "c": (92, 200), "d": (91, 500), "e": (80, 300), "f": (70, 50)}
    table = pd.DataFrame([trial(ord(name), seed, *of) for name, of in sizes.items() for seed in range(3)])
    grouped = points(table).assign(name=lambda t: t["p"].astype(int).map(chr))
    places = dict(zip(grouped["name"], grouped["front"], strict=True))
    assert places == {"a": UNSURE, "c": SURE, "d": POSSIBLE, "e": NO, "f": SURE}
    assert list(grouped["ties_with"]) == [f"p_{ord('c')}", "", "", "", ""]
    assert list(shown_front(table)["p"].astype(int).map(chr)) == ["a", "c", "f"]
    networks = sure_networks(table)
    assert list(networks["p"].astype(int).map(chr)) == ["c"] * 3 + ["f"] * 3 and set(networks["seed"]) == {0, 1, 2}


def test_a_dominated_point_of_wide_interval_may_be_as_accurate() -> None:
    """So all points are looked at, and not those of the front alone."""
    firm = [trial(1, seed, 95, 100, val_samples=1e6) for seed in range(3)]
    cheaper = [trial(2, seed, 92, 40, val_samples=1e6) for seed in range(3)]
    vague = [trial(3, seed, accuracy, 50, val_samples=1e6) for seed, accuracy in enumerate((85, 91, 97))]
    assert list(points(pd.DataFrame(firm + cheaper))["front"]) == [SURE, SURE]
    grouped = points(pd.DataFrame(firm + cheaper + vague)).set_index("p")
    assert dict(grouped["front"]) == {1: UNSURE, 2: SURE, 3: POSSIBLE} and grouped.loc[1, "ties_with"] == "p_3"


def test_places_against_the_definition() -> None:
    draw = np.random.default_rng(0)
    seen = set()
    for _ in range(20):
        rows = []
        for p in range(20):
            level, size, count = draw.uniform(80, 96), draw.integers(1, 30), draw.integers(1, 30)
            rows += [
                trial(p, seed, level + draw.normal(0, 1), size, bit_synops=count) for seed in range(draw.integers(1, 4))
            ]
        grouped = points(pd.DataFrame(rows))
        entries = grouped.to_dict("records")
        for own in entries:
            accuracy, size, count, width = (
                own[key] for key in ("val_accuracy", "size_bits", "bit_synops", "val_interval")
            )
            others = [o for o in entries if o["size_bits"] <= size and o["bit_synops"] <= count and o is not own]
            cheaper = [o for o in others if (o["size_bits"], o["bit_synops"]) != (size, count)]
            gaps = [accuracy - o["val_accuracy"] for o in others]
            chances = [math.hypot(width, o["val_interval"]) for o in others]
            dominated = any(o["val_accuracy"] >= accuracy for o in cheaper) or any(gap < 0 for gap in gaps)
            tied = any(accuracy - o["val_accuracy"] <= math.hypot(width, o["val_interval"]) for o in cheaper)
            lost = any(-gap > chance for gap, chance in zip(gaps, chances, strict=True))
            assert own["front"] == ((NO if lost else POSSIBLE) if dominated else (UNSURE if tied else SURE))
            seen.add(own["front"])
    assert seen == {SURE, UNSURE, POSSIBLE, NO}


def test_the_points_of_the_digits() -> None:
    """What docs/results.md says of them."""
    table = pd.read_csv(Path(__file__).parents[3] / "docs" / "data" / "digits-seeds-trials.csv")
    grouped = points(table)
    assert len(grouped) == 12 and grouped["front"].isin((SURE, UNSURE)).sum() == 7
    sure = grouped[grouped["front"] == SURE]
    assert list(sure["lambda1"]) == [1e-5, 1e-5] and list(sure["channels"]) == [16, 8]
