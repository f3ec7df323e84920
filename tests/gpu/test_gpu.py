"""What a GPU would be asked to do, without one; each part in a process of its own, since each changes torch or Triton for good."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.mark.slow
@pytest.mark.parametrize("cases", ["without_one", "compiled", "interpreted"])
def test_in_a_process_of_its_own(cases: str) -> None:
    if cases != "without_one" and find_spec("triton") is None:
        pytest.skip("Triton is not there: the plain path is all there is")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"{HERE / cases}.py"],
        env={**os.environ, "OMP_NUM_THREADS": "1", "TRITON_INTERPRET": "1" if cases == "interpreted" else "0"},
        cwd=HERE.parents[1],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
