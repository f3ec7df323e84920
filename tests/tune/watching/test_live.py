"""The live table, fed as Ray would, without Ray: what it shows while two of three trials run, and what stays."""

import io
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from litesnn import Recipe
from tune.storage.objectives import Reference
from tune.storage.store import Experiment
from tune.watching.live import LiveTable

RESULT = {"val_accuracy": 75.0, "model_size_bits": 8000, "bit_synops": 3e6, "timesteps": 2, "seconds": 2.0}


def trial(p: float) -> SimpleNamespace:
    point = {"lambda1": 1.23e-06, "lambda2": 4.56e-09, "p": p}
    return SimpleNamespace(config={"trial": f"p_{p:g}", "point": point, "seed": 0, "recipe": {}})


@pytest.mark.parametrize("terminal", [True, False])
def test_what_is_shown(terminal: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tune.watching.live._SECONDS_BETWEEN_LINES", -1.0)
    monkeypatch.setattr("tune.watching.estimate.work_ratio", lambda recipe: 1.0)
    recipe = Recipe.preset("digits", search_epochs=2, retrain_epochs=3)
    experiment = Experiment(tmp_path)
    reference = Reference(accuracy=10, size_bits=16_000, bit_synops=6e6)
    shown = io.StringIO()
    console = Console(file=shown, width=80, force_terminal=terminal, color_system=None)
    live = LiveTable(recipe, experiment, experiment.table(), reference, 3, 2, console, lambda: 7)
    first, second = trial(80.5), trial(90)
    with live:
        for started in (first, second):
            live.on_trial_start(0, [], started)
        live.estimate._warming = 0  # the processes have run trials before
        live.on_trial_result(0, [], first, {**RESULT, "phase": "search", "epoch": 1, "epochs": 2})
        folder = experiment.trial("p_80.5")
        folder.write_start({**first.config["point"], "seed": 0}, recipe.to_dict())
        folder.write_result("finished", **RESULT, side_bits=0, bits=[1])
        live.on_trial_complete(0, [], first)
        if live.live:
            console.print(live._table())
    lines = re.sub(r"\x1b\[[?0-9;]*[A-Za-z]|\r", "\n", shown.getvalue()).splitlines()
    assert not terminal or all(len(line) <= 80 for line in lines)
    text = " ".join(" ".join(lines).split())
    # Of five epochs, at two seconds each, one is done; the second trial has all before it; two run at once.
    assert "2 running, 1 waiting; front 0, hypervolume 0.000, 7 epochs saved; 0:00 so far, about 0:14 left" in text
    assert "1 finished, 1 running, 1 waiting; front 1, hypervolume" in text
    if terminal:
        assert "starting 90 1.23e-06 4.56e-09 0" in text
        assert "search 1/2 75.00 1.00 kB 3.00 M 2 80.5 1.23e-06 4.56e-09 0" in text
        assert "front 75.00 1.00 kB 3.00 M 2 80.5 1.23e-06 4.56e-09 0" in text
    else:
        assert "finished p_80.5 search epoch 1, 75.00 % validation, 1.00 kB, 3.00 M Bit-SynOps, T 2" in text
        assert "\x1b" not in shown.getvalue()


def test_what_the_last_trials_have_added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """65, then 78 points above guessing at the same costs, then a failure: a fifth more by the last two."""
    monkeypatch.setattr("tune.watching.live._LATELY", 2)
    experiment, recipe = Experiment(tmp_path), Recipe.preset("digits")
    reference = Reference(accuracy=10, size_bits=16_000, bit_synops=6e6)
    console = Console(file=io.StringIO(), width=80)
    live = LiveTable(recipe, experiment, experiment.table(), reference, 3, 2, console, lambda: 0)
    assert "hypervolume 0.000, " in live._summary()
    for p, status, accuracy in ((1, "finished", 75.0), (2, "finished", 88.0), (3, "failed", 99.0)):
        folder = experiment.trial(f"p_{p}")
        folder.write_start({**trial(p).config["point"], "seed": 0}, recipe.to_dict())
        folder.write_result(status, **{**RESULT, "val_accuracy": accuracy}, side_bits=0, bits=[1])
        live.on_trial_complete(0, [], trial(p))
    assert f"hypervolume {live.volume:.3f} (+20.0 % by the last 2), " in live._summary()
