"""Output to streams that lack letters: stand-ins instead of a crash, in every command's help too."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from litesnn import streams
from litesnn.options import exit_code

ROOT = Path(__file__).parents[2]
TEXT = "λ1 → 18.6 µJ … ─▶┐ \udcff 汉"


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [
        ("utf-8", "λ1 → 18.6 µJ … ─▶┐ ? 汉"),
        ("ascii", "lambda1 -> 18.6 uJ ... ->+ ? ?"),
        ("latin-1", "lambda1 -> 18.6 µJ ... ->+ ? ?"),
        ("cp1252", "lambda1 -> 18.6 µJ … ->+ ? ?"),
    ],
)
def test_stand_ins(monkeypatch: pytest.MonkeyPatch, encoding: str, expected: str) -> None:
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding=encoding) for _ in range(2))
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    streams.accept_all_text()
    for stream in (out, err):
        print(TEXT, file=stream, flush=True)
        assert stream.buffer.getvalue().decode(encoding) == expected + "\n"


@pytest.mark.parametrize("command", ["litesnn.cli search", "tune.pareto"])
def test_help_in_ascii(command: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *command.split(), "--help"],
        env={**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        timeout=120,
    )
    assert done.returncode == 0 and done.stderr == b"" and b"lambda1" in done.stdout


def test_a_reader_that_has_seen_enough(tmp_path: Path) -> None:
    code = "from litesnn.options import exit_code; raise SystemExit(exit_code(lambda: print('x' * 1000000), 'p'))"
    read, write = os.pipe()
    program = subprocess.Popen([sys.executable, "-c", code], stdout=write, stderr=subprocess.PIPE, cwd=ROOT)
    os.close(write)
    os.close(read)
    assert program.communicate(timeout=60)[1] == b"" and program.returncode == 141


def test_an_end_in_order() -> None:
    assert exit_code(lambda: None, "p") == 0
