"""The live table, drawn from a ledger that is told by hand: what it shows while two of three trials run, and what stays."""

import io
import re
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from litesnn.config import SearchPoint
from tests.tune.watching.runs import FIGURES, RECIPE, A, B, Run, report, trial
from tune.plan.points import Trial
from tune.running.facts import AttemptBroke, TrialHung
from tune.trials.reasons import Broken, CheckpointDamaged, Hung, StorageDelayed
from tune.watching.estimate import Warming
from tune.watching.live import LiveTable

FIRST, SECOND = trial(80.5), trial(90)


@pytest.mark.parametrize("terminal", [True, False])
def test_what_is_shown(terminal: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tune.watching.live._SECONDS_BETWEEN_LINES", -1.0)
    monkeypatch.setattr("tune.watching.estimate.work_ratio", lambda recipe: 1.0)
    shown = io.StringIO()
    console = Console(file=shown, width=80, force_terminal=terminal, color_system=None)
    run = Run(tmp_path / "mine")
    live = LiveTable(run.ledger, console)
    live.start()
    for of in (FIRST, SECOND):
        live.show(run.start(of))
    run.ledger.estimate._warming = Warming(0)  # the processes have run trials before
    run.epochs(FIRST, ("search", 1))
    live.show(report(FIRST, "search", 1))
    live.show(run.end(FIRST, "finished", side_bits=0, bits=[1]))
    if live.live:
        console.print(live._table())
    live.stop()
    lines = re.sub(r"\x1b\[[?0-9;]*[A-Za-z]|\r", "\n", shown.getvalue()).splitlines()
    assert not terminal or all(len(line) <= 80 for line in lines)
    text = " ".join(" ".join(lines).split())
    # Of five epochs, at two seconds each, one is done; the second trial has all before it; two run at once.
    assert "2 running, 1 waiting; front 0, hypervolume 0.000, 0 epochs saved; 0:00 so far, about 0:14 left" in text
    assert "1 finished, 1 running, 1 waiting; front 1, hypervolume" in text
    if terminal:
        assert "starting 24 90 1.23e-06 4.56e-09 0" in text
        assert "search 1/2 75.00 1.00 kB 3.00 M 2 24 80.5 1.23e-06 4.56e-09 0" in text
        assert "front 75.00 1.00 kB 3.00 M 2 24 80.5 1.23e-06 4.56e-09 0" in text
    else:
        assert f"finished {FIRST.name} search epoch 1, 75.00 % validation, 1.00 kB, 3.00 M Bit-SynOps, T 2" in text
        assert "\x1b" not in shown.getvalue()


def test_a_hand_written_cell_shows_bits_and_no_lambda(tmp_path: Path) -> None:
    screen, run = io.StringIO(), Run(tmp_path / "mine")
    run.ledger.recipe = replace(RECIPE, strategy="fixed")
    for channels in (0, 16):
        point = SearchPoint(lambda1=0, lambda2=0, p=0, channels=channels, held_bits=2, held_timesteps=1)
        run.start(Trial(point=point, seed=0))
    Console(file=screen, width=80).print(LiveTable(run.ledger, Console(file=screen))._table())
    heading, *rows = [" ".join(line.split()) for line in screen.getvalue().splitlines()]
    assert heading == "phase val % size Bit-SynOps T bits C p % seed"
    assert sorted(rows) == ["starting 2 16 0 0", "starting 2 24 0 0"]


def test_a_finished_trial_is_told_with_the_figures_of_its_result(tmp_path: Path) -> None:
    """During training the file is estimated."""
    screen, run = io.StringIO(), Run(tmp_path / "mine")
    live = LiveTable(run.ledger, Console(file=screen, width=200))
    run.start(A)
    run.epochs(A, ("retrain", 3), file_bits=8000, size_bits=8000)
    live.show(run.end(A, "finished", file_bits=8800, size_bits=8800))
    assert "1.10 kB" in screen.getvalue() and "1.00 kB" not in screen.getvalue()


def test_what_the_last_trials_have_added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """65, then 78 points above guessing at the same costs, then a failure: a fifth more by the last two."""
    monkeypatch.setattr("tune.watching.live._LATELY", 2)
    run = Run(tmp_path / "mine")
    live = LiveTable(run.ledger, Console(file=io.StringIO(), width=80))
    assert "hypervolume 0.000, " in live._summary()
    for p, status, accuracy in ((1, "finished", 75.0), (2, "finished", 88.0), (3, "failed", 99.0)):
        run.start(trial(p))
        run.end(trial(p), status, **{**FIGURES, "val_accuracy": accuracy})
    assert f"hypervolume {run.ledger.volume:.3f} (+20.0 % by the last 2), " in live._summary()


def test_epochs_saved_are_those_of_this_run(tmp_path: Path) -> None:
    for of, saved in ((A, 4), (B, 3)):
        run = Run(tmp_path / "mine")
        run.start(of)
        run.epochs(of, ("search", 5 - saved))
        run.end(of, "stopped")
        assert f", {saved} epochs saved" in LiveTable(run.ledger, Console(file=io.StringIO()))._summary()


def test_restarts_and_notices_are_told(tmp_path: Path) -> None:
    screen = io.StringIO()
    run = Run(tmp_path / "mine")
    live, died = LiveTable(run.ledger, Console(file=screen, width=200)), Broken(error="ActorDiedError: gone")
    notices = CheckpointDamaged(phase="search", epoch=0), StorageDelayed(seconds=7, error="full")
    hung, broke = TrialHung(trial=A, reason=Hung(seconds=15)), AttemptBroke(trial=A, reason=died)
    run.start(A)
    for fact in (report(A, "search", 1, *notices), broke, run.start(A), hung, broke):
        run.ledger.tell(fact)
        live.show(fact)
    assert screen.getvalue().splitlines() == [
        f"{A.name}: search: the newest checkpoint was damaged; the phase starts again; waited 7 s for the storage: full",
        f"{A.name}: ActorDiedError: gone; it is started again",
        f"{A.name}: hung: no report for 15 s; it is started again",
    ]
