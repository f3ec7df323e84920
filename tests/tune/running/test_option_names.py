"""Every option: on the help page, in its group, and on the command line of at least one test."""

import dataclasses
import re
from pathlib import Path

import pytest

from litesnn import Recipe
from litesnn.options import option_name
from tune import pareto
from tune.running.settings import GROUPS, Settings

OPTIONS = {option_name(field.name): field.metadata["group"] for field in dataclasses.fields(Settings)}
READERS = {
    "status": ["--storage", "--name"],
    "report": ["--storage", "--name", "--compare"],
    "merge": ["EXPERIMENT", "--storage", "--out", "--compare"],
    "pick": ["--storage", "--name", "--max-size", "--max-bit-synops", "--min-accuracy", "--sure", "--json"],
    "serve": ["--storage", "--host", "--port", "--token-file", "--interval"],
}


def help_page(*arguments: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("COLUMNS", "100")
    with pytest.raises(SystemExit) as stop:
        pareto.main([*arguments, "--help"])
    assert stop.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("command", [[], ["run"]])
def test_help_shows_every_option_of_run_in_its_group(
    command: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    page = help_page(*command, capsys=capsys, monkeypatch=monkeypatch)
    sections = dict(re.findall(r"^(\S[^\n]*):\n((?:  [^\n]*\n)+)", page, re.MULTILINE))
    for option, group in OPTIONS.items():
        assert re.search(rf"^  {option}\b", sections[GROUPS[group]], re.MULTILINE), option
    for field in dataclasses.fields(Recipe):
        assert re.search(rf"^  {option_name(field.name)}\b", page, re.MULTILINE), field.name
    assert all(f"  {name}" in page for name in READERS)
    assert all(len(line) <= 100 for line in page.splitlines())


def test_help_says_what_happens_without_an_option(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    page = help_page(capsys=capsys, monkeypatch=monkeypatch).partition("examples:")[0]
    page = " ".join(page.split())
    for field in dataclasses.fields(Settings):
        shown = {True: "on", False: "off"}.get(field.default) if isinstance(field.default, bool) else field.default
        if shown not in ("", (), None):  # where nothing is the default, the text says what happens then
            shown = f"{shown:g}" if isinstance(shown, float) else str(shown)
            entry = re.search(rf" {option_name(field.name)}[ ,].*?\(default: (.*?)\)", page)
            assert entry and entry[1] == shown, field.name


@pytest.mark.parametrize("command", READERS)
def test_help_of_the_commands_that_read(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    page = help_page(command, capsys=capsys, monkeypatch=monkeypatch)
    for name in READERS[command]:
        assert re.search(rf"^  {name}\b", page, re.MULTILINE), name
    assert all(len(line) <= 100 for line in page.splitlines())


def test_every_option_is_on_the_command_line_of_a_test_that_runs_it_and_of_one_that_refuses_it() -> None:
    folder = Path(__file__).parent
    runs = "".join(path.read_text() for path in folder.parent.rglob("test_*.py") if path.name != Path(__file__).name)
    refused = (folder.parents[1] / "bad_input_cases.py").read_text()
    for option in OPTIONS:
        used = rf"{option}\b(?!-)|--no-{option.removeprefix('--')}\b(?!-)"
        assert re.search(used, runs), f"no test runs {option}"
        assert re.search(used, refused), f"no test refuses a bad {option}"
