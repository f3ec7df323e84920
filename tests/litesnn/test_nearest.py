"""Mistyped options and names suggest the nearest."""

import pytest

from litesnn import cli
from litesnn.checks import InputError, check_choice
from litesnn.nearest import hint, nearest
from tune import pareto


def test_the_nearest_name_whatever_its_case() -> None:
    assert nearest("Cifar1O", ["digits", "cifar10", "gsc"]) == "cifar10"
    assert nearest("huge", ["large", "medium", "small"]) is None
    assert hint("medum", ["large", "medium"]) == "; did you mean 'medium'?" and hint(3, ["3"]) == ""


def test_choices() -> None:
    with pytest.raises(
        InputError, match=r"^preset: expected one of digits, gsc, got 'digit'; did you mean 'digits'\?$"
    ):
        check_choice("preset", "digit", ["digits", "gsc"])


@pytest.mark.parametrize(
    ("main", "arguments", "expected"),
    [
        (pareto.main, "--retrian-epochs 3", "; did you mean '--retrain-epochs'?"),
        (pareto.main, "--no-early-stoping", "; did you mean '--no-early-stopping'?"),
        (pareto.main, "statsu --name x", "unrecognized arguments: statsu; did you mean 'status'?"),
        (pareto.main, "pick --max-bitsynops=3", "; did you mean '--max-bit-synops'?"),
        (pareto.main, "--xyz", "pareto.py: unrecognized arguments: --xyz"),
        (cli.main, "search --lamda1 0", "; did you mean '--lambda1'?"),
        (cli.main, "retrian", "; did you mean 'retrain'?"),
    ],
)
def test_options_and_commands(main: object, arguments: str, expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(arguments.split())  # type: ignore[operator]
    line = capsys.readouterr().err
    assert stop.value.code == 2 and line.strip().endswith(expected) and line.count("\n") == 1
