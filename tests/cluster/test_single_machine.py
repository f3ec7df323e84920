"""The section «One machine» of cluster/README.md, command by command: start, submit, look, stop; and its refusals."""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.tune.clusters import RECIPE, ROOT, Processes, copy_project, output_of, wait_until

TINY = " ".join([*RECIPE, "--retrain-epochs", "20", "--no-early-stopping", "--points", "'0,0,50 0,0,80'"])


def commands() -> list[str]:
    """The lines that a person types, in their order."""
    section = (ROOT / "cluster" / "README.md").read_text().split("\n## One machine\n")[1].split("\n## ")[0]
    return [line for block in re.findall(r"```sh\n(.*?)```", section, re.DOTALL) for line in block.splitlines()]


def free_ports(count: int) -> int:
    """The first of ``count`` neighbouring ports that nobody uses."""
    while True:
        with socket.create_server(("127.0.0.1", 0)) as server:
            first = server.getsockname()[1]
        if all(_free(port) for port in range(first, first + count)):
            return first


def _free(port: int) -> bool:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


class User(Processes):
    """Somebody with a home of their own who types commands into a shell in the project's folder."""

    def __init__(self, home: Path, project: Path) -> None:
        self.home, self.project = home, project
        self.cluster = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))
        self.dashboard = free_ports(1)
        super().__init__(
            HOME=str(home),
            LITESNN_CLUSTER=str(self.cluster),
            LITESNN_PORT=str(free_ports(2)),
            LITESNN_DASHBOARD_PORT=str(self.dashboard),
            LITESNN_METRICS_PORT=str(free_ports(2)),
        )

    def shell(self, line: str) -> list[str]:
        """A line in a shell that has sourced the cluster's file."""
        return ["bash", "-c", f". {self.cluster}/environment && {line}"]

    def asked(self, path: str) -> Any:
        """What Ray's dashboard answers to whoever has the token."""
        token = (self.home / ".ray" / "auth_token").read_text()
        url = f"http://127.0.0.1:{self.dashboard}/api/{path}"
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def servers(self) -> list[psutil.Process]:
        """Every process of the cluster's sessions, whatever it has made of its environment."""
        leaders = {int(line) for line in (self.cluster / "leaders").read_text().split()}
        return [process for process in psutil.process_iter() if _session(process.pid) in leaders]


def _session(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return None


class LivePoints:
    """Listens to a dashboard until it ends, and keeps the trials of every version of the experiment ``first``."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.seen: list[list[dict[str, Any]]] = []
        self.ended = False
        self.thread = threading.Thread(target=self._listen)
        self.thread.start()

    def _listen(self) -> None:
        # A page that is killed breaks its stream off: then this has not ended as it should.
        with contextlib.suppress(httpx.HTTPError), httpx.stream("GET", f"{self.url}api/events", timeout=600) as stream:
            for line in stream.iter_lines():
                if line.startswith("data: ") and json.loads(line[6:])["experiment"] == "first":
                    self.seen.append(httpx.get(f"{self.url}api/experiments/first", timeout=60).json()["trials"])
            self.ended = True


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[User]:
    project = copy_project(tmp_path_factory.mktemp("project"))
    for script in (project / "cluster").glob("*.sh"):
        script.chmod(0o755)
    with User(tmp_path_factory.mktemp("home"), project) as somebody:
        try:
            yield somebody
        finally:
            subprocess.run([project / "cluster" / "stop.sh"], env=somebody.environment, check=True)
            shutil.rmtree(somebody.cluster)


@pytest.mark.cluster
@pytest.mark.slow
def test_the_readme_word_for_word(user: User) -> None:
    start, source, submit, serve, watch, stop = commands()
    run = user.run
    # What the reader may choose: one CPU per node and a small store, a tiny experiment, a port for the page.
    log = run(["bash", "-c", f"{start} --cpus 1 -- --object-store-memory=200000000"], user.project)
    assert log.startswith("2 nodes with 1 CPUs each") and source == ". /tmp/litesnn-$(id -u)/environment"

    # The token is the user's alone, and nothing of the cluster listens outside.
    token = user.home / ".ray" / "auth_token"
    assert token.stat().st_mode & 0o077 == user.cluster.stat().st_mode & 0o077 == 0
    servers = user.servers()
    ports = [c.laddr for p in servers for c in p.net_connections("inet") if c.status == psutil.CONN_LISTEN]
    assert user.dashboard in {port.port for port in ports}
    assert {port.ip.removeprefix("::ffff:") for port in ports} == {"127.0.0.1"}
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(f"http://127.0.0.1:{user.dashboard}/api/jobs/", timeout=60)
    refused = run(user.shell(f"RAY_AUTH_MODE=disabled {submit} --help"), user.project, code=1)
    assert "Missing authentication token" in refused

    # The dashboard waits for its first experiment; with a port and an interval that the reader may choose.
    page = user.start(["bash", "-c", f"exec {serve} --port 0 --interval 0.2"], user.project)
    assert page.stdout is not None
    line = page.stdout.readline()
    assert f"shows {user.home}/litesnn-results, where nothing is yet; Ctrl-C ends" in line
    points = LivePoints(line.split()[0])

    log = run(user.shell(f"{submit} {TINY}"), user.project)
    (job,) = set(re.findall(r"raysubmit_\w+", log))
    wait_until(lambda: user.asked(f"jobs/{job}")["status"] in ("SUCCEEDED", "FAILED"))
    log = run(user.shell(f"ray job logs {job}"), user.project)
    assert "2 trials: 2 finished" in log, log
    assert "succeeded" in run(user.shell(f"ray job status {job}"), user.project)
    assert "2 trials: 2 finished" in run(["bash", "-c", watch], user.project)

    # Points arrived while the job ran, and the page ends by itself with Ctrl-C, its open stream too.
    wait_until(lambda: points.seen and [trial["status"] for trial in points.seen[-1]] == ["finished"] * 2)
    epochs = {(t["trial"], t["phase"], t["epoch"]) for trials in points.seen for t in trials if t["val_accuracy"]}
    assert any(t["status"] == "unfinished" and t["epoch"] for trials in points.seen for t in trials)
    assert len(epochs) > 2 and all(trial["on_size_front"] is not None for trial in points.seen[-1])
    page.send_signal(signal.SIGINT)
    assert output_of(page) == "" and page.returncode == 0
    points.thread.join(60)
    assert not points.thread.is_alive() and points.ended
    assert (user.home / "litesnn-results" / "first" / "report.html").is_file()

    # A second start leaves the first cluster alone, and what a job leaves running ends with the cluster.
    again = run(["bash", "-c", start], user.project, code=2)
    assert "expected no cluster in" in again and len(again.splitlines()) == 1
    run(user.shell(f"{submit.partition('--working-dir')[0]} -- sleep 600"), user.project)
    wait_until(lambda: any("sleep 600" in " ".join(process.cmdline()) for process in user.alive()))
    bystander = user.start(["sleep", "601"], user.project)
    servers = user.servers()
    assert len(servers) > 8
    secret = token.read_text()
    assert not any(secret in " ".join(process.cmdline()) for process in servers if process.is_running())
    assert "has ended" in run(["bash", "-c", stop], user.project)
    left = {process.pid for process in user.alive()} | {p.pid for p in servers if is_alive(p)}
    assert left == {bystander.pid}
    assert "No cluster in" in run(["bash", "-c", stop], user.project)
    for folder in (user.cluster, user.home / "litesnn-results"):
        assert not [p for p in folder.rglob("*") if p.is_file() and secret.encode() in p.read_bytes()]


def is_alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


@pytest.mark.parametrize(
    ("arguments", "variables", "said"),
    [
        (["--nodes", "0"], {}, "--nodes: expected a whole number from 1, got 0"),
        (["--cpus"], {}, "--cpus: expected a whole number from 1, got nothing"),
        (["--port", "1"], {}, "expected --nodes, --cpus or --, got --port"),
        ([], {"LITESNN_PORT": "http"}, "port: expected a whole number from 1, got http"),
        ([], {"LITESNN_CLUSTER": "/tmp/" + "a" * 40}, "LITESNN_CLUSTER: expected an absolute path of 36 characters"),
        ([], {"PATH": "/usr/bin:/bin"}, "expected the project's environment on the PATH, got no ray"),
    ],
)
def test_a_mistake_is_one_line_and_starts_nothing(arguments: list[str], variables: dict[str, str], said: str) -> None:
    refused(variables, arguments, said)


def refused(variables: dict[str, str], arguments: list[str], said: str) -> None:
    """Checks that a start with these ends with one line that says so."""
    first = free_ports(5)
    ports = {"LITESNN_PORT": first, "LITESNN_DASHBOARD_PORT": first + 2, "LITESNN_METRICS_PORT": first + 3}
    free = {name: str(port) for name, port in ports.items()}
    environment = {**os.environ, **free, "LITESNN_CLUSTER": "/tmp/litesnn-never", **variables}
    if "PATH" not in variables:
        environment["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        [ROOT / "cluster" / "start.sh", *arguments], env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1 and said in done.stderr
    assert not Path(environment["LITESNN_CLUSTER"]).exists()


@pytest.mark.parametrize("variable", ["LITESNN_PORT", "LITESNN_DASHBOARD_PORT", "LITESNN_METRICS_PORT"])
def test_a_port_in_use_is_said_before_anything_starts(variable: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        refused({variable: port}, [], f"expected a free port, got {port}, where somebody listens")
