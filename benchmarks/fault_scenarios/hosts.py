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
    """A cluster on this machine, its hosts told apart by name; the driver is a host too.

    Args:
        **variables: added to the environment of all that is started.
    """

    def __init__(self, **variables: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="f-", dir="/tmp"))  # the path of a socket in it must be short
        self.run = secrets.token_hex(8)
        token = self.folder / "token"
        token.write_text(secrets.token_hex(32), encoding="utf-8")
        token.chmod(0o600)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        self.environment = {
            **kept,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(token),
            **variables,
        }
        self.ip, self.port = "127.0.0.1", free_port()

    @property
    def address(self) -> str:
        """Of the head."""
        return f"{self.ip}:{self.port}"

    def start_head(self, name: str = "head", cpus: int = 1, inside: Iterable[str] = (), ip: str = "") -> None:
        """Starts a head, a new one of the cluster if there was one, and waits until it is there.

        Args:
            name: of the host.
            cpus: that it offers.
            inside: words before its command, such as those that enter a network namespace.
            ip: its address, if it has one of its own.
        """
        self.ip, self.port = ip or "127.0.0.1", free_port()
        options = ["--head", f"--port={self.port}", "--include-dashboard=false", *_at(ip)]
        self._start_node(name, [*options, f"--ray-client-server-port={free_port()}", f"--num-cpus={cpus}"], inside)

    def start_node(
        self, name: str, cpus: int = 1, inside: Iterable[str] = (), ip: str = "", supervised: bool = False
    ) -> None:
        """Starts a further host and waits until it has joined.

        Args:
            name: of the host.
            cpus: that it offers.
            inside: words before its command.
            ip: its address, if it has one of its own.
            supervised: whether Ray is started there again whenever it ends, as an init system would.
        """
        options = [f"--address={self.address}", f"--num-cpus={cpus}", *_at(ip)]
        again = ["sh", "-c", 'until "$@" && false; do sleep 1; done', "supervisor"] if supervised else []
        self._start_node(name, options, [*inside, *again])

    def starts(self, name: str) -> int:
        """How often Ray has come up on a host."""
        return self._log(name).read_text(encoding="utf-8", errors="replace").count("Ray runtime started")

    def start(self, name: str, command: Iterable[str], **variables: str) -> subprocess.Popen[str]:
        """Starts a program as a host of its own; what it prints can be read from its log."""
        with self._log(name).open("a") as log:
            return subprocess.Popen(
                list(command),
                stdout=log,
                stderr=subprocess.STDOUT,
                text=True,
                cwd=self.folder,
                env={**self.environment, **variables, _MARK: f"{self.run}-{name}"},
                start_new_session=True,
            )

    def output(self, name: str) -> str:
        """All that a host's programs have printed."""
        return self._log(name).read_text(encoding="utf-8", errors="replace")

    def alive(self, name: str = "") -> set[int]:
        """Process ids of a host, or of all.

        Those that carry the mark, and what they have started: a process that gives itself a title may write it over
        its environment.
        """
        wanted = f"{_MARK}={self.run}-{name}".encode()
        found, parents = set(), {}
        for folder in Path("/proc").iterdir():
            if not folder.name.isdigit():
                continue
            with suppress(OSError):
                variables = (folder / "environ").read_bytes().split(b"\0")
                state, parent = (folder / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()[:2]
                if state == "Z":
                    continue
                parents[int(folder.name)] = int(parent)
                if any(one == wanted or (not name and one.startswith(wanted)) for one in variables):
                    found.add(int(folder.name))
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

    def _log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def _start_node(self, name: str, options: list[str], before: Iterable[str]) -> None:
        program = str(Path(sys.executable).parent / "ray")
        folder = f"--temp-dir={self.folder / name}"
        # Ports of its own choice: several hosts share this machine's.
        ports = ["--min-worker-port=0", "--max-worker-port=0", "--dashboard-agent-listen-port=0"]
        limits = ["--object-store-memory=100000000", "--disable-usage-stats"]
        before_this = self.starts(name) if self._log(name).exists() else 0
        for _ in range(_STARTS):
            node = self.start(name, [*before, program, "start", "--block", folder, *ports, *limits, *options])
            wait_until(lambda: node.poll() is not None or self.starts(name) > before_this, f"start of {name}")  # noqa: B023
            if node.poll() is None:
                return
            self.kill(name)
        raise Stuck(f"{name} did not start: {self.output(name)[-400:]}")

    def __enter__(self) -> Hosts:
        return self

    def __exit__(self, *error: object) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


def _at(ip: str) -> list[str]:
    return [f"--node-ip-address={ip}"] if ip else []


def free_port() -> int:
    """A port of this machine that nobody uses now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
