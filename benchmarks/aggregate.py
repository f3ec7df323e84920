"""Times what makes tables, fronts and hypervolume of 100,000 records on disk.

Two experiments are written to a temporary folder: ``trials``, many trials that are over, one small file each to be read;
and ``epochs``, fewer trials of many epochs, of which every other one is still running, so that all its files are read.
A process of its own then reads them. The files have just been written: they come from the system's page cache.

    python -m benchmarks.aggregate --records 100000 --repeats 3
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from litesnn.checks import InputError, check_integer
from litesnn.files import write_text
from tune.results.front import front, hypervolume, over_seeds
from tune.storage.objectives import BIT_SYNOPS, SIZE, Reference
from tune.storage.store import FINISHED, Experiment

EPOCHS = 40
"""Records of a trial of the second experiment."""
REFERENCE = Reference(accuracy=10, size_bits=1e7, bit_synops=1e10)
STEPS = ("table", "histories", "fronts", "hypervolume", "seeds")
AIM_S = 10.0


def write_trials(folder: Path, records: int) -> None:
    """``records`` finished trials with random figures, three seeds to a point."""
    generator = random.Random(0)
    example = _example(folder.parent / "example")
    for index in range(records):
        figures = {"p": float(index // 3), "seed": index % 3, **_figures(generator)}
        trial = folder / "trials" / f"l1_1e-06-l2_1e-09-p_{index // 3}-seed_{index % 3}"
        trial.mkdir(parents=True)
        (trial / "result.json").write_text(json.dumps({**example, **figures}, indent=2) + "\n")


def write_epochs(folder: Path, records: int) -> None:
    """Trials of ``EPOCHS`` records each, every other one over."""
    generator = random.Random(0)
    example = _example(folder.parent / "example")
    for index in range(records // EPOCHS):
        trial = folder / "trials" / f"l1_1e-06-l2_1e-09-p_{index // 3}-seed_{index % 3}"
        trial.mkdir(parents=True)
        point = {"lambda1": 1e-6, "lambda2": 1e-9, "p": float(index // 3), "seed": index % 3}
        (trial / "point.json").write_text(json.dumps(point, indent=2) + "\n")
        lines = [
            json.dumps({**_epoch("search" if epoch < EPOCHS // 2 else "retrain", epoch), **_figures(generator)}) + "\n"
            for epoch in range(EPOCHS)
        ]
        (trial / "metrics.jsonl").write_text("".join(lines))
        if index % 2:
            result = {**example, **point, **_figures(generator)}
            (trial / "result.json").write_text(json.dumps(result, indent=2) + "\n")


def _figures(generator: random.Random) -> dict[str, Any]:
    size = 10 ** generator.uniform(4, 7)
    return {
        "val_accuracy": generator.uniform(10, 100),
        "test_accuracy": generator.uniform(10, 100),
        "model_size_bits": int(size),
        "bit_synops": size * 10 ** generator.uniform(1, 3),
        "energy_mj": generator.random(),
    }


def _epoch(phase: str, epoch: int) -> dict[str, Any]:
    return {
        "phase": phase,
        "epoch": epoch,
        "epochs": EPOCHS,
        "loss": 1.2345678901234567,
        "timesteps": 4,
        "seconds": 0.5,
    }


def _example(folder: Path) -> dict[str, Any]:
    """A result as the store itself writes it."""
    trial = Experiment(folder).trial("example")
    trial.write_start({"lambda1": 1e-6, "lambda2": 1e-9, "p": 0.0, "seed": 0}, {})
    trial.write_metrics([{**_epoch("search", 1), "val_accuracy": 50.0}])
    names = "side_bits additions multiplications ann_operations ann_energy_mj timesteps threads".split()
    extra = {"bits": [4, 2, 1], "device": "cpu", "torch": "2.14.1"}
    trial.write_result(FINISHED, **dict.fromkeys(names, 123456.789), **extra)
    result = trial.read_result()
    assert result is not None
    return result


def aggregate(folder: Path) -> dict[str, Any]:
    """Runs in a process of its own: seconds of each step, what came out, and memory in MiB before and at the peak."""
    before = _peak_mib()
    experiment = Experiment(folder)
    seconds: dict[str, float] = {}

    def timed(step: str, make: Callable[[], Any]) -> Any:
        started = time.perf_counter()
        made = make()
        seconds[step] = time.perf_counter() - started
        return made

    table = timed("table", experiment.table)
    with_table = _peak_mib()
    chosen = timed("fronts", lambda: front(table))
    volumes = timed(
        "hypervolume",
        lambda: [hypervolume(table, REFERENCE, of) for of in ((SIZE, BIT_SYNOPS), (SIZE,), (BIT_SYNOPS,))],
    )
    timed("seeds", lambda: over_seeds(table))
    for_table = _peak_mib()
    histories = timed("histories", experiment.histories)
    assert volumes[0] > 0
    return {
        "seconds": {step: seconds[step] for step in STEPS},
        "trials": len(table),
        "finished": int((table["status"] == FINISHED).sum()),
        "on_front": len(chosen),
        "epoch_records": sum(map(len, histories.values())),
        "memory_mib": {
            "before": before,
            "peak_of_table": with_table,
            "peak_with_fronts": for_table,
            "peak_with_histories": _peak_mib(),
        },
    }


def _peak_mib() -> float:
    status = Path("/proc/self/status")
    if status.exists():  # unlike getrusage's, the kernel's own account knows nothing of the parent
        peak_line = next(line for line in status.read_text(encoding="utf-8").splitlines() if line.startswith("VmHWM:"))
        return int(peak_line.split()[1]) / 2**10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def measure(records: int, repeats: int, folder: Path | None) -> dict[str, Any]:
    """Everything that is kept of one run, ready for JSON."""
    cases: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="aggregate-", dir=folder) as scratch:
        for name, write in (("trials", write_trials), ("epochs", write_epochs)):
            started = time.perf_counter()
            write(Path(scratch) / name, records)
            _progress(f"{name}: written in {time.perf_counter() - started:.0f} s")
            runs = []
            for repeat in range(repeats):
                # A fresh process each time: its memory is that of one aggregation.
                with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
                    runs.append(pool.submit(aggregate, Path(scratch) / name).result())
                _progress(f"{name} {repeat + 1}/{repeats}: {sum(runs[-1]['seconds'].values()):.2f} s")
            cases[name] = _summary(runs)
    from benchmarks import machine  # brings torch, whose memory a process started from here would be charged with

    return {
        "benchmark": "aggregate",
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine.describe(),
        "load_after": machine.load_average(),
        "settings": {"records": records, "epochs_per_trial": EPOCHS, "repeats": repeats, "page_cache": "warm"},
        "aim_seconds": AIM_S,
        **cases,
    }


def _summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians and extremes over the runs; counts are the same in all."""
    totals = [sum(run["seconds"].values()) for run in runs]
    return {
        **{key: runs[0][key] for key in ("trials", "finished", "on_front", "epoch_records")},
        "seconds": {step: statistics.median(run["seconds"][step] for run in runs) for step in STEPS},
        "total_seconds": {"median": statistics.median(totals), "min": min(totals), "max": max(totals)},
        "memory_mib": {key: max(run["memory_mib"][key] for run in runs) for key in runs[0]["memory_mib"]},
    }


def report(result: dict[str, Any]) -> str:
    """A result as the text that is printed."""
    from benchmarks import machine

    settings, names = result["settings"], ("trials", "epochs")
    lines = [
        machine.one_line(result["machine"]),
        f"{settings['records']} records, medians of {settings['repeats']}; load {result['load_after']}; "
        f"{result['measured_at']}",
        "",
        f"{'':24}" + "".join(f"{name:>12}" for name in names),
    ]
    for key in ("trials", "finished", "on_front", "epoch_records"):
        lines.append(f"{key:24}" + "".join(f"{result[name][key]:>12}" for name in names))
    for step in STEPS:
        lines.append(f"{step:24}" + "".join(f"{result[name]['seconds'][step]:>10.2f} s" for name in names))
    for key in ("median", "max"):
        lines.append(f"total, {key:17}" + "".join(f"{result[name]['total_seconds'][key]:>10.2f} s" for name in names))
    for key in result[names[0]]["memory_mib"]:
        lines.append(f"{key:20}" + "".join(f"{result[name]['memory_mib'][key]:>12.0f}" for name in names) + " MiB")
    slowest = max(result[name]["total_seconds"]["max"] for name in names)
    lines += ["", f"aim: under {AIM_S:g} s; slowest {slowest:.2f} s: {'met' if slowest < AIM_S else 'missed'}"]
    return "\n".join(lines)


def _progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main(arguments: list[str] | None = None) -> int:
    """Reads the command line, measures, prints, writes the JSON; returns the exit code."""
    parser = argparse.ArgumentParser(prog="aggregate", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--records", type=int, default=100_000, help="records per experiment (default 100000)")
    parser.add_argument("--repeats", type=int, default=3, help="aggregations of each experiment (default 3)")
    parser.add_argument(
        "--folder", type=Path, help="where to write the experiments (default: the system's temporary folder)"
    )
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "aggregate.json")
    options = parser.parse_args(arguments)
    try:
        check_integer("records", options.records, minimum=EPOCHS)
        check_integer("repeats", options.repeats, minimum=1)
        result = measure(options.records, options.repeats, options.folder)
        write_text(options.out, json.dumps(result, indent=2) + "\n")
    except InputError as error:
        print(f"aggregate: {error}", file=sys.stderr)
        return 2
    print(report(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
