"""Shell scripts, read by a linter."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="needs shellcheck in PATH")
def test_shell_scripts_have_no_findings() -> None:
    scripts = [ROOT / ".ci" / "run", *sorted((ROOT / "cluster").rglob("*.sh"))]
    assert len(scripts) >= 2
    done = subprocess.run(["shellcheck", *map(str, scripts)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
