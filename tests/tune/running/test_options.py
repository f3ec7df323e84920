"""What the options of the command do, on one real Ray cluster that all commands here join.

Each experiment is run once or extended; what follows from its files alone is asked in this process, without Ray.
"""

import itertools
import json
import re
from pathlib import Path

import optuna
import pandas as pd
import pytest

from tests.tune.clusters import RECIPE, Cluster
from tests.tune.dashboard_page import inlined
from tune import pareto
from tune.storage.store import Experiment

pytestmark = [pytest.mark.cluster, pytest.mark.slow]
SHORT = [*RECIPE, "--retrain-epochs", "2"]


@pytest.fixture(scope="module")
def cluster(standing_cluster: Cluster) -> Cluster:
    return standing_cluster


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("storage")


def run(cluster: Cluster, storage: Path, *arguments: str, code: int = 0) -> str:
    place = ["--storage", str(storage), "--address", cluster.address]
    output = cluster.pareto([*place, *arguments], storage, code)
    assert "Traceback" not in output
    noise = [line for line in output.splitlines() if re.search(r"\bray\b|Warning|\bINFO\b|\[I |\x1b", line)]
    # Only the program's own lines, and one about the actor that Ray's W&B callback makes, which nothing turns off.
    assert [line for line in noise if "_WandbLoggingActor" not in line] == []
    return output


def trials_of(storage: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(storage / name / "trials.csv").sort_values("ended_at")


FIRST = ["--points", "small 1e-6,1e-9,80.5", "--seeds", "2", "--seed", "3", "--name", "first", *SHORT]


@pytest.fixture(scope="module")
def first(cluster: Cluster, storage: Path) -> str:
    rest = [
        "--max-concurrent",
        "1",
        "--cpus-per-trial",
        "1",
        "--no-early-stopping",
        "--log",
        "tensorboard,mlflow,wandb",
    ]
    return run(cluster, storage, *FIRST, *rest)


def test_points_and_seeds_are_run_and_nothing_else(first: str, storage: Path) -> None:
    table = trials_of(storage, "first")
    points = [(1e-9, 1e-13, 90.0), (1e-6, 1e-9, 80.5)]
    tried = list(table[["lambda1", "lambda2", "p", "seed"]].itertuples(index=False, name=None))
    assert set(tried) == {(*point, seed) for point in points for seed in (3, 4)} and len(tried) == 4
    assert set(table["status"]) == {"finished"}
    assert "4 trials, 0 of them over before" in first
    assert [point["seeds"] for point in inlined(storage / "first" / "report.html")["experiment"]["points"]] == [2, 2]


def test_max_concurrent_runs_never_two_at_once(first: str, storage: Path) -> None:
    spans = []
    for folder in (storage / "first" / "trials").iterdir():
        times = [(folder / name).stat().st_mtime_ns for name in ("point.json", "result.json")]
        assert times[0] < times[1]
        spans.append(times)
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(sorted(spans)))


def test_tensorboard_has_every_epoch(first: str, storage: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folders = {path.parent for path in (storage / "first" / "ray").rglob("events.out.tfevents.*")}
    assert len(folders) == 4
    for folder in folders:
        events = EventAccumulator(str(folder))
        events.Reload()
        name = folder.name.rpartition("-")[0]
        records = (storage / "first" / "trials" / name / "metrics.jsonl").read_text().splitlines()
        logged = [event.value for event in events.Scalars("ray/tune/val_accuracy")]
        assert logged == pytest.approx([json.loads(line)["val_accuracy"] for line in records])


def test_mlflow_has_a_run_per_trial(first: str, storage: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{storage / 'first' / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("first")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    table = trials_of(storage, "first").set_index("trial")
    assert len(runs) == 4 and {run.info.status for run in runs} == {"FINISHED"}
    assert {run.data.params["trial"] for run in runs} == set(table.index)
    for logged in runs:
        accuracy = table.loc[logged.data.params["trial"], "val_accuracy"]
        assert logged.data.metrics["val_accuracy"] == pytest.approx(accuracy)


def test_wandb_writes_its_files_without_network(first: str, storage: Path) -> None:
    logged = list((storage / "first").rglob("offline-run-*/run-*.wandb"))
    assert len(logged) == 4 and all(path.stat().st_size > 0 for path in logged)


def test_the_front_given_back_and_a_part_of_the_points_need_no_new_trial(
    first: str, storage: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    front = storage / "first" / "front.csv"
    points = len(pd.read_csv(front)[["lambda1", "lambda2", "p"]].drop_duplicates())
    same = ["--storage", str(storage), "--name", "first", "--seeds", "2", "--seed", "3", *SHORT]
    for given, count in ((str(front), points), ("1e-6,1e-9,80.5", 1)):
        assert pareto.main([*same, "--points", given]) == 0
        assert f"{2 * count} trials, {2 * count} of them over before" in capsys.readouterr().out
    assert len(trials_of(storage, "first")) == 4


def test_a_grid_of_counts_is_that_of_its_values(
    cluster: Cluster, storage: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ranges = ["--lambda-range", "1e-8,1e-6,1e-10,1e-8", "--p-range", "40,60", "--channels-range", "2,6"]
    eq18 = ["--size", "eq18"]
    stopping = ["--grace-period", "2", "--reduction-factor", "4", "--noise-margin", "99"]
    grid = ["--grid", "1x1x2x2", "--name", "grid", "--max-concurrent", "1", *eq18]
    output = run(cluster, storage, *grid, *ranges, *stopping, *SHORT, "--early-stopping")
    assert "4 trials: " in output
    values = ["--grid", "l1=1e-7 l2=1e-9 p=40,60 c=2,6", *eq18]
    assert pareto.main([*values, "--name", "grid", "--storage", str(storage), *SHORT]) == 0
    assert "4 trials, 4 of them over before" in capsys.readouterr().out
    table = Experiment(storage / "grid").table()
    assert sorted(table["channels"]) == [2, 2, 6, 6]
    assert (table["size_bits"] == table["model_size_bits"]).all() and (table["size_bits"] < table["file_bits"]).all()


def test_a_search_is_extended_by_other_ways_of_searching(cluster: Cluster, storage: Path) -> None:
    """Random points, then one of TPE that knows them, and at last one of NSGA-II with a storage of its own."""
    journal, database = storage / "study.log", storage / "study.db"
    start = ["--name", "searched", "--no-early-stopping", "--max-concurrent", "1", *SHORT]
    ranges = ["--lambda-range", "1e-8,1e-5,1e-11,1e-8", "--p-range", "50,90"]
    run(cluster, storage, *start, *ranges, "--search", "random", "--num-points", "2")
    before = trials_of(storage, "searched")
    assert len(before) == 2 and before["p"].between(50, 90).all()
    more = ["--search", "tpe", "--num-points", "3", "--optuna-storage", str(journal)]
    output = run(cluster, storage, *start, *ranges, *more)
    assert "3 points by tpe" in output and "3 trials: 3 finished" in output
    backend = optuna.storages.journal.JournalFileBackend(str(journal))
    study = optuna.load_study(study_name="searched", storage=optuna.storages.JournalStorage(backend))
    assert [trial.state.name for trial in study.trials] == ["COMPLETE"] * 3
    assert study.metric_names == ["validation accuracy", "log10 size in bits", "log10 Bit-SynOps"]

    more = ["--search", "nsga2", "--num-points", "4", "--optuna-storage", f"sqlite:///{database}"]
    output = run(cluster, storage, *start, *more, "--lambda-range", "auto")
    assert "measured on one batch: λ1 from " in output and "4 trials: 4 finished" in output
    after = trials_of(storage, "searched")
    assert set(before["trial"]) <= set(after["trial"]) and after["trial"].is_unique
    study = optuna.load_study(study_name="searched", storage=f"sqlite:///{database}")
    told = sorted(trial.values[0] for trial in study.trials if trial.state.name == "COMPLETE")
    assert told and all((after["val_accuracy"] - value).abs().min() < 1e-9 for value in told)

    # The address of a study may hold a password: nothing that Ray writes beside the trials knows it.
    written = [path for path in (storage / "searched" / "ray").rglob("*") if path.is_file()]
    assert any(path.name == "tuner.pkl" for path in written)
    assert not [path for path in written if b"study.log" in path.read_bytes() or b"study.db" in path.read_bytes()]


def test_a_time_budget_ends_in_order_and_the_same_command_continues(cluster: Cluster, storage: Path) -> None:
    command = ["--name", "timed", "--points", "0,0,0", *RECIPE, "--retrain-epochs", "2000", "--time-budget", "12s"]
    metrics = storage / "timed" / "trials" / "l1_0-l2_0-p_0-seed_0" / "metrics.jsonl"
    before: list[str] = []
    for _ in range(2):
        output = run(cluster, storage, *command)
        assert output.splitlines()[-1] == "The time budget is spent; the same command continues."
        assert "1 trial: 1 unfinished" in output
        assert (storage / "timed" / "report.html").is_file()
        after = metrics.read_text().splitlines()
        assert len(after) > len(before) and after[: len(before)] == before
        before = after
    epochs = [json.loads(line)["epoch"] for line in before]
    assert epochs == [1, 2, *range(1, len(epochs) - 1)]


def test_a_target_that_is_met_ends_the_run_and_the_same_command_runs_nothing(cluster: Cluster, storage: Path) -> None:
    points = " ".join(f"0,0,{p}" for p in range(0, 90, 10))
    command = ["--name", "target", "--points", points, *RECIPE, "--retrain-epochs", "2", "--max-concurrent", "1"]
    command += ["--no-early-stopping", "--target", "acc>=1,file<=100kB"]
    output = run(cluster, storage, *command)
    table = trials_of(storage, "target")
    finished = table[table["status"] == "finished"]
    assert 0 < len(finished) < 5  # the run that is over is not the ninth
    last = output.splitlines()[-1]
    assert last in [f"The target acc>=1,file<=100kB is met by {name}." for name in finished["trial"]]
    again = run(cluster, storage, *command)
    assert "nothing left to run" in again and again.splitlines()[-1] == last
    assert len(trials_of(storage, "target")) == len(table)


def test_polish_retrains_the_front_and_searches_nothing(cluster: Cluster, storage: Path, first: str) -> None:
    command = ["polish", "--name", "first", "--epochs", "3", "--out", "polished", "--max-concurrent", "1"]
    command += ["--storage", str(storage), "--address", cluster.address]
    output = cluster.pareto(command, storage)
    source, table = Experiment(storage / "first"), trials_of(storage, "polished")
    chosen = pd.read_csv(storage / "first" / "front.csv")
    assert set(table["trial"]) == set(chosen["trial"]) and set(table["status"]) == {"finished"}
    assert set(table["retrain_epochs"]) == {3} and set(table["search_epochs"]) == {0}
    for name in table["trial"]:
        one, other = (e.trial(name).genotype.read_text() for e in (source, Experiment(storage / "polished")))
        assert one == other
    recipes = [Experiment(storage / name).recipe() for name in ("first", "polished")]
    assert {key for key in recipes[0] if recipes[0][key] != recipes[1][key]} == {"retrain_epochs"}
    count = len(chosen)
    assert f"{count} trial" in output and "0 of them over before" in output
    assert f"{count} of them over before" in cluster.pareto(command, storage)


def test_more_than_the_cluster_has_is_an_error_at_once(cluster: Cluster, storage: Path) -> None:
    output = run(cluster, storage, "--name", "greedy", "--gpus-per-trial", "0.25", code=2)
    line = "pareto.py: gpus-per-trial: expected at most the 0 of the largest node, got 0.25"
    assert output.splitlines() == [line]
    assert not (storage / "greedy").exists()
