"""What ends a run in order."""

from pathlib import Path

import pytest

from tests.tune.watching.runs import REFERENCE, A, B, Run
from tune.results.goals import Goals
from tune.watching import enough
from tune.watching.enough import Enough, TimeBudget


def test_a_target_ends_the_run_when_a_trial_that_meets_it_is_over(tmp_path: Path) -> None:
    run = Run(tmp_path / "mine")
    ends = Enough(Goals(target="acc>=80", patience=0, reference=REFERENCE), run.ledger)
    for of, accuracy, reached in ((A, 75.0, False), (B, 80.0, True)):
        run.start(of)
        run.epochs(of, ("retrain", 3), val_accuracy=accuracy)
        assert not ends.stop_all() and not ends("id", {})
        run.end(of, "finished", val_accuracy=accuracy)
        assert ends.stop_all() == reached


def test_a_budget_goes_by_the_clock_that_nobody_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(enough.time, "monotonic", lambda: now[0])
    budget = TimeBudget(60)
    assert not budget.stop_all() and not budget("id", {})
    now[0] += 59.9
    assert not budget.stop_all()
    now[0] += 0.1
    assert budget.stop_all()
