"""Shell scripts, read by a linter."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPTS = [
    ROOT / ".ci" / "run",
    *sorted(path for path in (ROOT / "cluster").rglob("*") if path.suffix in (".sh", ".sbatch")),
]


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="needs shellcheck in PATH")
def test_shell_scripts_have_no_findings() -> None:
    assert len(SCRIPTS) >= 5
    done = subprocess.run(["shellcheck", *map(str, SCRIPTS)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_scripts_can_be_started_and_stop_at_the_first_error() -> None:
    for script in SCRIPTS:
        text = script.read_text()
        assert text.startswith("#!/usr/bin/env bash\n") and "\nset -euo pipefail\n" in text, script
        assert os.access(script, os.X_OK) or script.suffix == ".sbatch", script
