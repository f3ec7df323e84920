"""Hypervolume over core-seconds, by hand, and a round of all strategies on a cluster."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks import search_value
from benchmarks.search_value import charged, curve, curves, keep, kept, possible, report
from tests.tune.clusters import Cluster

TABLE = pd.DataFrame(
    {
        "trial": ["a", "b", "c"],
        "status": "finished",
        "lambda1": [0.0, 0.0, 1e-6],
        "lambda2": 0.0,
        "p": 0.0,
        "held_bits": 0,
        "held_timesteps": 0,
        "seed": 0,
        "val_accuracy": [90.0, 80.0, 70.0],
        "test_accuracy": [88.0, 81.0, 60.0],
        "val_samples": 1000,
        "size_bits": [1e5, 1e4, 2e4],
        "model_size_bits": [1e5, 1e4, 2e4],
        "bit_synops": [1e6, 1e5, 2e5],
        "search_seconds": [30.0, 0.0, 20.0],
        "retrain_seconds": [10.0, 5.0, 4.0],
        "reference_accuracy": 10.0,
        "reference_size_bits": 1e6,
        "reference_bit_synops": 1e7,
    }
)


def test_points_that_share_a_search_pay_for_it_once() -> None:
    assert charged(TABLE).tolist() == [40, 45, 69]
    assert charged(TABLE.iloc[[1, 2, 0]]).tolist() == [35, 59, 69]
    assert charged(TABLE, alone=True).tolist() == [40, 75, 99]
    other_bits = TABLE.assign(held_bits=[np.nan, 1, np.nan], search_seconds=[30.0, 25.0, 20.0])
    assert charged(other_bits).tolist() == [40, 70, 94]


def test_rows_are_kept_as_they_are(tmp_path: Path) -> None:
    """λ too, which is small: points that differ in it alone do not share a search."""
    rows, file = TABLE.assign(strategy="darts", round=1), tmp_path / "rows.csv"
    keep(rows, file)
    read = pd.read_csv(file)
    assert read.to_dict("list") == rows.to_dict("list") and charged(read).tolist() == charged(TABLE).tolist()
    assert curve(read, np.array([100.0]), 0) == pytest.approx(curve(TABLE, np.array([100.0]), 0))


def test_rounds_that_the_csv_alone_has_stay_there(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    keep(TABLE.assign(strategy="darts", round=0), file)
    keep(TABLE.assign(strategy="fixed", round=0), file)
    keep(TABLE.assign(strategy="fixed", round=0, val_accuracy=1.0), file)
    assert kept(file).groupby("strategy")["val_accuracy"].sum().to_dict() == {"darts": 240, "fixed": 3}
    assert kept(tmp_path / "none.csv").empty


def test_processor_time_counts_where_it_was_recorded() -> None:
    both = TABLE.assign(search_core_seconds=[3.0, 0.0, 2.0], retrain_core_seconds=1.0)
    assert charged(both).tolist() == [4, 5, 8]


def test_no_network_comes_before_the_one_it_starts_from() -> None:
    family = TABLE.assign(parent=["b", "c", np.nan])
    assert possible(np.array([0, 1, 2]), family).tolist() == [2, 1, 0]
    assert possible(np.array([1, 0, 2]), family).tolist() == [2, 1, 0]
    assert possible(np.array([1, 0, 2]), TABLE).tolist() == [1, 0, 2]


def test_a_curve_is_the_mean_over_orders_of_what_validation_chooses() -> None:
    """Volumes by hand: accuracy above the corner's times decades of size times decades of Bit-SynOps; c is dominated by b."""
    a, b, c = 0.78 * 1 * 1, 0.71 * 2 * 2, 0.5 * np.log10(50) ** 2
    both = a + b - 0.71 * 1 * 1
    values = curve(TABLE, np.array([20.0, 24.0, 35.0, 69.0]), seed=0)
    first = [np.random.default_rng(0)]
    orders = [first[0].permutation(3).tolist() for _ in range(search_value.ORDERS)]
    expected = np.zeros(4)
    for order in orders:
        expected[1] += c if order[0] == 2 else 0  # 24 s: nothing else is over by then
        expected[2] += {0: 0, 1: b, 2: c}[order[0]]
        expected[3] += both
    assert values == pytest.approx(expected / len(orders))


def test_the_lead_is_paired_by_seed() -> None:
    rows = pd.concat(
        TABLE.assign(strategy=name, round=seed, test_accuracy=TABLE["test_accuracy"] - 10 * (name == "random") - seed)
        for name in search_value.STRATEGIES
        for seed in (0, 1)
    )
    lines = report(curves(rows)).splitlines()
    cells = {line.split(" | ")[0].strip("| "): line.strip("| ").split(" | ") for line in lines[2:]}
    assert cells["darts"][:3] == ["darts", "2", "69"] and cells["darts"][6] == ""
    assert cells["fixed"][4] == cells["fixed"][6] == "+0.000 ± 0.000" and cells["fixed"][7] == cells["darts"][7]
    difference = float(cells["random"][6].split("±")[0])
    budget = np.array([99 * 0.69])  # the last hundredth that the cheapest can pay
    by_round = [
        curve(TABLE.assign(test_accuracy=TABLE["test_accuracy"] - 10 - seed), budget, seed)
        - curve(TABLE.assign(test_accuracy=TABLE["test_accuracy"] - seed), budget, seed)
        for seed in (0, 1)
    ]
    assert difference == pytest.approx(np.mean(by_round), abs=2e-3) and difference < -0.3
    assert cells["random"][7] == "never" and cells["darts alone"][2] == "99"
    assert float(cells["darts alone"][7]) > float(cells["darts"][7])


def test_a_strategy_counts_with_the_seeds_that_darts_has(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "rows.csv"
    for strategy, number in (("fixed", 0), ("darts", 1), ("darts", 2), ("linked", 2)):
        rounds = (kept(file)["strategy"] == "darts").sum() // len(TABLE)
        code = search_value.main(["digits", "--seeds", "0", "--out", str(file)])
        printed = capsys.readouterr()
        if rounds:
            assert code == 0 and f"| darts | {rounds} |" in printed.out and "| fixed |" not in printed.out
        else:
            assert code == 2 and "strategies: expected rounds of darts, to hold others against, got" in printed.err
        keep(TABLE.assign(strategy=strategy, round=number, test_accuracy=TABLE["test_accuracy"] - number), file)
    measured = curves(kept(file))
    assert [len(values) for values in measured.volumes.values()] == [2, 1, 2]
    assert (measured.volumes["linked"] == measured.beside["linked"]).all()
    assert (measured.volumes["linked"] == measured.volumes["darts"][1:]).all()
    assert (measured.volumes["darts"][0] != measured.volumes["darts"][1]).any()


def test_an_unknown_strategy_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        search_value.main(["digits", "--strategies", "darts,luck"])
    assert ended.value.code == 2 and "strategies: expected some of darts" in capsys.readouterr().err


@pytest.mark.cluster
@pytest.mark.slow
def test_a_round_is_kept(
    standing_cluster: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in standing_cluster.secrets.items():
        monkeypatch.setenv(name, value)
    short = "--points 0,0,0,8 --search-epochs 1 --retrain-epochs 1 --search-batch 200 --retrain-batch 200".split()
    out, picture = tmp_path / "rows.csv", tmp_path / "curves.png"
    command = [
        "digits",
        "--strategies",
        "darts,random",
        "--seeds",
        "1",
        "--storage",
        str(tmp_path / "all"),
        "--out",
        str(out),
        "--picture",
        str(picture),
        "--address",
        standing_cluster.address,
    ]
    assert search_value.main([*command, *short]) == 0
    rows = pd.read_csv(out)
    assert rows.groupby("strategy").size().to_dict() == {"darts": 1, "random": search_value.DRAWS}
    assert rows[rows["strategy"] == "random"][["bits", "timesteps"]].drop_duplicates().shape[0] > 1
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert search_value.main([*command, "--storage", str(tmp_path / "none")]) == 0  # all rounds are in the CSV
    assert search_value.main(["digits", "--seeds", "0", "--out", str(out)]) == 0  # the table alone
    assert capsys.readouterr().out.count("| darts | 1 |") == 3
