"""Drives scheduler, store and front with 10,000 trials on 1,000 simulated workers.

A discrete-event simulation: workers replay recorded learning curves, each with noise of its own, and every epoch is
reported to the scheduler that a run uses. What comes of it is written to a folder as trials write it, and read back as
a driver that was killed does. Nothing is trained, and Ray is imported but not started: measured is what the driver
itself would spend.

    python -m benchmarks simulate --trials 10000 --workers 1000
"""

from __future__ import annotations

import argparse
import heapq
import json
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks import machine
from benchmarks.aggregate import aggregate
from benchmarks.replay import REFERENCE, read_curves
from litesnn.checks import InputError, check_integer
from litesnn.files import write_text
from tune.results.front import front, hypervolume
from tune.running.facts import TrialJudged
from tune.running.halving import Halving
from tune.running.scheduler import ParetoScheduler
from tune.storage.store import FINISHED, STOPPED, Experiment
from tune.trials.reasons import sentence

RESULT = Path(__file__).parent / "results" / "simulate.json"
_ACCURACY_NOISE, _COST_NOISE, _SECONDS_NOISE = 1.0, 0.3, 0.3
_LAST = 1000  # decisions at the end of the run, when the rungs are fullest

Record = dict[str, Any]


@dataclass
class Simulation:
    """What a simulated run came to.

    Args:
        decision_s: CPU seconds of every answer of the scheduler, in the order of the reports.
        records: of every trial, up to where it ended.
        stopped: reasons of those that were stopped.
        hours: simulated.
    """

    decision_s: list[float] = field(default_factory=list)
    records: dict[str, list[Record]] = field(default_factory=dict)
    stopped: dict[str, str] = field(default_factory=dict)
    hours: float = 0.0

    def judge(self, verdict: TrialJudged) -> None:
        """Keeps the reason of a trial that is stopped."""
        if verdict.stopped is not None:
            self.stopped[verdict.name] = sentence(verdict.stopped)


def trial_records(curve: Sequence[Mapping[str, Any]], generator: np.random.Generator) -> list[Record]:
    """A recorded curve as another trial might have had it: other accuracies, another network, another pace."""
    size, synops, pace = np.exp(generator.normal(0, [_COST_NOISE, _COST_NOISE, _SECONDS_NOISE]))
    shift = generator.normal(0, _ACCURACY_NOISE)
    lengths = {phase: sum(record["phase"] == phase for record in curve) for phase in ("search", "retrain")}
    return [
        {
            "phase": record["phase"],
            "epoch": record["epoch"],
            "epochs": lengths[record["phase"]],
            "loss": 1.0,
            "val_accuracy": float(np.clip(record["val_accuracy"] + shift, 0, 100)),
            "model_size_bits": int(record["model_size_bits"] * size),
            "bit_synops": float(record["bit_synops"] * synops),
            "timesteps": 4,
            "seconds": float(record["seconds"] * pace),
        }
        for record in curve
    ]


def simulate(trials: int, workers: int, seed: int) -> tuple[Simulation, ParetoScheduler]:
    """Runs all trials; as many at once as there are workers."""
    generator = np.random.default_rng(seed)
    curves = list(read_curves().values())
    found = Simulation()
    scheduler = ParetoScheduler(_rule(curves[0]), dict, found.judge)
    running: list[tuple[float, str, int, list[Record]]] = []  # when its next epoch ends, its name, that epoch's index
    waiting = (f"l1_1e-06-l2_1e-09-p_{index}-seed_0" for index in range(trials))

    def start(now: float) -> None:
        name = next(waiting, None)
        if name is not None:
            records = trial_records(curves[generator.integers(len(curves))], generator)
            found.records[name] = []
            heapq.heappush(running, (now + records[0]["seconds"], name, 0, records))

    for _ in range(workers):
        start(0.0)
    while running:
        now, name, index, records = heapq.heappop(running)
        found.records[name].append(records[index])
        began = time.thread_time()  # a busy machine may take the CPU away for longer than a decision lasts
        verdict = scheduler.on_trial_result(None, None, {**records[index], "trial": name})
        found.decision_s.append(time.thread_time() - began)
        if len(found.decision_s) % 20_000 == 0:
            _progress(f"{len(found.decision_s)} reports, {len(found.records)} trials")
        if verdict == "STOP" and index + 1 < len(records):
            start(now)
        elif index + 1 == len(records):
            found.stopped.pop(name, None)
            start(now)
        else:
            heapq.heappush(running, (now + records[index + 1]["seconds"], name, index + 1, records))
        found.hours = now / 3600
    return found, scheduler


def _rule(curve: Sequence[Mapping[str, Any]]) -> Halving:
    lengths = [sum(record["phase"] == phase for record in curve) for phase in ("search", "retrain")]
    return Halving(search_epochs=lengths[0], retrain_epochs=lengths[1], chance=10)


def write(folder: Path, simulation: Simulation) -> float:
    """Writes every trial as trials do; returns seconds."""
    experiment = Experiment(folder)
    began = time.perf_counter()
    for index, (name, records) in enumerate(simulation.records.items()):
        trial = experiment.trial(name)
        trial.write_start({"lambda1": 1e-6, "lambda2": 1e-9, "p": float(index % 96), "seed": 0}, {})
        trial.write_metrics(records)
        if name in simulation.stopped:
            trial.write_result(STOPPED, reason=simulation.stopped[name])
        else:
            figures = {key: records[-1][key] for key in ("val_accuracy", "model_size_bits", "bit_synops", "timesteps")}
            trial.write_result(FINISHED, test_accuracy=figures["val_accuracy"], **figures)
    return time.perf_counter() - began


def read_rungs(folder: Path) -> tuple[float, int]:
    """What a driver does that continues: seconds until the rungs are there again, and their entries."""
    curves = list(read_curves().values())
    began = time.perf_counter()
    rungs = ParetoScheduler(_rule(curves[0]), Experiment(folder).histories).rungs
    return time.perf_counter() - began, sum(map(len, rungs.entries.values()))


def update_seconds(table: pd.DataFrame) -> float:
    """Seconds of front and hypervolume anew, as when one more trial has finished."""
    rows = table.to_dict("records")
    began = time.perf_counter()
    again = pd.DataFrame(rows, columns=table.columns)
    front(again)
    hypervolume(again, REFERENCE)
    return time.perf_counter() - began


def measure(trials: int, workers: int, seed: int) -> dict[str, Any]:
    """Everything that is kept of one run, ready for JSON."""
    load_before = machine.load_average()
    resident = machine.begin_peak()
    began = time.perf_counter()
    simulation, scheduler = simulate(trials, workers, seed)
    wall, peak = time.perf_counter() - began, machine.peak_memory_mib()
    seconds = np.array(simulation.decision_s)
    last = seconds[-_LAST:]
    entries = sum(map(len, scheduler.rungs.entries.values()))
    with tempfile.TemporaryDirectory(prefix="simulate-") as scratch:
        folder = Path(scratch) / "experiment"
        written = write(folder, simulation)
        _progress(f"written in {written:.0f} s")
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            aggregated = pool.submit(aggregate, folder).result()
        rungs_s, entries_again = read_rungs(folder)
        assert entries_again == entries, (entries_again, entries)
        update_s = update_seconds(Experiment(folder).table())
    return {
        "benchmark": "simulate",
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine.describe() | {"ray": machine.versions("ray").get("ray")},
        "load_before": load_before,
        "settings": {"trials": trials, "workers": workers, "seed": seed},
        "reports": len(seconds),
        "stopped": len(simulation.stopped),
        "finished": trials - len(simulation.stopped),
        "simulated_hours": simulation.hours,
        "entries": entries,
        "decisions": {
            "per_second": len(seconds) / float(seconds.sum()),
            "per_second_at_the_end": len(last) / float(last.sum()),
            "median_ms": 1e3 * float(np.median(seconds)),
            "p99_ms": 1e3 * float(np.quantile(seconds, 0.99)),
            "longest_ms": 1e3 * float(seconds.max()),
            "wall_seconds": wall,
        },
        "scheduler_memory_mib": peak - resident,
        "write_ms_per_trial": 1e3 * written / trials,
        "aggregate": aggregated,
        "rungs_again_seconds": rungs_s,
        "front_again_seconds": update_s,
    }


def report(result: dict[str, Any]) -> str:
    """A result as the text that is printed."""
    decisions, aggregated, settings = result["decisions"], result["aggregate"], result["settings"]
    lines = [
        machine.one_line(result["machine"]),
        f"{settings['trials']} trials on {settings['workers']} simulated workers, {result['reports']} reports, "
        f"{result['stopped']} stopped; load before {result['load_before']}; {result['measured_at']}",
        "",
        f"decisions per second     {decisions['per_second']:10.0f}",
        f"  of the last {_LAST}       {decisions['per_second_at_the_end']:10.0f}",
        f"  longest                {decisions['longest_ms']:10.1f} ms",
        f"memory of the scheduler  {result['scheduler_memory_mib']:10.0f} MiB with the {result['reports']} records",
        f"table, fronts, hypervolume {sum(aggregated['seconds'].values()):8.2f} s, "
        f"{aggregated['memory_mib']['peak_with_histories']:.0f} MiB at most",
        f"rungs read again         {result['rungs_again_seconds']:10.2f} s",
        f"front after one more     {result['front_again_seconds']:10.3f} s",
    ]
    return "\n".join(lines)


def _progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main(arguments: list[str] | None = None) -> int:
    """Reads the command line, measures, prints, writes the JSON; returns the exit code."""
    parser = argparse.ArgumentParser(prog="simulate", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--trials", type=int, default=10_000, help="in all (default 10000)")
    parser.add_argument("--workers", type=int, default=1000, help="trials at once (default 1000)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args(arguments)
    try:
        check_integer("trials", options.trials, minimum=1)
        check_integer("workers", options.workers, minimum=1)
        check_integer("seed", options.seed, minimum=0)
        result = measure(options.trials, options.workers, options.seed)
        write_text(options.out, json.dumps(result, indent=2) + "\n")
    except InputError as error:
        print(f"simulate: {error}", file=sys.stderr)
        return 2
    print(report(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
