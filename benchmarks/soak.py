"""Runs several hundred real trials through Ray on this machine and looks whether memory grows.

One cluster, one ``tune/pareto.py``, tiny trials; every second the resident memory of the command, of the processes that run
trials, and of Ray's own servers is read.

    python -m benchmarks soak --trials 400
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from benchmarks import machine
from benchmarks.fault_scenarios.hosts import Hosts, Stuck, end_at_sigterm
from benchmarks.fault_scenarios.stage import Stage, tiny_options
from benchmarks.fault_scenarios.watch import Watch
from litesnn.checks import InputError, check_integer
from litesnn.files import write_text

RESULT = Path(__file__).parent / "results" / "soak.json"
PLOT = Path(__file__).parents[1] / "docs" / "images" / "soak.png"
GROUPS = ("driver", "workers", "gcs", "raylet", "others")
_TITLES = {"driver": "the command", "workers": "a trial's process", "gcs": "gcs_server", "raylet": "raylet"}
_SECONDS_BETWEEN = 1.0
_WARM = 0.25  # of the trials, after which memory should not grow any more
_FLAT_MIB = 0.1
"""Per trial that may be left: of 1,000 trials a tenth of a GiB."""
_PARALLEL = 2
_PAGE = os.sysconf("SC_PAGE_SIZE")


def points(count: int) -> str:
    """As ``--points``: so many different ones."""
    return " ".join(f"0,0,{95 * index / count:.4f}" for index in range(count))


def resident_mib(hosts: Hosts, workers: set[int]) -> dict[str, float]:
    """Resident memory by group; of the processes that run trials the mean, of the others the sum.

    Args:
        hosts: whose processes.
        workers: those that have run a trial.
    """
    found: dict[str, list[float]] = {group: [] for group in GROUPS}
    driver = hosts.alive("driver")
    for pid in hosts.alive():
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="utf-8").split()[1])
        except (OSError, IndexError, ValueError):
            continue  # it has just ended
        group = "driver" if pid in driver else "workers" if pid in workers else _server(command)
        found[group].append(pages * _PAGE / 2**20)
    return {
        group: (sum(sizes) / max(1, len(sizes)) if group == "workers" else sum(sizes)) for group, sizes in found.items()
    }


def _server(command: str) -> str:
    for name, word in (("gcs", "/gcs_server"), ("raylet", "/raylet/raylet")):
        if word in command.split(" ")[0]:
            return name
    return "others"


def slope(samples: list[dict[str, float]], group: str, trials: int) -> float:
    """MiB per trial, fitted after the first ``_WARM`` of the trials and before the report that the last one is followed by."""
    warm = [sample for sample in samples if _WARM * trials <= sample["trials"] < trials and sample[group] > 0]
    if len({sample["trials"] for sample in warm}) < 2:
        return float("nan")
    return float(np.polyfit([s["trials"] for s in warm], [s[group] for s in warm], 1)[0])


def soak(trials: int, retrain_epochs: int) -> dict[str, Any]:
    """Runs the trials; samples of memory, and how they ended.

    Raises:
        Stuck: the run ended badly.
    """
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        storage = Path(folder)
        options = [*tiny_options(retrain_epochs), "--early-stopping", "--points", points(trials)]
        with Hosts() as hosts:
            watch = Watch(storage / "digits")
            stage = Stage(hosts, storage, watch, options, random.Random(0))
            hosts.start_head(cpus=_PARALLEL)
            began, samples = time.monotonic(), []
            run, workers = stage.drive(), set()
            while run.poll() is None:
                over = len(watch.experiment.outcomes())
                workers |= set(watch.claims().values())
                now = {"seconds": time.monotonic() - began, "trials": float(over)}
                samples.append({**now, **resident_mib(hosts, workers)})
                time.sleep(_SECONDS_BETWEEN)
            stage.end(run)
            states = list(watch.results().values())
    return {
        "seconds": time.monotonic() - began,
        "states": {state: states.count(state) for state in sorted(set(states))},
        "samples": [{key: round(value, 2) for key, value in sample.items()} for sample in samples],
    }


def measure(trials: int, retrain_epochs: int) -> dict[str, Any]:
    """Everything that is kept of one run, ready for JSON."""
    load_before = machine.load_average()
    found = soak(trials, retrain_epochs)
    return {
        "benchmark": "soak",
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine.describe() | {"ray": machine.versions("ray").get("ray")},
        "load_before": load_before,
        "settings": {"trials": trials, "retrain_epochs": retrain_epochs, "parallel": _PARALLEL, "warm": _WARM},
        "mib_per_trial": {group: slope(found["samples"], group, trials) for group in GROUPS},
        "flat": all(not slope(found["samples"], group, trials) > _FLAT_MIB for group in GROUPS[:4]),
        **found,
    }


def report(result: dict[str, Any]) -> str:
    """A result as the text that is printed."""
    settings, samples = result["settings"], result["samples"]
    warm = [sample for sample in samples if sample["trials"] >= settings["warm"] * settings["trials"]]
    lines = [
        machine.one_line(result["machine"]),
        f"{settings['trials']} trials, {settings['parallel']} at once, in {result['seconds']:.0f} s: {result['states']}; "
        f"load before {result['load_before']}; {result['measured_at']}",
        "",
        f"{'resident memory, MiB':24}{'a quarter in':>14}{'at the end':>12}{'per trial':>12}",
    ]
    for group, title in _TITLES.items():
        at_end = [sample[group] for sample in warm if sample[group] > 0 and sample["trials"] < settings["trials"]]
        lines.append(f"{title:24}{at_end[0]:14.1f}{at_end[-1]:12.1f}{result['mib_per_trial'][group]:12.4f}")
    lines.append("flat" if result["flat"] else "it grows")
    return "\n".join(lines)


def plot(result: dict[str, Any], path: Path) -> None:
    """Resident memory over trials, one line per kind of process."""
    figure = Figure(figsize=(7.5, 3.4), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for group, colour in zip(_TITLES, ["#0b6e99", "#c8553d", "#d9a441", "#7a6fb0"], strict=True):
        shown = [sample for sample in result["samples"] if sample[group] > 0 and sample["trials"] > 0]
        axes.plot([s["trials"] for s in shown], [s[group] for s in shown], color=colour, label=_TITLES[group], lw=1.4)
    axes.set_xlabel("trials that are over")
    axes.set_ylabel("resident memory, MiB")
    axes.set_ylim(bottom=0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8.5, ncols=4, loc="center")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def main(arguments: list[str] | None = None) -> int:
    """Reads the command line, measures, prints, writes JSON and plot; returns the exit code."""
    parser = argparse.ArgumentParser(prog="soak", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--trials", type=int, default=400, help="in all (default 400)")
    parser.add_argument("--retrain-epochs", type=int, default=2, help="length of a trial's second phase (default 2)")
    parser.add_argument("--out", type=Path, default=RESULT)
    parser.add_argument("--plot", type=Path, default=PLOT)
    options = parser.parse_args(arguments)
    end_at_sigterm()
    try:
        check_integer("trials", options.trials, minimum=4)
        check_integer("retrain-epochs", options.retrain_epochs, minimum=1)
        result = measure(options.trials, options.retrain_epochs)
        write_text(options.out, json.dumps(result) + "\n")
        plot(result, options.plot)
    except (InputError, Stuck) as error:
        print(f"soak: {error}", file=sys.stderr)
        return 2
    print(report(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
