"""The files of a report hold the same numbers, whatever the table."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from litesnn import Genotype, Recipe
from tests.tune.dashboard_page import inlined
from tune.results.front import front, hypervolume
from tune.results.seeds import shown_front
from tune.results.summary import hypervolume_curve, summarise
from tune.storage.objectives import Reference
from tune.storage.store import Experiment
from tune.views import report
from tune.views.report import front_table, write_report

REFERENCE = Reference(accuracy=10.0, size_bits=80e6, bit_synops=100e6)
RECIPE = Recipe.preset("digits", search_epochs=10, retrain_epochs=20)
FILES = ["trials.csv", "trials.parquet", "front.csv", "front.parquet", "front.json", "front.png", "report.html"]

# status, accuracies, size MB, Bit-SynOps M, epochs of search and retraining, end; * on the front
ROWS = [
    ("b", "finished", 90.0, 91.0, 0.5, 20.0, 10, 20, "2026-01-01T00:02:00+0000"),  # *
    ("a", "finished", 95.0, 94.0, 2.0, 30.0, 10, 20, "2026-01-01T00:01:00+0000"),  # *
    ("c", "finished", 94.5, 93.0, 1.0, 60.0, 10, 20, "2026-01-01T00:04:00+0000"),  # *
    ("d", "finished", 80.0, 99.0, 3.0, 70.0, 10, 20, "2026-01-01T00:05:00+0000"),
    ("e", "stopped", 99.0, None, 0.1, 1.0, 10, 5, "2026-01-01T00:03:00+0000"),
    ("f", "diverged", None, None, None, None, 3, 0, None),
    ("g", "unfinished", 99.0, None, 0.1, 1.0, 10, 1, None),
]


def table(rows: list[tuple[object, ...]]) -> pd.DataFrame:
    columns = ["trial", "status", "val_accuracy", "test_accuracy", "model_size_bits", "bit_synops"]
    columns += ["search_epochs", "retrain_epochs", "ended_at"]
    frame = pd.DataFrame(rows, columns=columns)
    frame["model_size_bits"] = frame["model_size_bits"].astype(float) * 8e6
    frame["size_bits"] = frame["model_size_bits"]
    frame["bit_synops"] = frame["bit_synops"].astype(float) * 1e6
    one = {
        "reason": "",
        "lambda1": 1e-6,
        "lambda2": 0.0,
        "p": [10.0 * i for i in range(len(frame))],
        "seed": 0,
        "parent": "",
        "phase": "retrain",
        "epoch": 20,
    }
    costs = {"side_bits": 10, "additions": 1e6, "multiplications": 1e3, "energy_mj": 1e-5 / 3, "ann_energy_mj": 1e-2}
    return frame.assign(
        **one, **costs, timesteps=3, bits="4 1 2", seconds=60.0, search_seconds=20.0, retrain_seconds=40.0
    )


TRIALS = table(ROWS)


@pytest.fixture
def experiment(tmp_path: Path) -> Experiment:
    experiment = Experiment(tmp_path / "name")
    genotype = Genotype(nodes=(((0, "skip"), (1, "conv3x3")),), bits=(4, 1, 2), timesteps=3, p=50.0)
    for name in "abc":
        folder = experiment.trial(name)
        folder.path.mkdir(parents=True)
        folder.genotype.write_text(genotype.to_json() if name != "c" else "damaged")
    return experiment


def test_csv_parquet_and_json_hold_the_same_numbers(experiment: Experiment) -> None:
    paths = write_report(experiment, TRIALS, REFERENCE, RECIPE)
    assert list(paths) == FILES and all(path.is_file() for path in paths.values())
    for name, networks in (("trials", list("bacdefg")), ("front", list("acb"))):
        csv, parquet = pd.read_csv(paths[f"{name}.csv"]), pd.read_parquet(paths[f"{name}.parquet"])
        assert list(csv["trial"]) == list(parquet["trial"]) == networks
        for column in ("val_accuracy", "test_accuracy", "model_size_bits", "bit_synops", "lambda1", "p", "energy_mj"):
            np.testing.assert_array_equal(csv[column], parquet[column].astype(float))
        np.testing.assert_allclose(csv["model_size_mb"] * 8e6, csv["model_size_bits"])
        np.testing.assert_allclose(csv["bit_synops_m"] * 1e6, csv["bit_synops"])
    values = json.loads(paths["front.json"].read_text())
    front = pd.read_parquet(paths["front.parquet"])
    assert [record["val_accuracy_percent"] for record in values["front"]] == list(front["val_accuracy"])
    assert [record["energy_mj"] for record in values["front"]] == list(front["energy_mj"])
    assert [record["bit_synops"] for record in values["front"]] == list(front["bit_synops"])
    assert values["trials_by_state"] == {"finished": 4, "stopped": 1, "diverged": 1, "unfinished": 1}
    assert values["reference"] == {"accuracy_percent": 10.0, "size_bits": 80e6, "bit_synops": 100e6}
    assert values["hypervolume"] == pytest.approx(float(hypervolume(TRIALS, REFERENCE)))
    assert front["file_bits"].isna().all()  # of an earlier version
    sized = write_report(experiment, TRIALS.assign(file_bits=9e6, dense_bits=8e6), REFERENCE, RECIPE)
    assert list(pd.read_csv(sized["front.csv"])["file_bits"]) == [9e6] * 3
    assert values["epochs_spent"] == 4 * 30 + 15 + 3 + 11
    assert values["epochs_saved_by_stopping"] == 15


@pytest.mark.parametrize("rows", [[], ROWS[5:], ROWS[:1]], ids=["nothing", "nothing finished", "one"])
def test_small_experiments(experiment: Experiment, rows: list[tuple[object, ...]]) -> None:
    paths = write_report(experiment, table(rows), REFERENCE, RECIPE)
    finished = sum(row[1] == "finished" for row in rows)
    assert len(json.loads(paths["front.json"].read_text())["front"]) == finished
    assert len(pd.read_parquet(paths["trials.parquet"])) == len(rows)
    summary = inlined(paths["report.html"])["experiment"]["summary"]
    assert ("no finished network yet" in summary) == (finished == 0)


def test_merged_tables_take_networks_from_their_experiments(experiment: Experiment, tmp_path: Path) -> None:
    merged = Experiment(tmp_path / "merged")
    trials = TRIALS.assign(experiment="name")
    page = inlined(write_report(merged, trials, REFERENCE, RECIPE, {"name": experiment})["report.html"])
    assert [row["trial"] for row in page["experiment"]["trials"]] == [f"name / {name}" for name in "bacdefg"]
    details = page["details"]
    assert {name for name in details if details[name]["drawing"]} == {"name / a", "name / b"}
    assert details["name / c"]["errors"][0].startswith("genotype.json")  # damaged, and hides no other


def test_the_page_of_many_trials_has_details_of_its_front(
    experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = write_report(experiment, TRIALS, REFERENCE, RECIPE)["report.html"]
    assert list(inlined(page)["details"]) == list("bacdefg")
    monkeypatch.setattr(report, "MOST_DETAILS", 6)
    write_report(experiment, TRIALS, REFERENCE, RECIPE)
    assert list(inlined(page)["details"]) == list("bac") and len(inlined(page)["experiment"]["trials"]) == 7


def test_the_page_does_not_say_where_things_lie(experiment: Experiment, tmp_path: Path) -> None:
    """A report is sent to others: reasons name files within the storage, the recipe the last part of its data's folder."""
    recipe = Recipe.preset("digits", dataset="folder:/home/somebody/images")
    trials = TRIALS.assign(reason=f"{experiment.path}/trials/f/result.json: damaged")
    page = write_report(experiment, trials, REFERENCE, recipe)["report.html"].read_text()
    assert "name/trials/f/result.json: damaged" in page and "folder:images" in page
    assert str(tmp_path) not in page and "/home/somebody" not in page


def test_old_experiments_without_times(experiment: Experiment) -> None:
    write_report(experiment, TRIALS.assign(ended_at=None, search_seconds=None), REFERENCE, RECIPE)


def test_columns_without_any_value(experiment: Experiment) -> None:
    trials = TRIALS[TRIALS["status"] == "diverged"].astype(object).where(lambda frame: frame.notna(), None)
    assert write_report(experiment, trials, REFERENCE, RECIPE)


def test_summary_in_words() -> None:
    trials = TRIALS
    words = "; ".join(summarise(trials, front(trials), REFERENCE, RECIPE).sentences())
    assert "7 trials: 4 finished, 1 stopped, 1 diverged, 1 unfinished; 3 networks on the front" in words
    assert "reference 10 %, 10.0 MB, 100 M Bit-SynOps" in words
    assert "best validation accuracy 95.00 % (test 94.00 %)" in words
    assert "smallest network within 1 percentage point of it 1.00 MB (94.50 %)" in words
    assert words.endswith("149 epochs run; 15 (9 %) saved by stopping early")
    few = trials.assign(val_samples=50)
    words = "; ".join(summarise(few, front(few), REFERENCE, RECIPE).sentences())
    assert "3 networks on the front, 1 of them for sure" in words


def test_trials_that_have_not_started_are_waiting() -> None:
    of_12, of_5 = (summarise(TRIALS, front(TRIALS), REFERENCE, RECIPE, planned).sentences()[0] for planned in (12, 5))
    assert of_12 == "12 trials: 4 finished, 1 stopped, 1 diverged, 1 unfinished, 5 waiting"
    assert of_5 == "7 trials: 4 finished, 1 stopped, 1 diverged, 1 unfinished"


def test_hypervolume_curve_is_that_of_the_trials_so_far() -> None:
    curve = hypervolume_curve(TRIALS, REFERENCE)
    order = ["f", "a", "b", "e", "c", "d"]  # f did not record its end; g is not over
    assert [TRIALS["trial"][row] for row in curve["row"]] == order
    assert list(curve["epochs"]) == [3, 33, 63, 78, 108, 138]
    for k, volume in enumerate(curve["hypervolume"]):
        so_far = TRIALS[TRIALS["trial"].isin(order[: k + 1])]
        assert volume == pytest.approx(float(hypervolume(so_far, REFERENCE)))
    assert curve["hypervolume"].is_monotonic_increasing


def test_front_on_the_terminal() -> None:
    names = [f"l1_1e-06-l2_1e-10-p_0-c_{c}-seed_0" for c in (8, 16, 32)]
    finished = TRIALS.iloc[:3].assign(trial=names, val_samples=50, file_bits=[1e5, 2e5, 3e5])
    chosen = front(finished)
    assert len(chosen) > 1
    for width, lacking in ((120, ""), (80, "dense energy Eq.")):
        console = Console(width=width, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
        console.print(front_table(chosen, width))
        lines = console.export_text().splitlines()
        assert lines[0].startswith("Pareto front")
        assert not any(word in lines[1] for word in lacking.split())
        assert all(any(line.rstrip().endswith(name) for line in lines) for name in chosen["trial"])
        assert max(map(len, lines)) <= width
    console = Console(width=120, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(front_table(chosen, 120))
    rows = [line.split() for line in console.export_text().splitlines()]
    assert rows[2][:4] == ["95.00", "±", "5.1", "~"] and rows[2][-5:-1] == ["3", "4", "1", "2"]
    assert " ".join(rows[-1]).endswith("a smaller or cheaper network may be as accurate")
    plain = front_table(front(finished.drop(columns="val_samples")))
    assert plain.caption is None


SEEDS = pd.concat(
    [TRIALS[TRIALS["status"] == "finished"].assign(seed=seed, val_samples=400, file_bits=8e6) for seed in range(3)],
    ignore_index=True,
).assign(
    val_accuracy=lambda t: t["val_accuracy"] + t["seed"] - 1,
    bit_synops=lambda t: t["bit_synops"].replace(
        60e6, 25e6
    ),  # so that the second is smaller and cheaper than the first
    trial=lambda t: [f"l1_1e-06-l2_1e-10-p_{p:g}-c_32-seed_{seed}" for p, seed in zip(t["p"], t["seed"], strict=True)],
)


def test_points_of_several_seeds_are_written_and_printed(experiment: Experiment) -> None:
    paths = write_report(experiment, SEEDS, REFERENCE, RECIPE)
    assert set(paths) == {*FILES, "points.csv", "points.parquet"}
    csv, parquet = pd.read_csv(paths["points.csv"]), pd.read_parquet(paths["points.parquet"])
    assert list(csv.columns) == list(parquet.columns) and list(csv.columns[:5]) == [
        "point",
        "seeds",
        "not_finished",
        "front",
        "ties_with",
    ]
    for table in (csv, parquet):
        assert list(table["val_accuracy"]) == [95, 94.5, 90, 80] and list(table["seeds"]) == [3] * 4
        assert list(table["val_accuracy_deviation"]) == [1] * 4
        assert list(table["front"]) == ["unsure", "sure", "sure", "no"]
        assert table["trials"][0].split("; ") == [f"l1_1e-06-l2_1e-10-p_10-c_32-seed_{seed}" for seed in (2, 1, 0)]
    assert csv["val_interval"][0] == pytest.approx(
        np.hypot(2.92 / np.sqrt(3), 164 * np.sqrt(0.95 * 0.05 / 400)), rel=1e-4
    )
    values = json.loads(paths["front.json"].read_text())
    assert [point["val_accuracy_percent"] for point in values["points"]] == [95, 94.5, 90, 80]
    assert len(values["front"]) == len(front(SEEDS))
    answer = inlined(paths["report.html"])["experiment"]
    assert [point["front"] for point in answer["points"]] == list(csv["front"])
    assert "3 points on the front, 2 of them for sure" in answer["summary"]

    write_report(experiment, TRIALS, REFERENCE, RECIPE)  # one seed each again
    assert not paths["points.csv"].exists() and not paths["points.parquet"].exists()
    assert inlined(paths["report.html"])["experiment"]["points"] == []


def test_points_on_the_terminal() -> None:
    chosen = shown_front(SEEDS)
    for width in (120, 80):
        console = Console(width=width, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
        console.print(front_table(chosen, width))
        lines = [line.rstrip() for line in console.export_text().splitlines()]
        assert max(map(len, lines)) <= width and lines[0].startswith("Pareto front of points, means over their seeds")
        assert lines[1].split()[-2:] == ["seeds", "point"]
        assert lines[2].split()[:4] == ["95.00", "±", "2.5", "~"]
        assert lines[2].split()[-2:] == ["3", "l1_1e-06-l2_1e-10-p_10-c_32"]
    assert lines[-1] == "± 90 % of chance; ~ a smaller or cheaper point may be as accurate"


def test_the_page_of_many_trials_has_details_of_the_points_of_its_front(
    experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "MOST_DETAILS", 6)
    page = inlined(write_report(experiment, SEEDS, REFERENCE, RECIPE)["report.html"])
    opened = {point["trials"][0] for point in page["experiment"]["points"] if point["front"] in ("sure", "unsure")}
    on_front = {row["trial"] for row in page["experiment"]["trials"] if row["on_front"]}
    assert len(opened) == 3 and set(page["details"]) == opened | on_front
