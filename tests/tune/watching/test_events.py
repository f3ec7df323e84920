"""What of Ray's events becomes which fact, with a real Ray: trials that finish, are stopped, break off, fail and are killed."""

import io
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
from ray import tune as ray_tune
from rich.console import Console

from litesnn.files import StorageError
from tests.tune.watching.runs import FIGURES, RECIPE, ledger, trial
from tune.running.facts import Fact, TrialJudged
from tune.running.halving import Halving
from tune.running.scheduler import ParetoScheduler
from tune.storage.store import Experiment
from tune.trials.reasons import Broken, CheckpointDamaged, Hung, Stopped, to_plain
from tune.watching.events import Events

pytestmark = pytest.mark.cluster
PATIENCE = 10
"""Seconds: a worker that a slow machine starts anew is silent for some."""
DAMAGED = CheckpointDamaged(phase="search", epoch=1)
GOOD, STOPPED, BREAKS, FULL, FAILS, HANGS = (trial(p) for p in range(6))


def toy(config: dict[str, Any]) -> None:
    """Reports two epochs; a further attempt begins with a notice."""
    name, folder = config["trial"], Path(config["folder"])
    attempt = len(list(folder.glob(f"{name}-*")))
    (folder / f"{name}-{attempt}").touch()
    if name == FAILS.name:
        raise ValueError("expected 3,\ngot 4")
    notices = [to_plain(DAMAGED)] if attempt else []
    for epoch in (1, 2):
        accuracy = 10.0 if name == STOPPED.name else 75.0
        record = {**FIGURES, "phase": "search", "epoch": epoch, "epochs": 2, "val_accuracy": accuracy}
        ray_tune.report({**record, "trial": name, "notices": notices if epoch == 1 else []})
        if epoch == 1 and not attempt and name in (BREAKS.name, FULL.name):
            raise StorageError("p: full") if name == FULL.name else RuntimeError("the machine went away")
        if epoch == 1 and name == HANGS.name:
            ray.get(ray.remote(num_cpus=0)(_wait).remote())


def _wait() -> None:
    import time

    time.sleep(600)


@pytest.fixture
def cluster() -> Iterator[None]:
    ray.init(num_cpus=1, include_dashboard=False, logging_level="ERROR", log_to_driver=False)
    yield
    ray.shutdown()


def test_facts_of_a_real_run(cluster: None, tmp_path: Path) -> None:
    experiment = Experiment(tmp_path / "mine")
    told: list[Any] = []
    run = ledger(experiment, count=6)
    tell = run.tell

    def keep(fact: Any) -> None:
        told.append(fact)
        tell(fact)

    run.tell = keep  # type: ignore[method-assign]
    screen = io.StringIO()
    events = Events(experiment, run, PATIENCE, Console(file=screen, width=200))
    assert pickle.loads(pickle.dumps(events)).__dict__ == {}  # a screen has no place on Ray's disk
    rule = Halving(search_epochs=2, retrain_epochs=3, chance=10, quorum=2, keep_largest=False)
    trials = (GOOD, STOPPED, BREAKS, FULL, FAILS, HANGS)
    configs = [
        {"trial": t.name, "point": t.point.to_dict(), "seed": 0, "folder": str(tmp_path), "recipe": RECIPE.to_dict()}
        for t in trials
    ]
    tuner = ray_tune.Tuner(
        ray_tune.with_resources(toy, {"cpu": 1}),
        param_space=ray_tune.grid_search(configs),
        tune_config=ray_tune.TuneConfig(scheduler=ParetoScheduler(rule, dict, tell), reuse_actors=True),
        run_config=ray_tune.RunConfig(
            name="toy",
            storage_path=str(tmp_path / "ray"),
            verbose=0,
            failure_config=ray_tune.FailureConfig(max_failures=1),
            callbacks=[events],
        ),
    )
    with events:
        tuner.fit()

    def of(t: Any) -> list[str]:
        return [type(fact).__name__ for fact in told if isinstance(fact, Fact) and fact.trial == t]

    once = ["TrialStarted", "EpochReported", "EpochReported", "TrialLeft"]
    assert of(GOOD) == [*once, "TrialEnded"] and of(STOPPED) == [*once, "OutcomeWritten", "TrialEnded"]
    broken = ["TrialStarted", "EpochReported", "AttemptBroke"]
    assert of(BREAKS) == of(FULL) == [*broken, *once, "TrialEnded"]
    assert of(FAILS) == ["TrialStarted", "AttemptBroke"] * 2 + ["OutcomeWritten", "TrialEnded"]
    assert of(HANGS) == ["TrialStarted", "EpochReported", "TrialHung", "AttemptBroke"] * 2 + [
        "OutcomeWritten",
        "TrialEnded",
    ]

    reasons = {fact.trial: fact.reason for fact in told if type(fact).__name__ == "AttemptBroke" and not fact.last}
    assert reasons[BREAKS] == Broken(error="RuntimeError: the machine went away")
    assert reasons[FULL] == Broken(error="litesnn.files.StorageError: p: full", of_storage=True)
    assert reasons[FAILS] == Broken(error="got 4") and not reasons[HANGS].of_storage
    assert (run.restarts, run.failures, run.storage_errors) == (4, 2, 1)
    notices = [(fact.trial, fact.notices) for fact in told if type(fact).__name__ == "EpochReported" and fact.notices]
    assert notices == [(BREAKS, (DAMAGED,)), (FULL, (DAMAGED,)), (HANGS, (DAMAGED,))]
    assert isinstance(run.trials[STOPPED.name].reason, Stopped) and run.trials[HANGS.name].reason == Hung(
        seconds=PATIENCE
    )
    rows = {name: (row["status"], row["reason"]) for name, row in run.rows.items()}
    assert rows[STOPPED.name][0] == "stopped" and rows[FAILS.name] == ("failed", "got 4")
    assert rows[HANGS.name] == ("failed", f"hung: no report for {PATIENCE} s")
    assert {state: n for state, n in run.states.items() if n} == {"interrupted": 3, "stopped": 1, "failed": 2}
    assert f"{BREAKS.name}: RuntimeError: the machine went away; it is started again" in screen.getvalue()
    assert f"{HANGS.name}: hung: no report for {PATIENCE} s; it is started again" in screen.getvalue()
    assert not [fact for fact in told if isinstance(fact, TrialJudged)]  # those go to the ledger directly
