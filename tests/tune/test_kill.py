"""SIGKILL of the whole command at random moments, and the same command again: nothing that was finished is done twice."""

import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch
from optuna.trial import FrozenTrial, TrialState

from litesnn import Recipe
from tests.tune.clusters import PARETO, RECIPE, Cluster, Processes, snapshot, wait_until
from tests.tune.times import TIMES
from tune.plan.points import Trial, parse_points
from tune.plan.study import open_storage
from tune.running.halving import Halving
from tune.running.scheduler import ParetoScheduler
from tune.storage.store import Experiment, TrialFolder
from tune.trials.shared_data import Arrays
from tune.trials.trial import search_and_retrain

pytestmark = [pytest.mark.cluster, pytest.mark.slow]
SEARCH, RETRAIN = 2, 6
COMMAND = [*PARETO, *RECIPE, "--retrain-epochs", str(RETRAIN)]
POINTS = "0,0,0 0,0,50 1e-6,1e-9,80"
SEED = 7
ORPHANED_S = 60  # Ray notices a dead driver within seconds


@pytest.fixture
def processes() -> Iterator[Processes]:
    with Processes() as started:
        yield started


def test_killed_again_and_again_it_ends_with_the_bits_of_an_undisturbed_run(
    processes: Processes, tmp_path: Path, data: dict[str, Arrays]
) -> None:
    moments = random.Random(SEED)
    trials = tmp_path / "digits" / "trials"
    points = parse_points(POINTS)
    arguments = [*COMMAND, "--address", "local", "--no-early-stopping", "--points", POINTS, "--storage", str(tmp_path)]
    total = len(points) * (SEARCH + RETRAIN)
    before: Mapping[Path, bytes] = {}
    for first, last in ((1, total // 3), (total // 2, total - 2)):
        process = processes.start(arguments, tmp_path)
        _kill_at(
            processes, process, trials, max(moments.randint(first, last), _epochs(trials) + 1), moments.uniform(0, 0.2)
        )
        wait_until(lambda: not processes.alive())  # the cluster that it started dies with it
        _check_nothing_was_done_again(before, before := snapshot(trials))
    assert f"{len(points)} finished" in processes.run(arguments, tmp_path)
    after = snapshot(trials)
    _check_nothing_was_done_again(before, after)

    recipe = Recipe.from_dict(Experiment(tmp_path / "digits").recipe())
    for point in points:
        calm = TrialFolder(tmp_path / "calm" / Trial(point=point, seed=0).name)
        search_and_retrain(point, recipe, 0, calm, data, torch.device("cpu"), lambda record: None)
    undisturbed = snapshot(tmp_path / "calm")
    assert set(after) == set(undisturbed)
    for path, content in after.items():
        assert _bits(path, content) == _bits(path, undisturbed[path]), path


def test_on_a_standing_cluster_rungs_and_study_are_as_before(standing_cluster: Cluster, tmp_path: Path) -> None:
    """Ray lets the trials of a killed driver go on until it has noticed; the same command is given again at once."""
    cluster, moments = standing_cluster, random.Random(SEED + 1)
    count = 6
    journal = tmp_path / "study.log"
    experiment = Experiment(tmp_path / "digits")
    arguments = [*COMMAND, "--address", cluster.address, "--storage", str(tmp_path), "--early-stopping"]
    arguments += ["--search", "tpe", "--num-points", str(count), "--optuna-storage", str(journal)]
    trials = experiment.path / "trials"
    process = cluster.start(arguments, tmp_path)
    orphans = _kill_at(cluster, process, trials, moments.randint(4, 30), moments.uniform(0, 0.2))
    killed = time.monotonic()
    before, study, rungs = snapshot(trials), _study(journal), _rungs(experiment)
    process = cluster.start(arguments, tmp_path)
    wait_until(lambda: not orphans & set(cluster.trials()))
    assert time.monotonic() - killed < ORPHANED_S
    print(f"orphans ended after {time.monotonic() - killed:.1f} s")
    output = process.communicate(timeout=240)[0]
    assert process.returncode == 0, output
    after = snapshot(trials)
    _check_nothing_was_done_again(before, after, orphans=len(orphans))

    assert {path.parts[0] for path in before} <= {path.parts[0] for path in after}
    assert len({path.parts[0] for path in after}) == count
    assert set(experiment.table()["status"]) <= {"finished", "stopped"}
    for rung, entries in _rungs(experiment).items():
        assert rungs[rung].items() <= entries.items()
    again = _study(journal)
    assert [trial.number for trial in again] == list(range(count))  # points under way were taken up, none twice
    for old, new in zip(study, again, strict=False):
        assert (old.params, old.user_attrs) == (new.params, new.user_attrs)
        assert old.values == new.values or old.state == TrialState.RUNNING
    assert {trial.state for trial in again} <= {TrialState.COMPLETE, TrialState.PRUNED}


def _kill_at(processes: Processes, process: subprocess.Popen[str], trials: Path, epochs: int, later: float) -> set[int]:
    """Kills the command ``later`` seconds after so many epochs of all trials are on disk; who ran trials then."""
    wait_until(lambda: _epochs(trials) >= epochs, process)
    time.sleep(later)  # not to wait for anything: a random moment within an epoch
    running = set(processes.trials())
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    return running


def _epochs(trials: Path) -> int:
    return sum(len(path.read_text().splitlines()) for path in trials.glob("*/metrics.jsonl"))


def _check_nothing_was_done_again(before: Mapping[Path, bytes], after: Mapping[Path, bytes], orphans: int = 0) -> None:
    """Trials that were over keep every byte; others keep every epoch, with the seconds that it took then.

    While orphans write, one epoch of each may be on disk that the trial's next process, which had read the checkpoint
    before it, runs again.
    """
    repeated = 0
    for path, content in before.items():
        if path.parent / "result.json" in before:
            assert after[path] == content, path
        elif path.name == "metrics.jsonl":
            old, new = content.splitlines(), after[path].splitlines()
            assert len(new) >= len(old) and new[: len(old) - 1] == old[:-1], path
            repeated += new[len(old) - 1] != old[-1]
    print(f"epochs on disk that were run again: {repeated}, orphans: {orphans}")
    assert repeated <= orphans


def _bits(path: Path, content: bytes) -> Any:
    """A file's content without how long things took, and without the order in which safetensors lists things."""
    if path.name == "metrics.jsonl":
        return [_drop(json.loads(line)) for line in content.splitlines()]
    if path.suffix == ".safetensors":
        header = int.from_bytes(content[:8], "little")
        return json.loads(content[8 : 8 + header]), content[8 + header :]
    return _drop(json.loads(content)) if path.name == "result.json" else content


def _drop(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key not in TIMES}


def _rungs(experiment: Experiment) -> Any:
    """The rungs as a scheduler has them that starts now."""
    recipe = Recipe.from_dict(experiment.recipe())
    rule = Halving(search_epochs=recipe.search_epochs, retrain_epochs=recipe.retrain_epochs, chance=10)
    return ParetoScheduler(rule, experiment.records).rungs.entries


def _study(journal: Path) -> list[FrozenTrial]:
    return optuna.load_study(study_name="digits", storage=open_storage(str(journal))).get_trials()
