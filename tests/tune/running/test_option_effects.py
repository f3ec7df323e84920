"""What options do that needs no cluster of its own: data, addresses, another recipe, and the commands that read."""

import argparse
import json
import shlex
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import ray

from litesnn import InputError, Recipe
from tests.tune.clusters import RECIPE
from tune import pareto
from tune.running import cluster
from tune.running.settings import Settings
from tune.storage.store import Experiment
from tune.views.next_steps import next_steps

SHORT = [*RECIPE, "--retrain-epochs", "2"]
NUMBERS = {"val_accuracy": 90.0, "test_accuracy": 89.0, "bit_synops": 2e6, "energy_mj": 1e-3, "timesteps": 2}


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    """Two experiments of the tiny recipe, with one finished trial each, the second network the smaller."""
    recipe = Recipe.preset("digits", **_overrides())
    for name, p, size in (("a", 50.0, 80_000), ("b", 80.0, 16_000)):
        experiment = Experiment(tmp_path / name)
        experiment.open(recipe.to_dict())
        folder = experiment.trial(f"l1_0-l2_0-p_{p:g}-seed_0")
        folder.write_start({"lambda1": 0.0, "lambda2": 0.0, "p": p, "seed": 0}, recipe.to_dict())
        folder.write_result("finished", **NUMBERS, model_size_bits=size, bits=[2, 1], side_bits=0)
    return tmp_path


def _overrides() -> dict[str, Any]:
    values = dict(zip(SHORT[::2], SHORT[1::2], strict=True))
    return {
        name.removeprefix("--").replace("-", "_"): tuple(map(int, text.split(","))) if "," in text else int(text)
        for name, text in values.items()
    }


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    try:
        code = pareto.main(list(arguments))
    except SystemExit as stop:
        code = int(stop.code or 0)
    return code, *capsys.readouterr()


@pytest.mark.parametrize("download", [True, False])
def test_data_root_download_and_skip_damaged_reach_the_loader(
    download: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[object] = []

    def load(recipe: Recipe, root: str | None, fetch: bool, progress: object, skip: bool, say: object) -> None:
        asked.extend((recipe.dataset, root, fetch, skip))
        raise InputError("data: none today")

    monkeypatch.setattr("tune.run.load_arrays", load)
    more = ["--download", "--skip-damaged"] if download else ["--no-download"]
    place = ["--storage", str(tmp_path / "results"), "--data-root", str(tmp_path)]
    assert call(capsys, "--preset", "cifar10", *place, *more)[::2] == (2, "pareto.py: data: none today\n")
    assert asked == ["cifar10", str(tmp_path), download, download]
    assert not (tmp_path / "results").exists()


def test_another_recipe_under_the_same_name_is_refused_with_the_difference(
    storage: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    same = ["--storage", str(storage), "--name", "a", *SHORT, "--points", "0,0,50"]
    assert call(capsys, *same)[0] == 0
    code, _, error = call(capsys, *same, "--tau", "0.5", "--timesteps", "3")
    assert code == 2 and len(error.splitlines()) == 1
    assert "timesteps: there 2, here 3; tau: there 0.2, here 0.5; choose another --name" in error


def test_an_address_that_the_environment_names_must_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    code, _, error = call(capsys, "--storage", str(tmp_path), "--address", "auto", "--points", "0,0,50", *SHORT)
    assert code == 2 and error.startswith("pareto.py: RAY_ADDRESS: expected a Ray cluster, got nobody at 127.0.0.1:1")
    assert list(tmp_path.iterdir()) == []


def test_auto_starts_a_cluster_where_the_one_that_was_here_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """And it does not look for those that other commands have started for themselves."""
    started: list[dict[str, object]] = []
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(ray, "init", lambda **options: started.append(options))
    monkeypatch.setattr(cluster, "_bind_to_loopback", lambda: None)
    for noted in (None, "127.0.0.1:1"):
        monkeypatch.setattr(ray._private.utils, "read_ray_address", lambda noted=noted: noted)
        monkeypatch.setattr(ray._private.services, "find_gcs_addresses", lambda: {"127.0.0.1:6379"})
        cluster.connect("auto")
    cluster.connect("local")
    assert [options["address"] for options in started] == ["local"] * 3


@pytest.mark.parametrize("variable", ["TMPDIR", "RAY_TMPDIR"])
def test_a_folder_too_deep_for_the_sockets_of_ray_is_named(
    variable: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Before Ray starts anything."""
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    deep = tmp_path / ("x" * 60)
    deep.mkdir()
    monkeypatch.setenv(variable, str(deep))
    monkeypatch.setattr(ray, "init", lambda **options: pytest.fail("started"))
    with pytest.raises(InputError) as error:
        cluster.connect("local")
    assert str(error.value).startswith(f"{variable}: expected a folder whose path has at most ")
    assert str(deep) in str(error.value)


def test_the_token_that_ray_writes_is_closed_to_others(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One that was there before, and one that comes with the start of a cluster; somebody else's is let be."""
    token = tmp_path / ".ray" / "auth_token"
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("RAY_AUTH_TOKEN_PATH", raising=False)
    monkeypatch.setattr(cluster, "_bind_to_loopback", lambda: None)

    def start(**options: object) -> None:
        modes.append(token.stat().st_mode & 0o777 if token.exists() else None)
        token.parent.mkdir(exist_ok=True)
        token.write_text("secret")  # as Ray does: for all to read, and the mode of a file that is there stays

    modes: list[int | None] = []
    monkeypatch.setattr(ray, "init", start)
    cluster.connect("local")
    assert modes == [None] and token.stat().st_mode & 0o777 == 0o600
    token.chmod(0o644)
    cluster.connect("local")
    assert modes == [None, 0o600] and token.stat().st_mode & 0o777 == 0o600
    shared = tmp_path / "of a team"
    shared.touch(0o640)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(shared))
    cluster.connect("local")
    assert shared.stat().st_mode & 0o777 == 0o640


def test_status_report_pick_and_merge(storage: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = ["--storage", str(storage)]
    before = sorted(storage.rglob("*"))
    code, output, _ = call(capsys, "status", *place, "--name", "a")
    assert code == 0 and "1 trial: 1 finished" in output and "best validation accuracy 90.00 %" in output
    assert sorted(storage.rglob("*")) == before

    code, output, _ = call(capsys, "pick", "--name", str(storage / "a"), "--max-size", "0.02MB", "--json")
    assert code == 0 and json.loads(output)["network"]["model_size_bits"] == 80_000
    code, output, _ = call(capsys, "pick", *place, "--name", "a", "--max-size", "5kB", "--min-accuracy", "80")
    assert code == 1 and "no network fits; nearest: l1_0-l2_0-p_50-seed_0" in output and "100 % above 5.00 kB" in output
    assert call(capsys, "pick", *place, "--name", "b", "--max-bit-synops", "2M")[0] == 0
    assert sorted(storage.rglob("*")) == before

    code, _, error = call(capsys, "pick", *place, "--name", "a", "--max-file", "5kB")
    assert code == 2 and "max-file: expected networks whose files were measured" in error

    code, output, _ = call(capsys, "report", *place, "--name", "a")
    assert code == 0 and str(storage / "a" / "report.html") in output and (storage / "a" / "front.csv").is_file()
    code, output, _ = call(capsys, "merge", "a", "b", *place, "--out", "both")
    assert code == 0 and (storage / "both" / "report.html").is_file()
    assert len((storage / "both" / "trials.csv").read_text().splitlines()) == 3
    assert len((storage / "both" / "front.csv").read_text().splitlines()) == 2  # the smaller of equals

    shutil.rmtree(storage / "b")
    assert call(capsys, "merge", "a", "b", *place, "--out", "again")[0] == 2
    assert not (storage / "again").exists()


def test_seeds_of_a_point_are_one_entry(
    storage: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the table, in files, and for the commands with ``--sure``."""
    recipe, experiment = Recipe.preset("digits", **_overrides()), Experiment(storage / "many")
    experiment.open(recipe.to_dict())
    found = {10: ((97, 86, 87), 80_000), 20: ((89.5, 89, 88.5), 40_000), 30: ((60, 60.5, 59.5), 10_000)}
    for p, (accuracies, size) in found.items():
        for seed, accuracy in enumerate(accuracies):
            folder = experiment.trial(f"l1_0-l2_0-p_{p}-seed_{seed}")
            folder.write_start({"lambda1": 0.0, "lambda2": 0.0, "p": float(p), "seed": seed}, recipe.to_dict())
            figures = NUMBERS | {"val_accuracy": accuracy, "val_samples": 400, "bit_synops": size}
            folder.write_result("finished", **figures, model_size_bits=size, bits=[2, 1], side_bits=0)
    place = ["--storage", str(storage), "--name", "many"]
    assert "l1_0-l2_0-p_10-seed_0: accuracy 97.00 %" in call(capsys, "pick", *place)[1]
    code, output, _ = call(capsys, "pick", *place, "--sure")
    assert code == 0 and "l1_0-l2_0-p_20-seed_0: accuracy 89.50 %" in output and "mean over its 3 seeds" in output
    assert call(capsys, "pick", *place, "--sure", "--min-accuracy", "90")[0] == 1
    code, output, _ = call(capsys, "report", *place)
    lines = [line.split() for line in output.splitlines()]
    assert code == 0 and lines[1][-2:] == ["seeds", "point"]
    assert [line[-2:] for line in lines[2:5]] == [["3", f"l1_0-l2_0-p_{p}"] for p in found]
    assert "3 points on the front, 2 of them for sure" in output and str(storage / "many" / "points.csv") in output
    assert list(pd.read_csv(storage / "many" / "points.csv")["front"]) == ["unsure", "sure", "sure"]
    monkeypatch.setattr(ray, "init", lambda **options: pytest.fail("started"))
    code, _, error = call(capsys, "polish", *place, "--epochs", "5", "--sure")
    assert code == 2 and "name: expected the genotype of l1_0-l2_0-p_20-seed_0 in " in error


def test_names_are_printed_as_they_are(storage: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Square brackets and colons mean something to what prints them in colour."""
    name = "a [x] [red] :cat: b"
    (storage / "a").rename(storage / name)
    code, output, _ = call(capsys, "report", "--storage", str(storage), "--name", name)
    assert code == 0 and output.count(str(storage / name)) == 5
    folder = Experiment(storage / name).trial("odd [x]")
    folder.write_start({"lambda1": 0.0, "lambda2": 0.0, "p": 0.0, "seed": 0}, {})
    folder.write_result("failed", reason="no file [red]a[/red] :x:")
    code, output, _ = call(capsys, "status", "--storage", str(storage), "--name", name)
    assert "not in the front: odd [x] failed: no file [red]a[/red] :x:" in output


def test_an_experiment_that_has_stalled_runs_nothing(
    storage: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ray, "init", lambda **options: pytest.fail("started"))
    trials = Experiment(storage / "a").trial
    costs = {"model_size_bits": 800, "file_bits": 1600, "bits": [2, 1], "side_bits": 0, "bit_synops": 2e3}
    for p in (60, 70, 80, 85):  # three more like the first one, and no better
        folder = trials(f"l1_0-l2_0-p_{p}-seed_0")
        point = {"lambda1": 0.0, "lambda2": 0.0, "p": p, "seed": 0}
        folder.write_start(point, Recipe.preset("digits", **_overrides()).to_dict())
        folder.write_result("finished", **{**NUMBERS, **costs})
    same = ["--storage", str(storage), "--name", "a", *SHORT, "--points", "0,0,90"]
    for search in ([], ["--search", "tpe"]):
        more = same[:-2] + search if search else same
        code, output, _ = call(capsys, *more, "--until-stalled", "3")
        assert code == 0 and "nothing left to run" in output
        expected = "Stalled: the last 3 trials have added less than 0.1 % to the hypervolume."
        assert output.splitlines()[-1] == expected


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("--name a --epochs 2", "epochs: expected an integer of at least 3, got 2"),
        ("--name a --epochs many", "epochs: expected an integer, got 'many'"),
        ("--name a --epochs 5", "name: expected the genotype of l1_0-l2_0-p_50-seed_0 in "),
        ("--name c --epochs 5", "name: expected an experiment with its recipe in "),
        ("--name a --epochs 5 --out .", "out: expected a plain folder name"),
        ("--name a --epochs 5 --out a", "out: expected another experiment than the one whose networks are retrained"),
    ],
)
def test_what_cannot_be_polished_is_refused(
    arguments: str, expected: str, storage: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ray, "init", lambda **options: pytest.fail("started"))
    if "--out" in arguments:
        Experiment(storage / "a").trial("l1_0-l2_0-p_50-seed_0").genotype.write_text("{}")
    before = sorted(storage.rglob("*"))
    code, _, error = call(capsys, "polish", "--storage", str(storage), *arguments.split())
    assert code == 2 and len(error.splitlines()) == 1 and expected in error
    assert sorted(storage.rglob("*")) == before


def test_a_mistyped_name_suggests_the_nearest(storage: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (storage / "a").rename(storage / "cifar10-small")
    code, _, error = call(capsys, "status", "--storage", str(storage), "--name", "cifar-small")
    assert code == 2 and error.strip().endswith("got none; did you mean 'cifar10-small'?")


def test_a_merge_is_no_experiment_and_is_not_suggested(storage: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = ("--storage", str(storage))
    assert call(capsys, "merge", *place, "a", "b", "--out", "both")[0] == 0
    code, _, error = call(capsys, "pick", *place, "--name", "both")
    assert code == 2 and error.strip().endswith("got none; a merge has a report only")


def test_the_next_commands_have_real_names(storage: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (storage / "a").rename(storage / "my run")
    experiment = Experiment(storage / "my run")
    look, pick, export = next_steps(experiment, str(storage), experiment.table())
    assert look == f"python tune/pareto.py serve --storage {storage}"
    assert pick == f"python tune/pareto.py pick --storage {storage} --name 'my run'"
    model = f"{storage}/my run/trials/l1_0-l2_0-p_50-seed_0/model.safetensors"
    assert export == f"litesnn export '{model}'"
    assert call(capsys, *shlex.split(pick)[2:])[0] == 0


def test_commands_that_read_need_no_right_to_write(
    storage: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # The superuser may write anywhere, so the answer of the system is replaced.
    monkeypatch.setattr("tune.storage.paths.os.access", lambda path, mode: False)
    place = ["--storage", str(storage), "--name", "a"]
    assert [call(capsys, command, *place)[0] for command in ("status", "pick", "report")] == [0, 0, 2]


def test_settings_hold_what_the_command_line_says() -> None:
    command = "--storage s --seeds 2 --log mlflow,wandb --gpus-per-trial 0.25 --time-budget 1h30m --no-early-stopping"
    command += " --trial-timeout 20m"
    args: argparse.Namespace = pareto._parser().parse_args(["run", *command.split()])
    from litesnn.options import given_options

    settings = Settings(**given_options(args, Settings, dashed=True))
    assert (settings.storage, settings.seeds, settings.log) == ("s", 2, ("mlflow", "wandb"))
    assert (settings.gpus_per_trial, settings.time_budget_s, settings.early_stopping) == (0.25, 5400.0, False)
    assert settings.trial_timeout_s == 1200.0 and Settings(trial_timeout="0").trial_timeout_s is None
    assert Settings().early_stopping and Settings().time_budget_s is None and Settings().trial_timeout_s == 4 * 3600
