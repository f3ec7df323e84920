"""Storage that is full, fails now and then, or has damaged what was written."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from functools import cache
from pathlib import Path

from benchmarks.fault_scenarios.hosts import Stuck
from benchmarks.fault_scenarios.stage import Scenario, Stage

_SIZE = "6m"
_FULL_S = (6.0, 20.0)
_EVERY = 7


@cache
def shim() -> str:
    """The compiled ``shim.c``."""
    library = Path(tempfile.mkdtemp(prefix="shim-")) / "shim.so"
    source = Path(__file__).with_name("shim.c")
    subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", str(library), str(source), "-ldl"], check=True)
    return str(library)


def no_compiler() -> str:
    """What is missing for the shim."""
    return "" if shutil.which("cc") else "a C compiler (cc)"


def not_root() -> str:
    """What is missing for mounts and networks of our own."""
    return "" if os.geteuid() == 0 else "root"


def _full(stage: Stage) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={_SIZE}", "tmpfs", str(stage.storage)], check=True)
    try:
        run = stage.begin(4, 16)
        ballast = stage.storage / "ballast"
        filled = time.monotonic()
        with ballast.open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(4096))
        last = [filled, stage.watch.epochs()]
        wanted = stage.chance.uniform(*_FULL_S)

        def still() -> bool:
            if stage.watch.epochs() != last[1]:
                last[:] = time.monotonic(), stage.watch.epochs()
            return time.monotonic() - last[0] > wanted

        stage.wait(still, "trials that wait for the storage", run)
        stage.strike(stage.watch.claims())
        stage.facts["full_s"] = round(stage.moment - filled, 1)
        ballast.unlink()
        stage.end(run)
        stage.watch.__exit__()
        # What has to be looked at later is taken from the storage before it is gone.
        shutil.copytree(stage.storage / "digits", stage.storage.parent / "kept")
    finally:
        stage.hosts.kill()
        subprocess.run(["umount", "--lazy", str(stage.storage)], check=True)
        if (stage.storage.parent / "kept").exists():
            shutil.copytree(stage.storage.parent / "kept", stage.storage / "digits")


def _failing(stage: Stage) -> None:
    stage.two_hosts()
    run = stage.drive()
    stage.strike(())
    stage.end(run)


def _damaged(stage: Stage) -> None:
    run = stage.begin(8, 16)

    def both() -> tuple[str, int, Path] | None:
        """A stopped trial with two checkpoints of the phase that it is in; nothing of it moves while they are looked at."""
        for trial, pid in stage.watch.claims().items():
            os.kill(pid, signal.SIGSTOP)
            folder = stage.watch.trials / trial
            newest = folder / ("retrain.pt" if (folder / "genotype.json").exists() else "search.pt")
            metrics = folder / "metrics.jsonl"
            written = newest.exists() and metrics.stat().st_mtime_ns >= newest.stat().st_mtime_ns
            if written and newest.with_name(newest.name.replace(".pt", ".previous.pt")).exists():
                return trial, pid, newest
            os.kill(pid, signal.SIGCONT)
        time.sleep(0.2)
        return None

    trial, pid, newest = stage.wait(both, "a trial with two checkpoints", run)
    stage.strike({trial})
    content = bytearray(newest.read_bytes())
    if stage.chance.random() < 0.5:
        content = content[: stage.chance.randrange(len(content))]
        stage.facts["damage"] = f"truncated to {len(content)} bytes"
    else:
        at = stage.chance.randrange(len(content) // 4, len(content) // 2)
        # More than the padding between parts.
        content[at : at + 200] = bytes(byte ^ 0xFF for byte in content[at : at + 200])
        stage.facts["damage"] = f"200 bytes altered at {at} of {len(content)}"
    newest.write_bytes(content)
    os.kill(pid, signal.SIGKILL)
    stage.end(run)
    notes = stage.watch.trials / trial / "notes.txt"
    stage.facts["said"] = notes.read_text(encoding="utf-8").strip() if notes.exists() else ""
    stage.facts["told"] = "the newest checkpoint was damaged" in stage.hosts.output("driver")
    if not (stage.facts["said"] and stage.facts["told"]):
        raise Stuck("nobody said that a checkpoint was damaged")


SCENARIOS = {
    "full": Scenario(what="storage full, then freed", act=_full, needs=not_root),
    "failing": Scenario(
        what=f"every {_EVERY}th write, fsync and rename of each process fails",
        act=_failing,
        variables=lambda storage: {"LD_PRELOAD": shim(), "SHIM_PREFIX": str(storage), "SHIM_EVERY": str(_EVERY)},
        needs=no_compiler,
    ),
    "damaged": Scenario(what="the newest checkpoint truncated or altered, and its trial killed", act=_damaged),
}
