"""What the driver writes down of trials that cannot do it themselves, also when the storage fails for a while."""

from pathlib import Path
from typing import Any

import pytest

from litesnn.files import StorageError
from tests.tune.watching.runs import FIGURES, A, Run
from tune.running.facts import AttemptBroke, TrialHung, TrialJudged, TrialLeft
from tune.storage import folder as folder_module
from tune.trials.reasons import Broken, Hung, Stopped
from tune.watching import outcomes as outcomes_module
from tune.watching.outcomes import Outcomes

FAILED = AttemptBroke(trial=A, reason=Broken(error="ValueError: too bad"), last=True)
STOPPED = ("stopped", "stopped at search epoch 2: rank 3 of 3")


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path / "mine")


def row(run: Run) -> tuple[Any, Any]:
    found = run.experiment.row(A.name) or {}
    return found.get("status"), found.get("reason")


def stop(run: Run) -> None:
    run.ledger.tell(TrialJudged(name=A.name, stopped=Stopped(phase="search", epoch=2, rank=3, of=3)))
    run.ledger.tell(TrialLeft(trial=A))


def test_a_trial_that_hung_has_that_reason_and_another_one_the_last_line_of_its_error(run: Run) -> None:
    outcomes = Outcomes(run.experiment, run.ledger)
    run.ledger.tell(FAILED)
    outcomes.write(A.name)
    assert row(run) == ("failed", "ValueError: too bad") and run.ledger.owed == {}
    run.ledger.tell(TrialHung(trial=A, reason=Hung(seconds=5)))
    run.ledger.tell(FAILED)
    outcomes.write(A.name)
    assert row(run) == ("failed", "hung: no report for 5 s")


def test_a_trial_that_failed_before_it_wrote_anything_has_its_point(run: Run) -> None:
    run.ledger.tell(FAILED)
    Outcomes(run.experiment, run.ledger).write(A.name)
    assert (run.experiment.row(A.name) or {})["p"] == A.point.p


def test_a_trial_that_wrote_its_own_outcome_keeps_it(run: Run) -> None:
    run.start(A)
    run.experiment.trial(A.name).write_result("finished", **FIGURES)
    stop(run)
    Outcomes(run.experiment, run.ledger).write(A.name)
    assert row(run) == ("finished", "") and run.ledger.owed == {}


def test_nothing_is_written_where_nothing_is_owed(run: Run) -> None:
    run.ledger.tell(TrialLeft(trial=A))
    Outcomes(run.experiment, run.ledger).write(A.name)
    assert row(run) == (None, None)


def test_what_cannot_be_written_now_is_written_later(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outcomes_module, "_SECONDS_BETWEEN_ATTEMPTS", 0.0)
    outcomes = Outcomes(run.experiment, run.ledger)

    def full(*arguments: object) -> None:
        raise StorageError("no space")

    stop(run)
    with monkeypatch.context() as patch:
        patch.setattr(folder_module, "write_text", full)
        outcomes.write(A.name)
        outcomes.try_again()
        assert row(run) == (None, None) and set(run.ledger.owed) == {A.name}
    outcomes.try_again()
    assert row(run) == STOPPED and run.ledger.owed == {}


def test_what_is_owed_in_the_end_is_written_then(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes, write, calls = Outcomes(run.experiment, run.ledger), folder_module.write_text, []

    def full_at_first(*arguments: Any) -> None:
        calls.append(arguments)
        if len(calls) < 3:
            raise StorageError("no space")
        write(*arguments)

    monkeypatch.setattr(folder_module, "write_text", full_at_first)
    stop(run)
    outcomes.write(A.name)
    assert row(run) == (None, None)
    outcomes.settle()
    assert row(run) == STOPPED
