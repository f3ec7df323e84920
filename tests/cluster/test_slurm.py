"""The Slurm script on real Ray nodes in network namespaces: two machines, time over, queued again, continued."""

import json
import re
import shutil
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from tests.tune.clusters import RECIPE, ROOT, Processes, output_of, wait_until

SCRIPT = ROOT / "cluster" / "slurm.sbatch"
STUB = Path(__file__).parent / "slurm_stub.py"
JOB = "77"


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


@pytest.fixture
def hosts() -> Iterator[dict[str, str]]:
    """Two network namespaces on one wire, by address."""
    if not all(map(shutil.which, ("ip", "unshare"))):
        pytest.skip("needs ip (iproute2) and unshare in PATH")
    mark = uuid.uuid4().hex[:8]
    names = {f"10.77.0.{i}": f"{mark}-{i}" for i in (1, 2)}
    try:
        try:
            for name in names.values():
                ip("netns", "add", name)
        except subprocess.CalledProcessError:
            pytest.skip("needs the right to make network namespaces")
        ends = [f"{mark}{i}" for i in (1, 2)]
        ip("link", "add", ends[0], "netns", f"{mark}-1", "type", "veth", "peer", "name", ends[1], "netns", f"{mark}-2")
        for end, (address, name) in zip(ends, names.items(), strict=True):
            ip("-n", name, "address", "add", f"{address}/24", "dev", end)
            for device in ("lo", end):
                ip("-n", name, "link", "set", device, "up")
            ip("-n", name, "route", "add", "default", "dev", end)
        yield names
    finally:
        for name in names.values():
            subprocess.run(["ip", "netns", "delete", name], capture_output=True)


@pytest.mark.cluster
@pytest.mark.slow
def test_a_job_whose_time_is_over_is_queued_again_and_continues(hosts: dict[str, str], tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("srun", "scontrol"):
        (programs / name).write_text(f"#!{sys.executable}\n{STUB.read_text()}")
        (programs / name).chmod(0o755)
    token = tmp_path / ".ray" / "auth_token"  # in the home directory, for all to read: as Ray itself leaves it
    token.parent.mkdir()
    token.write_text(uuid.uuid4().hex)
    token.chmod(0o644)
    requeued = tmp_path / "requeued"
    arguments = [*RECIPE, "--retrain-epochs", "25", "--no-early-stopping", "--points", "0,0,50"]
    command = ["bash", str(SCRIPT), *arguments, "--storage", str(tmp_path / "results"), "--name", "first"]
    variables = {"SLURM_JOB_ID": JOB, "STUB_REQUEUED": str(requeued), "HOME": str(tmp_path)}
    nodes = [f"{address}={name}" for address, name in hosts.items()]
    try:
        with Processes(**variables, SLURM_JOB_NODELIST=",".join(nodes)) as job:
            job.environment["PATH"] = f"{programs}:{job.environment['PATH']}"
            process = job.start(command, ROOT)
            metrics = tmp_path / "results" / "first" / "trials" / "l1_0-l2_0-p_50-seed_0" / "metrics.jsonl"
            wait_until(lambda: metrics.exists() and len(metrics.read_text().splitlines()) >= 5, process)
            process.send_signal(signal.SIGUSR1)
            log = output_of(process)
            assert process.returncode != 0 and requeued.read_text() == JOB
            assert token.stat().st_mode & 0o777 == 0o600
            assert "On head node" in log and "On worker node. Connecting to Ray cluster" in log
            assert "Time is over: queued again" in log
            wait_until(lambda: not job.alive())

        # Slurm starts the same script again, here with one machine that is left.
        before = metrics.read_text().splitlines()
        with Processes(**variables, SLURM_JOB_NODELIST=nodes[1]) as job:
            job.environment["PATH"] = f"{programs}:{job.environment['PATH']}"
            log = job.run(command, ROOT)
            assert not job.alive()
        after = metrics.read_text().splitlines()
        assert after[: len(before)] == before
        assert [json.loads(line)["epoch"] for line in after] == [1, 2, *range(1, 26)]
        assert set(pd.read_csv(tmp_path / "results" / "first" / "trials.csv")["status"]) == {"finished"}
        assert token.read_text() not in log
    finally:
        Path(f"/tmp/litesnn-{JOB}").rmdir()


def test_the_options_for_slurm_fit_what_the_script_counts_on() -> None:
    options = re.findall(r"^#SBATCH (--[\w-]+)(?:=(\S+))?", SCRIPT.read_text(), re.MULTILINE)
    given = dict(options)
    assert {"--exclusive", "--requeue"} <= given.keys() and given["--ntasks-per-node"] == "1"
    assert given["--signal"].startswith("B:USR1@") and given["--open-mode"] == "append"
