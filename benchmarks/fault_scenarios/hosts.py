"""Real Ray clusters whose hosts can be killed one by one: every process carries the mark of its host."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).parents[2]
PATIENCE_S = 240.0
_MARK = "LITESNN_FAULT_HOST"
_STARTS = 3  # Ray gives a host 30 s to come up, and this machine may be busy with other things


def end_at_sigterm() -> None:
    """From now on SIGTERM ends this program as Ctrl-C does: with all the clusters that it has started."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


class Stuck(Exception):
    """Something that should have happened has not."""


def wait_until(condition: Callable[[], Any], what: str, patience_s: float = PATIENCE_S) -> Any:
    """Polls until ``condition`` returns something true, and returns that.

    Raises:
        Stuck: it has not for ``patience_s`` seconds.
    """
    deadline = time.monotonic() + patience_s
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise Stuck(f"{what}: nothing for {patience_s:g} s")
        time.sleep(0.02)
    return found


class Hosts:
    """A cluster on this machine, its hosts told apart by name; the driver is a host too. All get the ``variables``."""

    def __init__(self, **variables: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="f-", dir="/tmp"))  # the path of a socket in it must be short
        self.run = secrets.token_hex(8)
        token = self.folder / "token"
        token.write_text(secrets.token_hex(32), encoding="utf-8")
        token.chmod(0o600)
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("RAY_")},
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(token),
            **variables,
        }
        self.address = ""

    def start_head(self, name: str = "head", inside: Iterable[str] = (), ip: str = "127.0.0.1") -> None:
        """Starts a head with room for one trial, a new one of the cluster if there was one; ``inside``: see ``start_node``."""
        port = free_port()
        self.address = f"{ip}:{port}"
        options = [
            "--head",
            f"--port={port}",
            "--include-dashboard=false",
            "--no-monitor",
            f"--ray-client-server-port={free_port()}",
        ]
        self._start_node(name, options, inside, ip)

    def start_node(
        self, name: str, inside: Iterable[str] = (), ip: str = "127.0.0.1", supervised: bool = False
    ) -> None:
        """Starts a further host with room for one trial.

        Args:
            name: of the host.
            inside: words before its command, such as those that enter a network namespace.
            ip: its address.
            supervised: whether Ray is started there again whenever it ends, as an init system would.
        """
        again = ["sh", "-c", 'until "$@" && false; do sleep 1; done', "supervisor"] if supervised else []
        self._start_node(name, [f"--address={self.address}"], [*inside, *again], ip)

    def _start_node(self, name: str, options: list[str], before: Iterable[str], ip: str) -> None:
        program = [str(Path(sys.executable).parent / "ray"), "start", "--block", f"--temp-dir={self.folder / name}"]
        options = [*options, *([] if ip == "127.0.0.1" else [f"--node-ip-address={ip}"]), "--num-cpus=1"]
        # Ports of its own choice: several hosts share this machine's.
        ports = ["--min-worker-port=0", "--max-worker-port=0", "--dashboard-agent-listen-port=0"]
        limits = ["--object-store-memory=100000000", "--disable-usage-stats", "--include-log-monitor=false"]
        earlier = self.starts(name)
        for _ in range(_STARTS):
            node = self.start(name, [*before, *program, *ports, *limits, *options])
            wait_until(lambda: node.poll() is not None or self.starts(name) > earlier, f"start of {name}")  # noqa: B023
            if node.poll() is None:
                return
            self.kill(name)
        raise Stuck(f"{name} did not start: {self.output(name)[-400:]}")

    def starts(self, name: str) -> int:
        """How often Ray has come up on a host."""
        return self.output(name).count("Ray runtime started")

    def start(self, name: str, command: Iterable[str]) -> subprocess.Popen[str]:
        """Starts a program as a host of its own; what it prints can be read from its log."""
        environment = {**self.environment, _MARK: f"{self.run}-{name}"}
        settings: dict[str, Any] = {"stderr": subprocess.STDOUT, "text": True, "start_new_session": True}
        with self._log(name).open("a") as log:
            return subprocess.Popen(list(command), stdout=log, cwd=self.folder, env=environment, **settings)

    def output(self, name: str) -> str:
        """All that a host's programs have printed."""
        log = self._log(name)
        return log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""

    def _log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def alive(self, name: str = "") -> set[int]:
        """Process ids of a host, or of all.

        Those that carry the mark, and what they have started: a process that gives itself a title may write it over
        its environment.
        """
        found, parents = set(), {}
        for process in psutil.process_iter(["environ", "ppid", "status"]):
            if process.info["status"] != psutil.STATUS_ZOMBIE:
                parents[process.pid] = process.info["ppid"]
                mark = (process.info["environ"] or {}).get(_MARK, "")
                if mark == f"{self.run}-{name}" or (not name and mark.startswith(f"{self.run}-")):
                    found.add(process.pid)
        while more := {pid for pid, parent in parents.items() if parent in found} - found:
            found |= more
        return found

    def kill(self, name: str = "") -> None:
        """SIGKILL to all of a host, as if its power had gone; without a name to everything."""
        while pids := self.alive(name):
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.05)

    def __enter__(self) -> Hosts:
        return self

    def __exit__(self, *error: object) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


def is_alive(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def free_port() -> int:
    """A port of this machine that nobody uses now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
