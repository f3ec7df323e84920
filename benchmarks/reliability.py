"""Writes docs/reliability.md anew from the kept results of faults, simulate and soak.

python -m benchmarks reliability
"""

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path
from typing import Any

from benchmarks import machine
from litesnn.files import write_text

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "reliability.md"

_HEAD = """# Reliability

What was done to running experiments, and what they lost by it. This page is written by `python -m benchmarks reliability` from
`benchmarks/results/faults.json`, `simulate.json` and `soak.json`; the commands that measure are named in each part.
"""

_FAULTS = """## Faults

`python -m benchmarks faults --repeats 3` (`--list` says what there is). Every repetition starts a real Ray cluster of its own on
one machine, two hosts with room for one trial each, tokens on, and runs six tiny points with `tune/pareto.py` and without early
stopping. The fault comes at a random moment. A repetition counts as passed if the run (or, where the driver died, the same command
given again) ended by itself with code 0, every trial has the state that it should have, failed and diverged ones with a reason,
no file of a trial that was over has changed, and the front equals that of an undisturbed run to the last bit.

"""

_LEGEND = """
- **Recovery**: seconds from the fault, or from what ends it (storage freed), until every trial that it met had
  written a new epoch: the median, and the longest. Of a driver or head that was killed it includes starting the command, or the
  cluster and the command, again; of a lost node also waiting for room on the other one; of a hang the 15 s after which
  `--trial-timeout` was told to act; of the network the time until Ray gives up a host, which then ends and is started again by
  a supervisor, as an init system does (`Restart=always`); of a node that joins the time until a trial had written an epoch on it.
- **Epochs repeated**: the most epochs of one trial that were on disk already and were run again. The epoch under way when a
  process dies is not on disk; it is always run again.
- **Losses**: files of finished trials that changed or went, trials without a state at the end, and failed or diverged ones
  without a reason.
"""

_HOW = """## Why nothing is lost

- A trial writes checkpoint, metrics and report after each epoch, whole files only, and keeps the checkpoint before. When it
  reads one it compares every part with its checksum (torch itself would take altered weights for good); a damaged one is
  removed, the one before is used, and the run and the trial's `notes.txt` say so.
- A write that fails because the storage is full or has a bad moment is tried again for half an hour, the result kept in memory.
  After that the trial fails, and the same command continues it.
- An attempt claims its trial's folder (`attempt.txt`) and looks before each write whether it still holds it, so that an attempt
  that was given up, on a host that the network lost, writes no more.
- A trial that reports nothing for `--trial-timeout` (4 h unless told otherwise; give more than the longest epoch) is killed and
  started again; one that waits for its storage too, so a timeout below half an hour cuts that wait short. A trial fails when it
  has died or hung three times in a row without a new epoch between: over days a machine may go as often as it likes.
- Durations, budgets and the timeout go by clocks that nobody sets. The time of day is only written down (`ended_at`).
- A host that joins without seeing the experiment's folder gets no trial to run to its end: the trial fails there with that reason.

What was not tried: hosts that are machines of their own, a shared file system that goes away together with the network (here
both hosts see the same disk throughout), and GPUs. The clock of the test is one that every process is told, not the kernel's;
waits that are under way keep their length.
"""


def page(faults: dict[str, Any], simulated: dict[str, Any], soaked: dict[str, Any]) -> str:
    """The whole text of docs/reliability.md."""
    parts = [_HEAD, _FAULTS + fault_table(faults) + _LEGEND, _machines(faults), _HOW, _scale(simulated), _soak(soaked)]
    return "\n".join(part for part in parts if part)


def fault_table(faults: dict[str, Any]) -> str:
    """A row for every scenario."""
    lines = [
        "| scenario | repetitions | passed | recovery, s | epochs repeated | losses | trials in the end |",
        "|---|---|---|---|---|---|---|",
    ]
    for scenario in faults["scenarios"].values():
        runs = scenario["runs"]
        times = [run["recovery_s"] for run in runs if run["recovery_s"] is not None]
        recovery = f"{statistics.median(times):.1f} ({max(times):.1f})" if times else "–"
        states = sorted({", ".join(f"{count} {state}" for state, count in run["states"].items()) for run in runs})
        lines.append(
            f"| {scenario['what']} | {len(runs)} | {sum(not run['wrong'] for run in runs)} | {recovery} "
            f"| {max(run['epochs_repeated'] for run in runs)} | {sum(run['losses'] for run in runs)} "
            f"| {'; '.join(states)} |"
        )
    return "\n".join(lines) + "\n"


def _machines(faults: dict[str, Any]) -> str:
    found = {_hardware(scenario["machine"]) for scenario in faults["scenarios"].values()}
    days = sorted({scenario["measured_at"][:10] for scenario in faults["scenarios"].values()})
    runs = [run for scenario in faults["scenarios"].values() for run in scenario["runs"]]
    loads = [run["load_before"] for run in runs if run["load_before"] is not None]
    return (
        f"Measured on {' and '.join(sorted(found))}; {' and '.join(days)}.\n"
        f"Other programs were at work (load average {min(loads)} to {max(loads)} before a repetition): on a machine of its own a run "
        "recovers\nsooner.\n"
    )


def _hardware(found: dict[str, Any]) -> str:
    return f"{machine.one_line(found)}, Ray {found['ray']}"


def _scale(result: dict[str, Any]) -> str:
    settings, decisions, aggregated = result["settings"], result["decisions"], result["aggregate"]
    steps = aggregated["seconds"]
    return f"""## Scale, by simulation

`python -m benchmarks simulate`: {settings["trials"]:,} trials on {settings["workers"]:,} simulated workers, which replay recorded
learning curves of the digits preset with noise ({result["reports"]:,} reports, {result["stopped"]:,} trials stopped). Scheduler,
store and front are those of a run; no trial trains and Ray does not run, whose own limits this says nothing about.

| | |
|---|---|
| decisions per CPU second, over the run | {decisions["per_second"]:,.0f} |
| decisions per CPU second, the last 1,000 | {decisions["per_second_at_the_end"]:,.0f} |
| a decision: median, 99 %, longest | {decisions["median_ms"]:.2f} ms, {decisions["p99_ms"]:.1f} ms, {decisions["longest_ms"]:.1f} ms |
| memory of scheduler and records | {result["scheduler_memory_mib"]:.0f} MiB |
| writing a trial's files | {result["write_ms_per_trial"]:.1f} ms |
| table of all trials from disk | {steps["table"]:.2f} s |
| fronts, hypervolumes, seeds | {steps["fronts"] + steps["hypervolume"] + steps["seeds"]:.2f} s |
| all epochs' records from disk | {steps["histories"]:.2f} s |
| memory of a process that does these three | {aggregated["memory_mib"]["peak_with_histories"]:.0f} MiB |
| rungs read again by a driver that was killed | {result["rungs_again_seconds"]:.2f} s |
| front and hypervolume when one more trial has finished | {result["front_again_seconds"]:.3f} s |

{_hardware(result["machine"])}; load before {result["load_before"]}; {result["measured_at"][:10]}.
"""


def _soak(result: dict[str, Any]) -> str:
    settings, samples = result["settings"], result["samples"]
    warm = [sample for sample in samples if sample["trials"] >= settings["warm"] * settings["trials"]]
    rows = []
    for group, title in (
        ("driver", "the command"),
        ("workers", "a process that runs trials (mean)"),
        ("gcs", "Ray's `gcs_server`"),
        ("raylet", "Ray's `raylet`"),
    ):
        sizes = [sample[group] for sample in warm if sample[group] > 0 and sample["trials"] < settings["trials"]]
        rows.append(f"| {title} | {sizes[0]:.0f} | {sizes[-1]:.0f} | {1024 * result['mib_per_trial'][group]:.1f} |")
    states = ", ".join(f"{count} {state}" for state, count in result["states"].items())
    table = "\n".join(rows)
    return f"""## Soak

`python -m benchmarks soak`: {settings["trials"]} real trials, {settings["parallel"]} at once, through one Ray cluster and one
command with early stopping ({states}), in {result["seconds"]:.0f} s. Resident memory from a quarter of the trials
on, until the last one ends (the report that follows takes some more); Ray Tune keeps a little of every trial in the command:

| | a quarter in, MiB | at the end, MiB | per trial, KiB |
|---|---|---|---|
{table}

![Resident memory over trials](images/soak.png)

{_hardware(result["machine"])}; load before {result["load_before"]}; {result["measured_at"][:10]}.
"""


def kept() -> list[dict[str, Any]]:
    """The kept results of faults, simulate and soak."""
    return [
        json.loads((HERE / "results" / f"{name}.json").read_text(encoding="utf-8"))
        for name in ("faults", "simulate", "soak")
    ]


def main(arguments: list[str] | None = None) -> int:
    """Writes the page; returns the exit code."""
    if arguments:
        print(f"reliability: expected no arguments, got {arguments[0]!r}", file=sys.stderr)
        return 2
    write_text(PAGE, page(*kept()))
    print(PAGE)
    return 0


if __name__ == "__main__":
    sys.exit(main())
