"""The start-up benchmark runs whole at a small size; processes are reused, and the kept result says what that is worth."""

import json
import multiprocessing
import platform
import threading
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import psutil
import pytest
import torch

from benchmarks import startup
from benchmarks.record import load, run
from benchmarks.startup import CASES, summary
from litesnn.device import prepare_cpu
from tune.trials.trial import release_memory


def private_mib() -> float:
    return float(psutil.Process().memory_full_info().uss / 2**20)


def test_parts_of_trials_one_after_the_other() -> None:
    names = ("entered", "loaded", "began", "ended")
    reports = [
        {**dict(zip(names, (26.0, 26.5, 27.5, 29.5), strict=True)), "pid": 7, "private_mib": 3.0},
        {**dict(zip(names, (14.0, 15.0, 17.0, 20.0), strict=True)), "pid": 7, "private_mib": 5.0},
        {**dict(zip(names, (33.5, 34.0, 34.5, 35.0), strict=True)), "pid": 8, "private_mib": 4.0},
    ]
    found = summary(10.0, reports)
    assert found["first"] == {"process": 4, "data": 1, "network": 2, "until_first_step": 7, "first_step": 3}
    # The two after it: 20 to 26, 29.5 to 33.5, and so on; medians of two are means.
    assert found["later"] == {
        "process": 5,
        "data": 0.5,
        "network": 0.75,
        "until_first_step": 6.25,
        "first_step": 1.25,
    }
    assert found["later_until_first_step"] == [7.5, 5.0]
    assert (found["processes"], found["private_mib"]) == (2, 5.0)


def test_bad_input_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(startup, ["--trials", "1"]) == 2
    assert capsys.readouterr().err == "startup: trials: expected an integer of at least 2, got 1\n"


def memory_around_a_trial() -> tuple[float, float, float]:
    """MiB before a trial in a thread of its own, after it, and after what it has freed was given back."""
    prepare_cpu(1)

    def trial() -> None:
        for _ in range(3):
            blocks = [torch.ones(2**18) for _ in range(400)]  # of 1 MiB
            del blocks

    before = private_mib()
    thread = threading.Thread(target=trial)
    thread.start()
    thread.join()
    after = private_mib()
    release_memory()
    return before, after, private_mib()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc keeps what threads have freed")
def test_what_a_trial_in_a_thread_of_its_own_has_freed_is_given_back() -> None:
    # In a process of its own: what other tests have freed would be used first.
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        before, after, released = pool.submit(memory_around_a_trial).result()
    assert after > before + 300  # kept for the next step, as it should be within a trial
    assert released < before + 100  # the last 64 MiB of a thread's memory stay


@pytest.mark.cluster
@pytest.mark.slow
def test_a_small_run_of_both_extremes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("reused, read", "new, shared"):
        monkeypatch.delitem(CASES, name)
    out = tmp_path / "startup.json"
    assert run(startup, ["--trials", "2", "--images", "300", "--out", str(out)]) == 0
    result = json.loads(out.read_text())
    processes = {name: case["processes"] for name, case in result["cases"].items()}
    assert processes == {"reused, shared": 1, "new, read": 2}
    printed = capsys.readouterr().out
    assert "| reused, shared |" in printed and result["machine"]["cpu"] in printed


def test_in_the_kept_result_a_reused_process_with_shared_data_starts_fastest() -> None:
    result = load("startup")
    until = {name: case["later"]["until_first_step"] for name, case in result["cases"].items()}
    assert until["reused, shared"] < min(until["reused, read"], until["new, shared"]) < until["new, read"]
    assert result["settings"]["images"] == 60_000
