"""Real Ray clusters for tests: heads and further nodes as processes of their own, with tokens, ended by process id."""

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import psutil

from tests.tune.loaded import ROOT, SCRIPT, Loaded

PYTHON_BIN = Path(sys.executable).parent
PARETO = [sys.executable, str(SCRIPT)]
# A trial of a second or two.
RECIPE = (
    "--widths 1,2 --search-channels 4 --retrain-channels 4 --timesteps 2 --search-batch 100 --retrain-batch 100 "
    "--search-epochs 2"
).split()
PATIENCE_S = 240
_MARK = "LITESNN_TEST_PROCESSES"


def wait_until(condition: Callable[[], Any], process: subprocess.Popen[Any] | None = None) -> Any:
    """Polls until ``condition`` returns something true, and returns that; fails if ``process`` ends before."""
    deadline = time.monotonic() + PATIENCE_S
    while not (found := condition()):
        assert process is None or process.poll() is None, output_of(process)
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.1)
    return found


def output_of(process: subprocess.Popen[Any]) -> str:
    """All that a process wrote until it ended."""
    return process.communicate(timeout=PATIENCE_S)[0]


class Processes:
    """Starts programs and ends them with all that they started themselves, which carries a mark in its environment.

    Whatever their home is, they find the kernels compiled and the fonts listed that others have, which takes long.

    Args:
        **variables: added to the environment, from which everything of Ray's is taken away.
    """

    def __init__(self, **variables: str) -> None:
        self.mark = uuid.uuid4().hex
        kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        self.environment = {
            **kept,
            "XDG_CACHE_HOME": os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache"),
            "PATH": f"{PYTHON_BIN}{os.pathsep}{os.environ['PATH']}",
            _MARK: self.mark,
            **variables,
        }

    def start(self, command: Iterable[str], cwd: Path, without: Iterable[str] = ()) -> subprocess.Popen[str]:
        """Starts a program; what it prints can be read from it."""
        environment = {name: value for name, value in self.environment.items() if name not in set(without)}
        return subprocess.Popen(
            list(command),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=cwd,
            env=environment,
            start_new_session=True,
        )

    def run(self, command: Iterable[str], cwd: Path, code: int = 0, without: Iterable[str] = ()) -> str:
        """Runs a program to its end and returns what it printed; fails if its exit code is another."""
        process = self.start(command, cwd, without)
        output = output_of(process)
        assert process.returncode == code, output
        return output

    def alive(self) -> list[psutil.Process]:
        """Every process started from here, by whatever way."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get(_MARK) == self.mark and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    def trials(self) -> dict[int, int]:
        """The processes that run trials, each with its parent: the process of a node."""
        found = {}
        for process in self.alive():
            with contextlib.suppress(psutil.Error):
                if "".join(process.cmdline()).startswith("ray::ImplicitFunc"):
                    found[process.pid] = process.ppid()
        return found

    def end(self) -> None:
        """Kills them all."""
        while processes := self.alive():
            for process in processes:
                with contextlib.suppress(psutil.Error):
                    process.kill()
            psutil.wait_procs(processes, timeout=10)

    def __enter__(self) -> "Processes":
        return self

    def __exit__(self, *error: object) -> None:
        self.end()


class Cluster(Processes):
    """A head and its nodes on this machine, each with a folder of its own, as two hosts would have.

    Nodes that shared a folder would unpack the package of one job in the same place, one after the other.
    """

    def __init__(self, **variables: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))  # the path of a socket in it must be short
        token = self.folder / "token"
        token.write_text(secrets.token_hex(32))
        token.chmod(0o600)
        self.secrets = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)}
        super().__init__(**self.secrets, RAY_JOB_STOP_WAIT_TIME_S="60", **variables)
        self.nodes = 0
        self.more: list[str] = []  # options of every node
        self.port, self.dashboard_port = _free_port(), _free_port()
        self.address, self.dashboard = f"127.0.0.1:{self.port}", f"http://127.0.0.1:{self.dashboard_port}"
        self.loaded: Loaded | None = None

    def pareto(self, arguments: Iterable[str], cwd: Path, code: int = 0) -> str:
        """As ``run`` with ``pareto.py``, but from the second time on without loading PyTorch and Ray."""
        self.loaded = self.loaded or Loaded(self.folder, self.environment)
        found, output = self.loaded.run(list(arguments), cwd, PATIENCE_S)
        assert found == code, output
        return output

    def start_head(self, cpus: int = 1, *, gpus: int = 0, dashboard: bool = False) -> None:
        """Starts the head and waits until it is there.

        Args:
            cpus: its CPUs.
            gpus: GPUs that it claims to have.
            dashboard: with Ray's dashboard, which takes jobs, and all that ``ray start`` starts by itself. Without, a
                dozen processes fewer, which take longer to start than all others: no dashboard, no autoscaler, nobody
                who carries logs to drivers.
        """
        options = ["--head", f"--port={self.port}", f"--ray-client-server-port={_free_port()}", f"--num-cpus={cpus}"]
        options += [f"--num-gpus={gpus}"] if gpus else []
        if dashboard:
            options += ["--dashboard-host=127.0.0.1", f"--dashboard-port={self.dashboard_port}"]
        else:
            options += ["--include-dashboard=false", "--no-monitor"]
            self.more = ["--include-log-monitor=false"]
        self._start_node(options)

    def start_node(self, cpus: int = 1, *, blind_to: Path | None = None) -> None:
        """Starts a further node and waits until it has joined.

        Args:
            cpus: its CPUs.
            blind_to: a folder in whose place it sees an empty one of its own, as another host would.
        """
        hidden = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs tmpfs "$0" && exec "$@"', str(blind_to)]
        self._start_node([f"--address={self.address}", f"--num-cpus={cpus}"], hidden if blind_to else [])

    def submit(self, arguments: Iterable[str], *more: str) -> list[str]:
        """The command that submits ``pareto.py`` from the working directory."""
        options = ["--address", self.dashboard, "--working-dir", ".", *more]
        return [*self.ray("job", "submit"), *options, "--", "python", "tune/pareto.py", *arguments]

    def ray(self, *arguments: str) -> list[str]:
        """A command of Ray's own client."""
        return [str(PYTHON_BIN / "ray"), *arguments]

    def _start_node(self, arguments: list[str], before: Iterable[str] = ()) -> None:
        self.nodes += 1
        folder = self.folder / str(self.nodes)
        log = self.folder / f"{self.nodes}.log"
        command = [*before, *self.ray("start", "--block", "--disable-usage-stats", f"--temp-dir={folder}")]
        ports = ["--min-worker-port=0", "--max-worker-port=0", "--dashboard-agent-listen-port=0"]
        with log.open("w") as file:
            process = subprocess.Popen(
                [*command, *ports, "--object-store-memory=200000000", *self.more, *arguments],
                stdout=file,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                env=self.environment,
                start_new_session=True,
            )
        deadline = time.monotonic() + PATIENCE_S
        while "Ray runtime started" not in log.read_text():
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)

    def __enter__(self) -> "Cluster":
        return self

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        shutil.rmtree(self.folder, ignore_errors=True)


def copy_project(destination: Path) -> Path:
    """The files that git knows or would take, in a place where nobody changes them."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in listed.stdout.decode().split("\0"):
        source = ROOT / name
        if name and source.is_file():
            (destination / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, destination / name)
    return destination


def can_hide_folders() -> bool:
    """Whether this machine lets us give a process mounts of its own."""
    command = ["unshare", "--mount", "sh", "-c", "mount -t tmpfs tmpfs /mnt"]
    return bool(shutil.which("unshare")) and subprocess.run(command, capture_output=True).returncode == 0


def snapshot(folder: Path) -> Mapping[Path, bytes]:
    """Every file below a folder with its content."""
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]
