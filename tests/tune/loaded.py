"""The command in processes that have loaded PyTorch and Ray already, which takes longer than most commands themselves.

One process loads everything and forks a process of its own for each command, where ``tune/pareto.py`` runs as Python runs a
script, to the end of an interpreter.
"""

import os
import runpy
import subprocess
import sys
from collections.abc import Mapping
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "tune" / "pareto.py"


class Loaded:
    """The process that has loaded everything.

    Args:
        folder: for what it prints.
        environment: its own, and that of all commands.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.said, self.printed = folder / "loading.log", folder / "command.log"
        self.connection, other = Pipe()
        with self.said.open("w") as log:
            subprocess.Popen(
                [sys.executable, __file__, str(other.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
                pass_fds=[other.fileno()],
            )
        other.close()

    def run(self, arguments: list[str], cwd: Path, patience_s: float) -> tuple[int, str]:
        """Runs ``pareto.py`` with these arguments; its exit code, and what was printed while all was loaded and by itself."""
        self.printed.write_text("")
        self.connection.send((arguments, str(cwd), str(self.printed)))
        assert self.connection.poll(patience_s), "waited too long"
        code = self.connection.recv()
        return code, self.said.read_text() + self.printed.read_text()


def _serve(connection: Connection) -> None:
    """Forks for each command that comes; returns in the forked process, and where no more can come."""
    while True:
        try:
            arguments, cwd, printed = connection.recv()
        except EOFError:
            return
        child = os.fork()
        if not child:
            connection.close()
            os.setsid()
            os.chdir(cwd)
            output = os.open(printed, os.O_WRONLY | os.O_APPEND)
            os.dup2(output, 1)
            os.dup2(output, 2)
            sys.argv = [str(SCRIPT), *arguments]
            runpy.run_path(str(SCRIPT), run_name="__main__")
            return
        connection.send(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


if __name__ == "__main__":
    sys.path[0] = str(SCRIPT.parent)
    from tune.pareto import prepare

    prepare()
    import tune.polish
    import tune.run
    import tune.views.plot  # noqa: F401

    _serve(Connection(int(sys.argv[1])))
