"""What the driver writes down of trials that cannot do it themselves, also when the storage fails for a while."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from litesnn.files import StorageError
from tune.storage import folder as folder_module
from tune.storage.store import Experiment
from tune.watching import outcomes as outcomes_module
from tune.watching.outcomes import Outcomes

NAME = "l1_0-l2_0-p_0-seed_0"


def trial(error_file: Path | None = None) -> Any:
    point = {"lambda1": 0.0, "lambda2": 0.0, "p": 0.0}
    config = {"trial": NAME, "point": point, "seed": 0, "recipe": {}}
    return SimpleNamespace(config=config, error_file=error_file)


def row(experiment: Experiment) -> tuple[Any, Any]:
    found = experiment.row(NAME) or {}
    return found.get("status"), found.get("reason")


def test_a_trial_that_hung_has_that_reason_and_another_one_the_last_line_of_its_error(tmp_path: Path) -> None:
    hung: dict[str, str] = {}
    experiment = Experiment(tmp_path)
    outcomes = Outcomes(experiment, {}, hung)
    error = tmp_path / "error.txt"
    error.write_text("Failure # 3\nTraceback\nValueError: too bad\n\n")
    outcomes.on_trial_error(0, [], trial(error))
    assert row(experiment) == ("failed", "ValueError: too bad")
    hung[NAME] = "hung: no report for 5 s"  # known only after the outcomes were made
    outcomes.on_trial_error(0, [], trial(error))
    assert row(experiment) == ("failed", "hung: no report for 5 s")


def test_what_cannot_be_written_now_is_written_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outcomes_module, "_SECONDS_BETWEEN_ATTEMPTS", 0.0)
    experiment = Experiment(tmp_path)
    outcomes = Outcomes(experiment, {NAME: "stopped at search epoch 2: rank 3 of 3"})

    def full(*arguments: object) -> None:
        raise StorageError("no space")

    with monkeypatch.context() as patch:
        patch.setattr(folder_module, "write_text", full)
        outcomes.on_trial_complete(0, [], trial())
        outcomes.on_step_end(0, [])
        assert row(experiment) == (None, None)
    outcomes.on_step_end(0, [])
    assert row(experiment) == ("stopped", "stopped at search epoch 2: rank 3 of 3")


def test_what_is_owed_in_the_end_is_written_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    experiment = Experiment(tmp_path)
    outcomes = Outcomes(experiment, {NAME: "why"})
    write, calls = folder_module.write_text, []

    def full_at_first(*arguments: Any) -> None:
        calls.append(arguments)
        if len(calls) < 3:
            raise StorageError("no space")
        write(*arguments)

    monkeypatch.setattr(folder_module, "write_text", full_at_first)
    outcomes.on_trial_complete(0, [], trial())
    assert row(experiment) == (None, None)
    outcomes.settle()
    assert row(experiment) == ("stopped", "why")
