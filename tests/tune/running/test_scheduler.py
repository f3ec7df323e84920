"""The adapter to Ray: reports in, verdicts out, and a state that is a function of what lies on disk."""

import json
import math
import pickle
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import ray
from ray import tune as ray_tune
from ray.tune.schedulers import TrialScheduler

from tune.running.facts import TrialJudged
from tune.running.halving import Halving
from tune.running.scheduler import ParetoScheduler
from tune.trials.reasons import Stopped

PLAIN: dict[str, Any] = {"quorum": 1, "keep_largest": False, "earliest": 0.2}
HALVING = Halving(search_epochs=8, retrain_epochs=15, chance=10.0, **PLAIN)  # search 2, 4, 8, retrain 4, 8
GO, STOP = TrialScheduler.CONTINUE, TrialScheduler.STOP
GATE = ("search", 8)

GOOD = (95.0, 100, 1000.0)
SECOND = Stopped(phase="search", epoch=2, rank=2, of=2)
WORSE = (50.0, 200, 2000.0)  # dominated by GOOD, by more than any credit


def record(trial: str, phase: str, epoch: int, entry: tuple[float, float, float] = GOOD) -> dict[str, Any]:
    """What a trial reports after an epoch."""
    accuracy, size, bit_synops = entry
    return {
        "trial": trial,
        "phase": phase,
        "epoch": epoch,
        "epochs": 8 if phase == "search" else 15,
        "loss": 0.1,
        "val_accuracy": accuracy,
        "model_size_bits": size,
        "bit_synops": bit_synops,
        "timesteps": 2,
        "seconds": 1.0,
    }


def report(
    scheduler: ParetoScheduler, trial: str, phase: str, epoch: int, entry: tuple[float, float, float] = GOOD
) -> str:
    """Reports as Ray's controller does."""
    return scheduler.on_trial_result(None, SimpleNamespace(trial_id=trial), record(trial, phase, epoch, entry))


@dataclass(frozen=True)
class Disk:
    """Records that pickle, as ``Experiment`` does."""

    kept: tuple[dict[str, Any], ...] = ()

    def records(self) -> Mapping[str, list[dict[str, Any]]]:
        """As ``Experiment.records``."""
        names = dict.fromkeys(entry["trial"] for entry in self.kept)
        return {name: [entry for entry in self.kept if entry["trial"] == name] for name in names}


class Told(list[TrialJudged]):
    """The verdicts that a scheduler has told."""

    @property
    def stopped(self) -> dict[str, Stopped]:
        """Trials that are stopped by their last verdict, and why."""
        last = {verdict.name: verdict.stopped for verdict in self}
        return {name: stopped for name, stopped in last.items() if stopped is not None}


def scheduler_on(*records: dict[str, Any]) -> ParetoScheduler:
    return ParetoScheduler(HALVING, Disk(records).records, Told().append)


def told(scheduler: ParetoScheduler) -> Told:
    return scheduler.tell.__self__  # type: ignore[union-attr]


def search(trial: str, epochs: int, entry: tuple[float, float, float] = GOOD) -> list[dict[str, Any]]:
    return [record(trial, "search", epoch, entry) for epoch in range(1, epochs + 1)]


def test_stops_at_a_rung_and_says_why() -> None:
    scheduler = scheduler_on()
    assert report(scheduler, "a", "search", 1) == GO
    assert report(scheduler, "a", "search", 2) == GO
    assert report(scheduler, "b", "search", 1, WORSE) == GO, "no rung stands there"
    assert report(scheduler, "b", "search", 2, WORSE) == STOP
    judged = [TrialJudged(name="a", stopped=None), TrialJudged(name="b", stopped=SECOND)]
    assert told(scheduler) == judged, "one per rung that is passed"
    assert scheduler.debug_string().startswith("Halving over search 2: 2, search 4: 0")


def test_a_network_that_started_from_another_one_stands_on_no_rung() -> None:
    """Its epochs are fewer, and no measure for those of others."""
    scheduler = scheduler_on(*search("a", 8))
    for epoch in (4, 8):
        short = SimpleNamespace(trial_id="warm"), {**record("warm", "retrain", epoch, WORSE), "epochs": 8}
        assert report(scheduler, "a", "retrain", epoch) == GO and scheduler.on_trial_result(None, *short) == GO
    assert all("warm" not in found for found in scheduler.rungs.entries.values())


def test_a_report_that_jumps_is_recorded_at_every_rung_of_its_phase() -> None:
    scheduler = scheduler_on()
    report(scheduler, "a", "search", 5)
    report(scheduler, "a", "retrain", 9)
    entries = scheduler.rungs.entries
    assert {rung for rung, found in entries.items() if "a" in found} == {
        ("search", 2),
        ("search", 4),
        ("retrain", 4),
        ("retrain", 8),
    }
    assert report(scheduler, "b", "search", 7, WORSE) == STOP


def test_the_same_report_twice_is_one_entry() -> None:
    scheduler = scheduler_on()
    for _ in range(3):
        assert report(scheduler, "a", "search", 4) == GO
    report(scheduler, "a", "search", 4, (96.0, 100, 1000.0))
    assert scheduler.rungs.entries["search", 4] == {"a": GOOD}
    assert len(scheduler.rungs.entries["search", 2]) == 1


def test_the_rungs_are_read_from_disk_before_the_first_decision() -> None:
    scheduler = scheduler_on(*search("a", 8), *search("b", 3, WORSE))
    assert report(scheduler, "c", "search", 8, WORSE) == STOP
    assert told(scheduler).stopped == {"c": Stopped(phase="search", epoch=8, rank=2, of=2)}
    assert list(scheduler.rungs.entries["search", 2]) == ["a", "b", "c"]


def test_disk_and_reports_give_the_same_rungs() -> None:
    reports = [*search("a", 8), *search("b", 4, WORSE), record("a", "retrain", 1), *search("c", 2, (60.0, 20, 200.0))]
    live = scheduler_on()
    for entry in reports:
        live.on_trial_result(None, None, entry)
    assert scheduler_on(*reports).rungs.entries == live.rungs.entries


def test_a_resumed_trial_whose_verdict_may_be_missing_gets_it_now() -> None:
    scheduler = scheduler_on(*search("a", 8), *search("b", 4, WORSE))
    assert report(scheduler, "b", "search", 4, WORSE) == STOP


def test_a_resumed_trial_that_was_let_through_goes_on() -> None:
    scheduler = scheduler_on(*search("a", 8), *search("b", 5, WORSE))
    assert report(scheduler, "b", "search", 5, WORSE) == GO, "no rung"
    assert report(scheduler, "b", "search", 4, WORSE) == GO, "later records exist"
    assert report(scheduler, "b", "search", 6, WORSE) == GO
    assert report(scheduler, "b", "search", 8, WORSE) == STOP


def test_a_trial_past_the_gate_was_let_through() -> None:
    scheduler = scheduler_on(*search("a", 8), *search("b", 8, WORSE), record("b", "retrain", 1, WORSE))
    assert report(scheduler, "b", "search", 8, WORSE) == GO
    assert report(scheduler, "b", "retrain", 1, WORSE) == GO
    assert scheduler.rungs.entries["retrain", 4] == {}


def test_a_trial_that_starts_anew_and_comes_further_is_no_longer_stopped() -> None:
    scheduler = scheduler_on()
    report(scheduler, "a", "search", 4)
    assert report(scheduler, "b", "search", 4, WORSE) == STOP
    assert set(told(scheduler).stopped) == {"b"}
    assert report(scheduler, "b", "search", 8, (99.0, 10, 100.0)) == GO
    assert told(scheduler).stopped == {}


def test_nan_never_enters_a_rung() -> None:
    scheduler = scheduler_on()
    assert report(scheduler, "a", "search", 2, (math.nan, 1, 1.0)) == STOP
    assert scheduler.rungs.entries["search", 2] == {}
    assert report(scheduler, "b", "search", 2) == GO


def test_reports_of_another_kind_are_let_through() -> None:
    scheduler = scheduler_on()
    assert scheduler.on_trial_result(None, None, {"done": True}) == GO
    assert scheduler.debug_string() == "Halving over no rungs yet"


def test_unknown_trials_are_tolerated() -> None:
    scheduler, unknown = scheduler_on(), SimpleNamespace(trial_id="never seen")
    scheduler.on_trial_add(None, unknown)
    scheduler.on_trial_remove(None, unknown)
    scheduler.on_trial_error(None, unknown)
    scheduler.on_trial_complete(None, unknown, {})


def test_no_metric_can_be_set() -> None:
    scheduler = scheduler_on()
    assert scheduler.set_search_properties(None, None, max_concurrent=2)
    assert not scheduler.set_search_properties("val_accuracy", "max")
    assert scheduler.metric is None


def test_a_pickle_carries_no_rungs_and_reads_the_disk_again() -> None:
    scheduler = scheduler_on(*search("a", 8))
    report(scheduler, "x", "search", 8)  # is not on this disk
    assert set(scheduler.rungs.entries[GATE]) == {"a", "x"}
    again = pickle.loads(pickle.dumps(scheduler))
    assert again.debug_string().startswith("Halving over no rungs yet")
    assert report(again, "b", "search", 8, WORSE) == STOP
    assert set(again.rungs.entries[GATE]) == {"a", "b"}


# ---- with Ray


@dataclass(frozen=True)
class Folder:
    """Trials of the toy below on disk, one JSON list each."""

    path: Path

    def records(self) -> Mapping[str, list[dict[str, Any]]]:
        """As ``Experiment.records``."""
        return {file.stem: json.loads(file.read_text()) for file in sorted(self.path.glob("*.json"))}


def toy(config: dict[str, Any]) -> None:
    """Writes its records and then reports each; a resumed one begins with its last; fails once at ``fails_at``."""
    name, file = config["trial"], Path(config["folder"]) / f"{config['trial']}.json"
    records = json.loads(file.read_text()) if file.exists() else []
    if records:
        ray_tune.report(records[-1])
    places = [("search", epoch) for epoch in range(1, 9)] + [("retrain", epoch) for epoch in range(1, 16)]
    for phase, epoch in places[len(records) :]:
        broken = Path(config["folder"]) / f"{name}.broken"
        if (phase, epoch) == tuple(config.get("fails_at", ())) and not broken.exists():
            broken.touch()
            raise RuntimeError("the machine went away")
        records.append(record(name, phase, epoch, config["entry"]))
        file.write_text(json.dumps(records))
        ray_tune.report(records[-1])


@pytest.fixture
def cluster() -> Iterator[None]:
    ray.init(num_cpus=1, include_dashboard=False, logging_level="ERROR", log_to_driver=False)
    yield
    ray.shutdown()


@pytest.mark.cluster
def test_rungs_after_a_restore_equal_those_before(cluster: None, tmp_path: Path) -> None:
    """Five trials in a row, two of which are interrupted; the restored run has only the disk to judge them by."""
    data = tmp_path / "trials"
    data.mkdir()
    configs = [
        {"trial": "a", "entry": GOOD, "folder": str(data)},
        {"trial": "b", "entry": WORSE, "folder": str(data)},
        {"trial": "c", "entry": (90.0, 20, 200.0), "folder": str(data), "fails_at": ["retrain", 6]},
        {"trial": "d", "entry": (89.0, 19, 210.0), "folder": str(data)},
        {"trial": "e", "entry": WORSE, "folder": str(data), "fails_at": ["search", 2]},
    ]
    scheduler = ParetoScheduler(HALVING, Folder(data).records, Told().append)
    tuner = ray_tune.Tuner(
        ray_tune.with_resources(toy, {"cpu": 1}),
        param_space=ray_tune.grid_search(configs),
        tune_config=ray_tune.TuneConfig(scheduler=scheduler),
        run_config=ray_tune.RunConfig(name="toy", storage_path=str(tmp_path / "ray"), verbose=0),
    )
    tuner.fit()
    before = scheduler.rungs.entries
    lengths = {file.stem: len(json.loads(file.read_text())) for file in data.glob("*.json")}
    assert lengths == {"a": 23, "b": 2, "c": 13, "d": 23, "e": 1}
    assert told(scheduler).stopped == {"b": SECOND}

    restored = ray_tune.Tuner.restore(str(tmp_path / "ray" / "toy"), trainable=toy, resume_errored=True)
    outcomes = restored.fit()
    assert not outcomes.errors
    after = restored._local_tuner._tune_config.scheduler
    assert isinstance(after, ParetoScheduler) and after is not scheduler
    assert after._rungs is not None, "this is the object that the run has used"
    stopped = {name: (reason.phase, reason.epoch) for name, reason in told(after).stopped.items()}
    assert stopped == {"e": ("search", 2)}
    entries = after.rungs.entries
    assert all(entries[rung][trial] == entry for rung in before for trial, entry in before[rung].items())
    new = {(rung, trial) for rung in entries for trial in entries[rung].keys() - before[rung].keys()}
    assert new == {(("search", 2), "e"), (("retrain", 8), "c")}
    assert len(json.loads((data / "c.json").read_text())) == 23


@pytest.mark.parametrize("damage", [{}, {"phase": "search", "epoch": "x"}, {"phase": "sleep", "epoch": 2}])
def test_a_damaged_record_on_disk_costs_its_own_trial_only(damage: dict[str, Any]) -> None:
    known = {"broken": [damage], "good": [record("good", "search", 2)]}
    scheduler = ParetoScheduler(HALVING, lambda: known)
    assert report(scheduler, "new", "search", 2, WORSE) == STOP
    assert set(scheduler.rungs.entries["search", 2]) == {"good", "new"}


def test_seeds_of_one_point_are_not_rivals() -> None:
    """A repeat is nearly its twin: judged against it, it would be dominated or add nothing."""
    scheduler = ParetoScheduler(HALVING, dict)
    slightly_worse = (94.0, 101, 1001.0)
    assert report(scheduler, "l1_0-l2_0-p_50-seed_0", "search", 2) == GO
    assert report(scheduler, "l1_0-l2_0-p_50-seed_1", "search", 2, slightly_worse) == GO
    assert report(scheduler, "l1_0-l2_0-p_80-seed_1", "search", 2, WORSE) == STOP
    assert len(scheduler.rungs.entries["search", 2]) == 3
