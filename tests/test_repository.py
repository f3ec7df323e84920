"""What a repository has beside its code, and that it agrees with the code."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from litesnn import __version__, cli
from tune import pareto

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(("main", "program"), [(cli.main, "litesnn"), (pareto.main, "pareto.py")])
def test_version(main: object, program: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["--version"])  # type: ignore[operator]
    assert stop.value.code == 0 and capsys.readouterr().out == f"litesnn {__version__}\n", program


def test_one_version_and_one_license() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "litesnn.__version__"}
    assert str(citation["version"]) == __version__
    assert f"\n## {__version__}\n" in (ROOT / "CHANGELOG.md").read_text()
    assert citation["license"] == project["project"]["license"] == "Apache-2.0"
    assert "Apache License\n                           Version 2.0" in (ROOT / "LICENSE").read_text()


def test_the_hooks_have_the_locked_linter() -> None:
    (hooks,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    locked = re.search(r"^ruff==(\S+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    assert locked and hooks["rev"] == f"v{locked[1]}"


def test_make_help_names_every_target() -> None:
    makefile = (ROOT / "Makefile").read_text()
    page = subprocess.run(
        ["make", "--no-print-directory", "help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    targets = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert targets and [line.split()[1] for line in page.splitlines()] == targets[1].split()


def test_quick_runs_tests_that_are_there() -> None:
    shown = subprocess.run(
        ["make", "--no-print-directory", "-n", "quick"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    files = re.findall(r"tests/\S+", shown)
    assert len(files) > 10 and all((ROOT / file).exists() for file in files)
