"""``python -m benchmarks``: lists and finds its benchmarks, whose options and stored records are what the code reads."""

from importlib import import_module

import pytest

from benchmarks import __main__ as command
from benchmarks.record import load

NAMES = set(
    "cells dashboard faults gpu held_out inference launches lif pages recordings retrain_step search_step "
    "search_value startup".split()
)


def test_lists_every_benchmark_with_its_first_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert {line.split()[0] for line in lines} == NAMES
    assert all(len(line.split()) > 3 for line in lines)


@pytest.mark.parametrize("name", sorted(NAMES))
def test_every_benchmark_has_a_help_page(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main([name, "--help"])
    assert ended.value.code == 0 and f"usage: {name}" in capsys.readouterr().out


def test_an_unknown_benchmark_or_preset_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["speed"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    with pytest.raises(SystemExit) as ended:
        command.main(["cells", "mnist"])
    assert ended.value.code == 2 and "invalid choice: 'mnist'" in capsys.readouterr().err


@pytest.mark.parametrize("name", "dashboard held_out inference lif retrain_step search_step startup".split())
def test_stored_records_are_what_the_code_reads(name: str) -> None:
    result = load(name)
    assert result["machine"]["cpu"] in import_module(f"benchmarks.{name}").report(result)
