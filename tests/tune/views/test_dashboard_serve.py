"""`pareto.py serve` as a program: what it prints, whom it lets in, what it refuses, how it ends."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.tune.clusters import PARETO, ROOT
from tests.tune.dashboards import POINT
from tune.pareto import main
from tune.storage.store import Experiment

TOKEN = "a-token-of-the-tests"
VARIABLE = "LITESNN_DASHBOARD_TOKEN"


@contextmanager
def served(*arguments: str, **variables: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The program and the line that it printed; what it prints later comes from ``end``."""
    process = subprocess.Popen(
        [*PARETO, "serve", "--port", "0", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**{name: value for name, value in os.environ.items() if name != VARIABLE}, **variables},
    )
    try:
        assert process.stdout is not None
        yield process, process.stdout.readline()
    finally:
        process.kill()
        process.wait()


def end(process: subprocess.Popen[str], how: signal.Signals) -> str:
    process.send_signal(how)
    output = process.communicate(timeout=60)[0]
    assert process.returncode == 0, output
    return output


def address(line: str) -> str:
    found = re.match(r"http://\S+?:\d+/ ", line)
    assert found, line
    return found[0].strip()


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """The one line of a start that is refused with exit code 2."""

    def line(*arguments: str) -> str:
        assert main(["serve", *arguments]) == 2
        printed = capsys.readouterr()
        assert printed.out == "" and printed.err.count("\n") == 1
        return printed.err.removeprefix("pareto.py: ").strip()

    return line


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    experiment = Experiment(tmp_path / "results" / "digits")
    experiment.open({"dataset": "digits"})
    experiment.trial("a").write_start(POINT, {})
    return tmp_path / "results"


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_serves_until_it_is_told_to_end_whatever_is_open(storage: Path, how: signal.Signals) -> None:
    with served("--storage", str(storage)) as (process, line):
        url = address(line)
        assert line == f"{url} shows {storage}, Ctrl-C ends\n" and url.startswith("http://127.0.0.1:")
        found = httpx.get(f"{url}api/experiments", timeout=20).json()
        assert [experiment["name"] for experiment in found["experiments"]] == ["digits"]
        with httpx.stream("GET", f"{url}api/events", timeout=60) as stream:
            lines = stream.iter_lines()
            assert next(line for line in lines if line.startswith("data: "))
            assert end(process, how) == ""
            assert list(lines)[-1:] in ([], [""])  # ended, not broken off


def test_waits_for_a_storage_that_is_not_there_yet(tmp_path: Path) -> None:
    storage = tmp_path / "later"
    with served("--storage", str(storage), "--interval", "0.1") as (process, line):
        url = address(line)
        assert line == f"{url} shows {storage}, where nothing is yet; Ctrl-C ends\n"
        with httpx.stream("GET", f"{url}api/events", timeout=60) as stream:
            lines = stream.iter_lines()
            assert next(lines) == "retry: 2000" and not storage.exists()
            Experiment(storage / "first").open({})
            assert "first" in next(line for line in lines if line.startswith("data: "))
        end(process, signal.SIGINT)


def test_the_token_is_asked_for_and_never_printed(storage: Path, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(TOKEN + "\n")
    file.chmod(0o600)
    with served("--storage", str(storage), "--host", "0.0.0.0", "--token-file", str(file)) as (process, line):
        url = address(line)
        assert "and this machine's other addresses shows" in line
        assert httpx.get(f"{url}api/experiments?token={TOKEN}").status_code == 401
        for given, status in ((TOKEN, 200), (TOKEN[:-1], 401), (TOKEN + "\n", 200)):
            headers = {"Authorization": f"Bearer {given.strip()}"}
            assert httpx.get(f"{url}api/experiments", headers=headers).status_code == status
        with socket.create_connection(("127.0.0.1", int(url.rsplit(":", 1)[1].strip("/")))) as raw:
            raw.sendall(f"GET / HTTP/9\r\nAuthorization: {TOKEN}\r\n\r\n".encode())  # malformed
            assert raw.recv(100).startswith(b"HTTP/1.1 400")
        assert TOKEN not in line + end(process, signal.SIGTERM)
    with served("--storage", str(storage), **{VARIABLE: TOKEN}) as (process, line):
        url = address(line)
        assert httpx.get(f"{url}api/experiments").status_code == 401  # on loopback too, where there is one
        assert httpx.get(f"{url}api/experiments", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200
        assert TOKEN not in Path(f"/proc/{process.pid}/cmdline").read_text()
        end(process, signal.SIGTERM)


def test_one_line_for_what_cannot_be(
    storage: Path, tmp_path: Path, refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert refused("--storage", str(storage), "--port", port) == (
            f"port: expected a free port at an address of this machine, got {port} at 127.0.0.1 (Address already in use)"
        )
    for host in ("0.0.0.0", "::"):
        assert refused("--host", host) == (
            f"host: expected 127.0.0.1, or a token for others (--token-file or {VARIABLE}), got '{host}'"
        )
    file = tmp_path / "token"
    file.write_text(TOKEN)
    file.chmod(0o640)
    assert refused("--token-file", str(file)).startswith("token-file: expected a file for you alone (chmod 600 ")
    file.chmod(0o600)
    for text, said in (("", "at least 16 characters, got 0"), ("short\n", "at least 16 characters, got 5")):
        file.write_text(text)
        assert refused("--token-file", str(file)) == f"token-file: expected a token of {said}"
    file.write_text("two words that are long enough")
    assert "got other characters" in refused("--token-file", str(file))
    assert refused("--storage", str(file)).startswith("storage: expected a folder of experiments that can be read")
    assert refused("--port", "65536") == "port: expected a whole number from 0 (a free one) to 65535, got '65536'"
    for interval in ("0", "nan", "inf", "soon"):
        assert refused("--interval", interval).startswith("interval: expected a number of seconds from 0.1 to 3600")
    monkeypatch.setenv(VARIABLE, "")  # a substitution that went wrong is no wish for no token
    assert refused() == f"{VARIABLE}: expected a token of at least 16 characters, got 0"


def test_starts_without_ray_and_without_torch() -> None:
    code = "import sys, tune.views.dashboard.serve; print([m for m in ('ray', 'torch') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert out.stdout.strip() == "[]"
