"""The command on real Ray clusters, two of them its own, with real digits: results, resuming, a killed worker, a diverging point."""

import contextlib
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import psutil
import pytest
from PIL import Image

from tests.tune.clusters import Cluster

pytestmark = [pytest.mark.cluster, pytest.mark.slow]
ROOT = Path(__file__).parents[2]
# A trial of about a second, like the recipe of the other tests here.
OPTIONS = [
    "--widths",
    "1,2",
    "--search-channels",
    "4",
    "--retrain-channels",
    "4",
    "--timesteps",
    "2",
    "--search-epochs",
    "2",
    "--retrain-epochs",
    "3",
    "--search-batch",
    "100",
    "--retrain-batch",
    "100",
]


def start(storage: Path, *more: str, cwd: Path) -> subprocess.Popen[str]:
    command = [sys.executable, str(ROOT / "tune" / "pareto.py"), "--storage", str(storage), "--address", "local"]
    return subprocess.Popen(
        [*command, *OPTIONS, *more], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=cwd
    )


def join(cluster: Cluster, storage: Path, *more: str, code: int = 0, cwd: Path | None = None) -> str:
    """The command on a cluster that stands, to its end."""
    place = ["--storage", str(storage), "--address", cluster.address]
    return cluster.pareto([*place, *OPTIONS, *more], cwd or storage, code)


def finish(process: subprocess.Popen[str]) -> str:
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    return output


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("storage")


@pytest.fixture(scope="module")
def output(standing_cluster: Cluster, storage: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    points = "0,0,0 1e-6,1e-9,50 1e300,0,50"
    options = ["--points", points, "--cpus-per-trial", "2", "--no-early-stopping"]
    text = join(standing_cluster, storage, *options, cwd=elsewhere)
    assert list(elsewhere.iterdir()) == []  # nothing in the working directory
    return text


def test_prints_the_front_and_where_the_files_are(storage: Path, output: str) -> None:
    assert "Pareto front" in output and "val %" in output
    for name in ("front.png", "front.csv", "trials.csv"):
        assert str(storage / "digits" / name) in output
        assert (storage / "digits" / name).is_file()
    assert "Traceback" not in output


def test_every_trial_leaves_genotype_metrics_and_weights(storage: Path, output: str) -> None:
    for name in ("l1_0-l2_0-p_0-seed_0", "l1_1e-06-l2_1e-09-p_50-seed_0"):
        folder = storage / "digits" / "trials" / name
        assert {"genotype.json", "metrics.jsonl", "model.safetensors", "result.json"} <= {
            p.name for p in folder.iterdir()
        }
        epochs = [
            (e["phase"], e["epoch"]) for e in map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
        ]
        assert epochs == [("search", 1), ("search", 2), ("retrain", 1), ("retrain", 2), ("retrain", 3)]


def test_trials_use_the_threads_they_were_given(storage: Path, output: str) -> None:
    results = list((storage / "digits" / "trials").glob("l1_*p_*/result.json"))
    assert [json.loads(path.read_text()).get("threads", 2) for path in results] == [2, 2, 2]


def test_a_diverged_trial_is_listed_with_its_reason_and_not_in_the_front(storage: Path, output: str) -> None:
    assert "not in the front: l1_1e+300-l2_0-p_50-seed_0 diverged: the loss became" in output
    trials = pd.read_csv(storage / "digits" / "trials.csv").set_index("trial")
    assert trials.loc["l1_1e+300-l2_0-p_50-seed_0", "status"] == "diverged"
    front = pd.read_csv(storage / "digits" / "front.csv")
    assert len(trials) == 3 and 1 <= len(front) <= 2 and set(front["status"]) == {"finished"}


def test_the_plot_is_a_picture(storage: Path, output: str) -> None:
    with Image.open(storage / "digits" / "front.png") as picture:
        assert picture.format == "PNG" and min(picture.size) > 500
        assert len(set(picture.convert("RGB").get_flattened_data())) > 50


def test_repeating_the_command_keeps_what_is_finished(standing_cluster: Cluster, storage: Path, output: str) -> None:
    results = {p: p.read_bytes() for p in (storage / "digits" / "trials").glob("*/*")}
    again = join(standing_cluster, storage, "--points", "0,0,0 1e-6,1e-9,50 1e300,0,50")
    assert "3 trials, 3 of them over before" in again
    assert results == {p: p.read_bytes() for p in (storage / "digits" / "trials").glob("*/*")}


def test_a_killed_worker_continues_from_its_last_epoch(tmp_path: Path) -> None:
    process = start(tmp_path, "--points", "0,0,50", "--retrain-epochs", "12", cwd=tmp_path)
    metrics = tmp_path / "digits" / "trials" / "l1_0-l2_0-p_50-seed_0" / "metrics.jsonl"
    deadline = time.monotonic() + 120
    while not (metrics.exists() and len(metrics.read_text().splitlines()) >= 4):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    assert _listening(process) <= {"127.0.0.1", "::ffff:127.0.0.1", "::1"}
    workers = [p for p in psutil.Process(process.pid).children(recursive=True) if _is_trial(p)]
    assert len(workers) == 1
    before = metrics.read_text().splitlines()
    workers[0].kill()
    output = finish(process)
    after = metrics.read_text().splitlines()
    assert after[: len(before)] == before  # what was done was not done again
    epochs = [json.loads(line)["epoch"] for line in after]
    assert epochs == [1, 2, *range(1, 13)]
    assert "1 network on the front" in output


def test_a_trial_that_fails_is_listed_with_its_reason(standing_cluster: Cluster, tmp_path: Path) -> None:
    """A damaged genotype makes its every attempt fail."""
    broken = tmp_path / "digits" / "trials" / "l1_0-l2_0-p_50-seed_0"
    broken.mkdir(parents=True)
    (broken / "genotype.json").write_text("{")
    output = join(standing_cluster, tmp_path, "--points", "0,0,50 0,0,0")
    assert "l1_0-l2_0-p_50-seed_0 failed: litesnn.checks.InputError: genotype: expected JSON" in output
    assert "1 network on the front" in output


def test_more_cpus_than_the_cluster_has_is_refused(standing_cluster: Cluster, tmp_path: Path) -> None:
    output = join(standing_cluster, tmp_path, "--cpus-per-trial", "3", code=2)
    assert "cpus-per-trial: expected at most the 2" in output.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []


def test_a_run_without_a_finished_network_still_reports(standing_cluster: Cluster, tmp_path: Path) -> None:
    output = join(standing_cluster, tmp_path, "--points", "1e300,0,50")
    assert "not in the front: l1_1e+300-l2_0-p_50-seed_0 diverged" in output
    assert "no finished network yet" in output
    assert (tmp_path / "digits" / "front.png").is_file()


def test_ctrl_c_ends_in_order_and_the_command_continues(tmp_path: Path) -> None:
    process = start(tmp_path, "--points", "0,0,50", "--retrain-epochs", "200", cwd=tmp_path)
    metrics = tmp_path / "digits" / "trials" / "l1_0-l2_0-p_50-seed_0" / "metrics.jsonl"
    deadline = time.monotonic() + 120
    while not metrics.exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 130, output
    assert "interrupted; the same command continues" in output and "Traceback" not in output
    assert (tmp_path / "digits" / "trials.csv").is_file()


def _listening(process: subprocess.Popen[str]) -> set[str]:
    """Addresses on which the command and the cluster that it started accept connections."""
    found = set()
    for member in [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            found |= {c.laddr.ip for c in member.net_connections("tcp") if c.status == psutil.CONN_LISTEN}
    assert found  # a cluster has servers
    return found


def _is_trial(process: psutil.Process) -> bool:
    try:
        return "ImplicitFunc" in " ".join(process.cmdline())
    except psutil.Error:
        return False


def test_a_family_runs_from_its_root_and_goes_on_when_the_command_is_repeated(
    standing_cluster: Cluster, tmp_path: Path
) -> None:
    """Also where the root fails: its children are trained from scratch then, and stay so."""
    points = ["--points", "0,0,0,4,4,1 0,0,0,4,1,1 0,0,0,4,1,2"]
    family = ["--strategy", "fixed", "--warm-epochs", "1", *points]
    first = join(standing_cluster, tmp_path, *family, "--seeds", "2")
    table = pd.read_csv(tmp_path / "digits" / "trials.csv", keep_default_na=False).set_index("trial")
    names = [f"l1_0-l2_0-p_0-b_{b}-t_{t}" for b, t in ((4, 1), (1, 1), (1, 2))]
    for seed in (0, 1):
        root, child, grandchild = (f"{name}-seed_{seed}" for name in names)
        assert list(table.loc[[root, child, grandchild], "parent"]) == ["", root, child]
        assert list(table.loc[[root, child, grandchild], "retrain_epochs"]) == [3, 1, 1]
        ends = table.loc[[root, child, grandchild], "ended_at"]
        assert list(ends) == sorted(ends)
    assert "6 trials, 0 of them over before" in first
    again = join(standing_cluster, tmp_path, *family, "--seeds", "3")
    assert "9 trials, 6 of them over before" in again
    assert len(pd.read_csv(tmp_path / "digits" / "trials.csv")) == 9


def test_children_of_a_root_that_fails_are_trained_from_scratch(standing_cluster: Cluster, tmp_path: Path) -> None:
    family = ["--strategy", "fixed", "--warm-epochs", "1", "--points", "0,0,0,4,4,1 0,0,0,4,1,1"]
    blocked = tmp_path / "digits" / "trials" / "l1_0-l2_0-p_0-b_4-t_1-seed_0"
    blocked.mkdir(parents=True)
    (blocked / "genotype.json").write_text("{")
    join(standing_cluster, tmp_path, *family)
    table = pd.read_csv(tmp_path / "digits" / "trials.csv", keep_default_na=False).set_index("trial")
    assert list(table.sort_values("held_bits")["status"]) == ["finished", "failed"]
    assert table.loc["l1_0-l2_0-p_0-b_1-t_1-seed_0", ["parent", "retrain_epochs"]].tolist() == ["", 3]


def test_points_that_a_sampler_chooses_start_from_finished_ones_and_keep_their_starts(
    standing_cluster: Cluster, tmp_path: Path
) -> None:
    """One at a time, so that what has finished is what ended before; a repeated command keeps what it began with."""
    options = "--strategy fixed --warm-epochs 1 --no-early-stopping --max-concurrent 1"
    sampled = f"{options} --search tpe --p-range 0,0 --num-points".split()
    join(standing_cluster, tmp_path, *sampled, "5")
    first = pd.read_csv(tmp_path / "digits" / "trials.csv", keep_default_na=False).sort_values("ended_at")
    assert list(first["status"]) == ["finished"] * 5
    started = first[first["parent"] != ""]
    parents = first.set_index("trial").loc[started["parent"]]
    assert 2 <= len(started) < 5 and (parents["held_bits"].to_numpy() >= started["held_bits"].to_numpy()).all()
    assert (parents["ended_at"].to_numpy() <= started["ended_at"].to_numpy()).all()
    assert list(first["retrain_epochs"]) == [1 if name else 3 for name in first["parent"]]
    warm = first.loc[first["parent"] != "", "trial"].iloc[-1]
    (tmp_path / "digits" / "trials" / warm / "result.json").unlink()  # as a kill before its end leaves it
    join(standing_cluster, tmp_path, *sampled, "6")
    table = pd.read_csv(tmp_path / "digits" / "trials.csv", keep_default_na=False).set_index("trial")
    assert len(table) == 6 and set(table["status"]) == {"finished"}
    assert table.loc[first["trial"], "parent"].tolist() == first["parent"].tolist()
