"""Brings faults upon real Ray clusters and measures what a run loses by them.

Every repetition has a cluster of its own on this machine, of two hosts with room for one trial each, on which
``tune/pareto.py`` runs six tiny points; at a random moment comes the fault. Afterwards every trial must have a state, and
the front must be that of an undisturbed run, bit by bit.

    python -m benchmarks faults                      # all, once each
    python -m benchmarks faults worker node --repeats 3
    python -m benchmarks faults --list
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.fault_scenarios import network_cut, processes_die, storage_fails, trials_misbehave
from benchmarks.fault_scenarios.hosts import end_at_sigterm
from benchmarks.fault_scenarios.stage import Scenario, perform
from benchmarks.record import RESULTS, add_repeats, begin, markdown, progress, show
from litesnn.checks import InputError, check_choice, check_integer
from litesnn.files import write_text
from litesnn.options import exit_code

SCENARIOS: dict[str, Scenario] = {
    **processes_die.SCENARIOS,
    **network_cut.SCENARIOS,
    **storage_fails.SCENARIOS,
    **trials_misbehave.SCENARIOS,
}


def measure(name: str, seed: int) -> dict[str, Any]:
    """Everything that is kept of one repetition of a scenario, ready for JSON."""
    head = begin("faults", ("ray",))
    run = {"load_before": head["load_before"], **perform(SCENARIOS[name], seed)}
    made = {"measured_at": head["measured_at"], "machine": {**head["machine"], **head["versions"]}}
    return {**made, "what": SCENARIOS[name].what, "runs": [run]}


def merged(kept: dict[str, Any], name: str, scenario: dict[str, Any]) -> dict[str, Any]:
    """The kept results, empty at first, with a scenario's new ones, which take the place of those of the same seeds."""
    scenarios = dict(kept.get("scenarios", {}))
    runs = {run["seed"]: run for run in [*scenarios.get(name, {}).get("runs", []), *scenario["runs"]]}
    scenarios[name] = {**scenario, "runs": [runs[seed] for seed in sorted(runs)]}
    return {"benchmark": "faults", "scenarios": {known: scenarios[known] for known in SCENARIOS if known in scenarios}}


def report(result: dict[str, Any]) -> str:
    """A row for every scenario, and what the machine was."""
    rows, found = [], list(result["scenarios"].values())
    for scenario in found:
        runs = scenario["runs"]
        times = [run["recovery_s"] for run in runs if run["recovery_s"] is not None]
        states = sorted({", ".join(f"{count} {state}" for state, count in run["states"].items()) for run in runs})
        rows.append(
            [
                scenario["what"],
                str(len(runs)),
                str(sum(not run["wrong"] for run in runs)),
                f"{statistics.median(times):.1f} ({max(times):.1f})" if times else "–",
                str(max(run["epochs_repeated"] for run in runs)),
                str(sum(run["losses"] for run in runs)),
                "; ".join(states),
            ]
        )
    header = "scenario,repetitions,passed,recovery (s),epochs repeated,losses,trials in the end".split(",")
    machines = sorted({f"{machine.one_line(s['machine'])}, Ray {s['machine']['ray']}" for s in found})
    days = sorted({scenario["measured_at"][:10] for scenario in found})
    loads = [run["load_before"] for scenario in found for run in scenario["runs"] if run["load_before"] is not None]
    return (
        f"{markdown(header, rows)}\n\n{' and '.join(days)}, {' and '.join(machines)}; load {min(loads)} to {max(loads)} before "
        "a repetition: on a machine of its own a run recovers sooner."
    )


def main(arguments: Sequence[str]) -> int:
    """The command; its exit code is 1 if anything went wrong."""
    parser = argparse.ArgumentParser(prog="faults", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=f"of {', '.join(SCENARIOS)} (default: all)")
    add_repeats(parser, 1)
    parser.add_argument("--seed", type=int, default=0, help="of the first repetition; decides when a fault comes")
    parser.add_argument("--list", action="store_true", help="say what the scenarios are")
    parser.add_argument("--out", type=Path, default=RESULTS / "faults.json", metavar="FILE.json", help="the record")
    options = parser.parse_args(arguments)
    end_at_sigterm()
    if options.list:
        print("\n".join(f"{name:11}{scenario.what}" for name, scenario in SCENARIOS.items()))
        return 0
    wrong: list[str] = []
    return exit_code(lambda: _perform_all(options, wrong), "faults") or int(bool(wrong))


def _perform_all(options: argparse.Namespace, wrong: list[str]) -> None:
    """Adds to ``wrong`` what went wrong."""
    check_integer("repeats", options.repeats, minimum=1)
    check_integer("seed", options.seed, minimum=0)
    for name in options.scenarios:
        check_choice("scenario", name, SCENARIOS)
    if not sys.platform.startswith("linux"):
        raise InputError(f"expected Linux, got {sys.platform}")
    result: dict[str, Any] = json.loads(options.out.read_text(encoding="utf-8")) if options.out.exists() else {}
    for name in options.scenarios or SCENARIOS:
        if missing := SCENARIOS[name].needs():
            progress(f"{name}: left out, it needs {missing}")
            continue
        for seed in range(options.seed, options.seed + options.repeats):
            scenario = measure(name, seed)
            (run,) = scenario["runs"]
            wrong += run["wrong"]
            progress(f"{name}, seed {seed}: {run}")
            result = merged(result, name, scenario)
            write_text(options.out, json.dumps(result, indent=2) + "\n")
    show(report(result))
