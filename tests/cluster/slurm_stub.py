"""Stands in for Slurm's `srun` and `scontrol`: every host of a job is a network namespace of this machine.

Called as ``srun`` it runs the command once per host, with processes and a folder for Ray of its own, as a machine has.
``SLURM_JOB_NODELIST`` names the hosts ADDRESS=NAMESPACE, separated by commas, and ``scontrol show hostnames`` gives their
addresses. ``scontrol requeue`` notes the job in ``STUB_REQUEUED`` and ends its step, as Slurm does.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

HOSTS = dict(pair.split("=") for pair in os.environ["SLURM_JOB_NODELIST"].split(","))
STEP = Path(os.environ["STUB_REQUEUED"] + ".step")
# A machine sees its own processes alone, and its disk is not the others'. The shell stays, to take note of processes that
# end after their parents.
MACHINE = 'mount -t tmpfs tmpfs "$RAY_TMPDIR" && "$@"; exit $?'


def srun(arguments: list[str]) -> int:
    options = []
    while arguments[0].startswith("--"):
        options.append(arguments.pop(0))
    assert f"--nodes={len(HOSTS)}" in options and f"--ntasks={len(HOSTS)}" in options
    (patience,) = [int(option.removeprefix("--wait=")) for option in options if option.startswith("--wait=")]
    STEP.write_text(str(os.getpid()))
    Path(os.environ["RAY_TMPDIR"]).mkdir(exist_ok=True)
    tasks = [
        subprocess.Popen(
            ["ip", "netns", "exec", namespace, "unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
            + ["sh", "-c", MACHINE, "sh", *arguments]
        )
        for namespace in HOSTS.values()
    ]

    def end(*_: object) -> None:
        for task in tasks:
            task.kill()

    signal.signal(signal.SIGTERM, end)
    while all(task.poll() is None for task in tasks):
        time.sleep(0.1)
    deadline = time.monotonic() + patience
    while any(task.poll() is None for task in tasks) and time.monotonic() < deadline:
        time.sleep(0.1)
    end()
    return max(task.wait() & 0xFF for task in tasks if task is tasks[0])


def scontrol(arguments: list[str]) -> int:
    if arguments[:2] == ["show", "hostnames"]:
        print("\n".join(HOSTS))
    else:
        assert arguments == ["requeue", os.environ["SLURM_JOB_ID"]]
        Path(os.environ["STUB_REQUEUED"]).write_text(arguments[1])
        os.kill(int(STEP.read_text()), signal.SIGTERM)
    return 0


if __name__ == "__main__":
    sys.exit({"srun": srun, "scontrol": scontrol}[Path(sys.argv[0]).name](sys.argv[1:]))
