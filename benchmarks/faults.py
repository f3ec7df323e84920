"""Brings faults upon real Ray clusters and measures what a run loses by them.

Every repetition has a cluster of its own on this machine, of two hosts with room for one trial each, on which
``tune/pareto.py`` runs six tiny points; at a random moment comes the fault. Afterwards every trial must have a state, and
the front must be that of an undisturbed run, bit by bit.

    python -m benchmarks faults                      # all, once each
    python -m benchmarks faults worker node --repeats 3
    python -m benchmarks faults --repeats 3 --missing    # goes on where an earlier command ended
    python -m benchmarks faults --list
"""

from __future__ import annotations

import argparse
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.fault_scenarios import network_cut, processes_die, storage_fails, trials_misbehave
from benchmarks.fault_scenarios.hosts import end_at_sigterm
from benchmarks.fault_scenarios.stage import Scenario, perform
from litesnn.checks import InputError, check_choice, check_integer
from litesnn.files import write_text

RESULT = Path(__file__).parent / "results" / "faults.json"
SCENARIOS: dict[str, Scenario] = {
    **processes_die.SCENARIOS,
    **network_cut.SCENARIOS,
    **storage_fails.SCENARIOS,
    **trials_misbehave.SCENARIOS,
}


def measure(name: str, seed: int) -> dict[str, Any]:
    """Everything that is kept of one repetition of a scenario, ready for JSON."""
    load_before = machine.load_average()
    run = perform(SCENARIOS[name], seed)
    return {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine.describe() | {"ray": machine.versions("ray").get("ray")},
        "what": SCENARIOS[name].what,
        "runs": [{"load_before": load_before, **run}],
    }


def merged(kept: dict[str, Any], name: str, scenario: dict[str, Any]) -> dict[str, Any]:
    """The kept results with a scenario's new ones, which take the place of those of the same seeds.

    Args:
        kept: what the file holds, empty at first.
        name: of the scenario.
        scenario: as ``measure`` returns it.
    """
    scenarios = dict(kept.get("scenarios", {}))
    runs = {run["seed"]: run for run in [*scenarios.get(name, {}).get("runs", []), *scenario["runs"]]}
    scenarios[name] = {**scenario, "runs": [runs[seed] for seed in sorted(runs)]}
    ordered = {known: scenarios[known] for known in SCENARIOS if known in scenarios}
    return {"benchmark": "faults", "scenarios": ordered}


def passed(kept: dict[str, Any], name: str) -> set[int]:
    """Seeds of the repetitions of a scenario that are kept and went well."""
    runs = kept.get("scenarios", {}).get(name, {}).get("runs", [])
    return {run["seed"] for run in runs if not run["wrong"]}


def report(result: dict[str, Any]) -> str:
    """A result as the text that is printed."""
    lines = []
    for name, scenario in result["scenarios"].items():
        lines += [f"{name}: {scenario['what']}", *(f"  {_line(run)}" for run in scenario["runs"])]
    return "\n".join(lines)


def _line(run: dict[str, Any]) -> str:
    recovery = "" if run["recovery_s"] is None else f"recovered after {run['recovery_s']:.1f} s, "
    front = "the same front" if run["same_front"] else "ANOTHER FRONT"
    said = "".join(f"; {key} {value}" for key, value in run["facts"].items())
    wrong = "".join(f"; WRONG: {what}" for what in run["wrong"])
    return (
        f"{recovery}{run['epochs_repeated']} epochs repeated, {run['losses']} losses, {front}, {run['states']}, "
        f"{run['seconds']:.0f} s in all{said}{wrong}"
    )


def main(arguments: list[str] | None = None) -> int:
    """Reads the command line, measures, prints, writes the JSON; returns the exit code, 1 if anything went wrong."""
    parser = argparse.ArgumentParser(prog="faults", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=f"of {', '.join(SCENARIOS)} (default: all)")
    parser.add_argument("--repeats", type=int, default=1, help="of each scenario (default 1)")
    parser.add_argument("--seed", type=int, default=0, help="of the first repetition; decides when a fault comes")
    parser.add_argument("--missing", action="store_true", help="leave out what the file has and what went well there")
    parser.add_argument("--list", action="store_true", help="say what the scenarios are")
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args(arguments)
    end_at_sigterm()
    if options.list:
        print("\n".join(f"{name:11}{scenario.what}" for name, scenario in SCENARIOS.items()))
        return 0
    try:
        check_integer("repeats", options.repeats, minimum=1)
        check_integer("seed", options.seed, minimum=0)
        for name in options.scenarios:
            check_choice("scenario", name, SCENARIOS)
        if not sys.platform.startswith("linux"):
            raise InputError(f"faults: expected Linux, got {sys.platform}")
        result: dict[str, Any] = json.loads(options.out.read_text(encoding="utf-8")) if options.out.exists() else {}
        wrong = False
        for name in options.scenarios or SCENARIOS:
            missing = SCENARIOS[name].needs()
            if missing:
                print(f"{name}: left out, it needs {missing}", file=sys.stderr)
                continue
            seeds = set(range(options.seed, options.seed + options.repeats))
            for seed in sorted(seeds - passed(result, name) if options.missing else seeds):
                scenario = measure(name, seed)
                wrong |= bool(scenario["runs"][0]["wrong"])
                print(f"{name}, seed {seed}: {_line(scenario['runs'][0])}", file=sys.stderr, flush=True)
                result = merged(result, name, scenario)
                write_text(options.out, json.dumps(result, indent=2) + "\n")
    except InputError as error:
        print(f"faults: {error}", file=sys.stderr)
        return 2
    print(report(result))
    return int(wrong)


if __name__ == "__main__":
    sys.exit(main())
