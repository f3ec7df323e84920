"""The ledger, told by hand: the orders in which Ray's events can come, and what it says after each."""

import pickle
from pathlib import Path
from typing import Any

import pytest

from tests.tune.watching.runs import FIGURES, A, B, C, Run, report
from tune.results.front import front, hypervolume
from tune.running.facts import (
    AttemptBroke,
    OutcomeWritten,
    RunOver,
    TimePassed,
    TrialEnded,
    TrialHung,
    TrialJudged,
    TrialLeft,
    TrialStarted,
)
from tune.trials.reasons import Broken, CheckpointDamaged, Hung, Stopped, StorageDelayed
from tune.watching.trial_state import PHASES, STATES, outcome_of

STOP = Stopped(phase="search", epoch=2, rank=3, of=3)
HUNG = Hung(seconds=15)
DIED, FULL = Broken(error="ActorDiedError: gone"), Broken(error="OSError: full", of_storage=True)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path / "mine")


def states(run: Run) -> dict[str, int]:
    assert tuple(run.ledger.states) == STATES
    return {state: count for state, count in run.ledger.states.items() if count}


def test_a_trial_from_waiting_to_its_end(run: Run) -> None:
    assert states(run) == {"waiting": 3} and run.ledger.volumes == [0]
    run.start(A)
    state = run.ledger.trials[A.name]
    assert (state.state, state.phase) == ("running", "starting") and states(run) == {"waiting": 2, "running": 1}
    run.epochs(A, ("search", 1))
    assert state.phase == "search" and state.record["epoch"] == 1 and state.record["p"] == 10
    run.epochs(A, ("search", 2), ("retrain", 1))
    assert state.phase == "retrain" and state.epochs == {"search": 2, "retrain": 1}
    run.end(A, "finished")
    assert states(run) == {"waiting": 2, "finished": 1} and run.ledger.running == {}
    # 0.75 - 0.1 of accuracy share, log10(16000/8000) and log10(6e6/3e6) decades: 0.65 · 0.30103²
    assert run.ledger.volumes == [0, pytest.approx(0.65 * 0.3010299957**2)] and list(run.ledger.front["trial"]) == [
        A.name
    ]
    assert run.ledger.owed == {}


def test_an_epoch_that_is_reported_again_counts_once_and_is_a_sign_of_life(run: Run) -> None:
    run.start(A)
    run.epochs(A, ("search", 1))
    run.ledger.tell(TimePassed(seconds=5))
    run.ledger.tell(report(A, "search", 1))
    assert run.ledger.seconds == {"search": [2.0], "retrain": []} and run.ledger.trials[A.name].heard == 5


def test_what_is_new(run: Run) -> None:
    for phase, epoch, new in [
        ("search", 1, True),
        ("search", 1, False),  # an attempt that continues reports its last epoch again
        ("search", 2, True),
        ("retrain", 1, True),
        ("search", 2, False),  # a damaged checkpoint leads back
        ("retrain", 1, False),
        ("retrain", 2, True),
    ]:
        assert run.ledger.is_new(report(A, phase, epoch)) == new, (phase, epoch)
        run.ledger.tell(report(A, phase, epoch))


def test_an_attempt_that_breaks_off_waits_until_the_next_starts(run: Run) -> None:
    run.start(A)
    run.epochs(A, ("search", 1))
    run.ledger.tell(AttemptBroke(trial=A, reason=DIED))
    state = run.ledger.trials[A.name]
    assert states(run) == {"waiting": 3} and state.reason == DIED and state.heard is None
    assert (run.ledger.restarts, run.ledger.failures, run.ledger.storage_errors, run.ledger.owed) == (1, 0, 0, {})
    run.start(A)
    assert (state.phase, state.reason, state.record["epoch"]) == ("starting", None, 1)


def test_hung_then_failed_or_started_again(run: Run) -> None:
    run.start(A)
    run.ledger.tell(TrialHung(trial=A, reason=HUNG))
    assert run.ledger.trials[A.name].heard is None  # it is killed once
    run.ledger.tell(AttemptBroke(trial=A, reason=DIED))
    assert run.ledger.trials[A.name].reason == HUNG
    run.start(A)
    run.ledger.tell(AttemptBroke(trial=A, reason=DIED))
    assert run.ledger.trials[A.name].reason == DIED  # of this attempt
    run.start(A)
    run.ledger.tell(TrialHung(trial=A, reason=HUNG))
    run.ledger.tell(AttemptBroke(trial=A, reason=DIED, last=True))
    assert run.ledger.owed == {A.name: (A, HUNG)} and outcome_of(HUNG) == "failed"
    assert (run.ledger.restarts, run.ledger.failures) == (2, 1)


def test_stopped_is_owed_and_ends_so_even_before_it_is_written(run: Run) -> None:
    run.start(A)
    run.epochs(A, ("search", 1), ("search", 2))
    run.ledger.tell(TrialJudged(name=A.name, stopped=STOP))
    assert run.ledger.owed == {} and states(run) == {"waiting": 2, "running": 1}
    run.ledger.tell(TrialLeft(trial=A))
    assert run.ledger.owed == {A.name: (A, STOP)}
    run.ended(A)
    assert states(run) == {"waiting": 2, "stopped": 1} and run.ledger.saved(run.ledger.ended) == 3
    assert run.ledger.rows[A.name]["reason"] == "stopped at search epoch 2: rank 3 of 3"
    run.ledger.tell(OutcomeWritten(trial=A))
    assert run.ledger.owed == {}


def test_stopped_then_finished_by_race(run: Run) -> None:
    """An attempt that was given up had finished it: its own outcome stays, and nothing is owed once that was seen."""
    run.start(A)
    run.ledger.tell(TrialJudged(name=A.name, stopped=STOP))
    run.experiment.trial(A.name).write_result("finished", **FIGURES)
    run.ledger.tell(TrialLeft(trial=A))
    run.ledger.tell(OutcomeWritten(trial=A))
    run.ended(A)
    assert states(run) == {"waiting": 2, "finished": 1} and run.ledger.saved(run.ledger.ended) == 0


def test_a_verdict_that_lets_go_on_replaces_one_that_stops(run: Run) -> None:
    run.start(A)
    run.ledger.tell(TrialJudged(name=A.name, stopped=STOP))
    run.ledger.tell(TrialJudged(name=A.name, stopped=None))
    run.ledger.tell(TrialLeft(trial=A))
    assert run.ledger.owed == {}


def test_a_stop_that_the_attempt_did_not_live_to_see_is_forgotten(run: Run) -> None:
    run.start(A)
    run.ledger.tell(TrialJudged(name=A.name, stopped=STOP))
    run.ledger.tell(AttemptBroke(trial=A, reason=DIED))
    run.start(A)
    run.ledger.tell(TrialLeft(trial=A))
    assert run.ledger.owed == {}  # the report after which it was stopped comes again, and with it a verdict


@pytest.mark.parametrize("row", [None, {"status": "unfinished", "seconds": None}])
def test_the_end_of_a_trial_that_never_started(run: Run, row: Any) -> None:
    run.ledger.tell(TrialLeft(trial=A))
    run.ledger.tell(TrialEnded(trial=A, row=row))
    assert states(run) == {"waiting": 2, "interrupted": 1}
    run.ledger.tell(AttemptBroke(trial=B, reason=DIED, last=True))
    run.ledger.tell(TrialEnded(trial=B, row=row))
    assert states(run) == {"waiting": 1, "interrupted": 1, "failed": 1}
    assert run.ledger.rows[B.name]["reason"] == "ActorDiedError: gone"


def test_an_end_that_is_told_again_counts_once(run: Run) -> None:
    run.start(A)
    fact = run.end(A, "finished")
    run.ledger.tell(fact)
    assert states(run) == {"waiting": 2, "finished": 1} and len(run.ledger.front) == 1
    assert run.ledger.volumes[1] == run.ledger.volumes[2]


def test_errors_of_the_storage(run: Run) -> None:
    run.start(A)
    delayed, damaged = StorageDelayed(seconds=7, error="full"), CheckpointDamaged(phase="search", epoch=1)
    run.ledger.tell(report(A, "search", 1, delayed, damaged))
    assert run.ledger.storage_errors == 1
    for reason, last in ((FULL, False), (DIED, False), (FULL, True)):
        run.ledger.tell(AttemptBroke(trial=A, reason=reason, last=last))
    assert run.ledger.storage_errors == 3


def test_the_front_grows_as_that_of_the_whole_table(run: Run) -> None:
    """Of a network that is dominated nothing can come, so the front so far and the new one are enough."""
    for of, accuracy, size in ((A, 75.0, 8000), (B, 70.0, 9000), (C, 80.0, 12_000)):
        run.start(of)
        run.end(of, "finished", val_accuracy=accuracy, model_size_bits=size, val_samples=100)
        whole = run.experiment.table()
        assert run.ledger.front["trial"].tolist() == front(whole)["trial"].tolist()
        for column in ("on_size_front", "on_bit_synops_front", "val_interval", "ties_with"):
            assert run.ledger.front[column].tolist() == front(whole)[column].tolist()
        assert run.ledger.volume == pytest.approx(hypervolume(whole, run.ledger.reference))
    assert len(run.ledger.front) == 2 and set(run.ledger.table()["trial"]) == {A.name, B.name, C.name}


def test_a_further_run_goes_on_from_what_is_on_disk(run: Run, tmp_path: Path) -> None:
    run.start(A)
    run.end(A, "finished")
    for of, status in ((B, "stopped"), (C, "")):
        run.start(of)
        run.epochs(of, ("search", 1))
        run.end(of, status)
    again = Run(tmp_path / "mine", count=2, again={C.name})
    assert states(again) == {"waiting": 2, "finished": 1, "stopped": 1}
    assert again.ledger.volumes == run.ledger.volumes[-1:] and again.ledger.ended == set()
    assert [sum(trial.epochs[phase] for trial in again.ledger.trials.values()) for phase in PHASES] == [2, 0]
    assert again.ledger.saved(again.ledger.rows) == 4 and again.ledger.saved(again.ledger.ended) == 0
    again.start(C)
    again.epochs(C, ("search", 1))  # its last epoch once more
    assert again.ledger.seconds["search"] == []
    again.ledger.tell(RunOver())
    assert states(again) == {"finished": 1, "stopped": 1, "interrupted": 1}  # and one never began


def test_epochs_saved_by_one_that_took_its_search_from_another_width(run: Run) -> None:
    run.start(A)
    run.epochs(A, ("retrain", 1))
    run.end(A, "stopped")
    assert run.ledger.saved(run.ledger.rows) == 2


def test_it_can_be_written_to_disk_with_the_scheduler_that_tells_it(run: Run) -> None:
    run.start(A)
    run.epochs(A, ("search", 1))
    assert pickle.loads(pickle.dumps(run.ledger.tell)).__self__.states == run.ledger.states


def test_a_trial_that_starts_after_its_end_is_at_work_again(run: Run) -> None:
    run.start(A)
    run.end(A)
    run.ledger.tell(TrialStarted(trial=A))
    assert states(run) == {"waiting": 2, "running": 1}
