"""Whether bf16 costs accuracy: the same searches and retrainings in both precisions, over several seeds.

``digits`` runs by its full preset. ``cifar10-small`` is shortened, so that a run takes minutes: 10,000 of the 50,000
training images (1,000 of them for validation), 2 epochs of search and 6 of retraining; the test split is whole. It needs
the images: ``--cifar10 folder:PATH``, or ``--cifar10 cifar10`` where the data set has been downloaded.

Every finished run is kept at once, and an unfinished one goes on from its last epoch: repeat the command after an
interruption. Accuracies depend on rounding from the first step on, so two runs of one seed are as different as two seeds.

    python -m benchmarks.precision digits
    python -m benchmarks.precision cifar10-small --cifar10 folder:PATH
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import litesnn
from benchmarks import machine
from benchmarks.record import RESULTS, heading, progress, table
from litesnn.checks import InputError, check_integer
from litesnn.config import Recipe, SearchPoint
from litesnn.data import Dataset, load, stratified_split
from litesnn.device import prepare_cpu
from litesnn.files import write_text

PRECISIONS = "fp32", "bf16"
POINTS = {
    "digits": SearchPoint(lambda1=1e-6, lambda2=1e-9, p=50),
    "cifar10-small": SearchPoint(lambda1=1e-6, lambda2=1e-10, p=50),
}
SHORTENED = {"search_epochs": 2, "retrain_epochs": 6}
IMAGES = 10_000


def shortened(data: Dataset) -> Dataset:
    """``IMAGES`` images for training and validation, as many of every class."""
    share = IMAGES / (len(data.train) + len(data.val))
    train, val = (split.take(stratified_split(split.labels, share, 0)[1]) for split in (data.train, data.val))
    return Dataset.build(data.name, data.classes, train, val, data.test)


def run(name: str, recipe: Recipe, data: Dataset, seed: int, device: str, work: Path) -> dict[str, Any]:
    """One search and one retraining, continued from checkpoints in ``work``.

    Returns:
        Accuracies in percent, bits, T, and the median seconds of an epoch of both phases.
    """
    work.mkdir(parents=True, exist_ok=True)
    start = work / f"{name}-{recipe.precision}-{seed}"
    settings: dict[str, Any] = {"dataset": data, "seed": seed, "device": device}
    found = litesnn.search(POINTS[name], recipe, checkpoint=start.with_suffix(".search"), **settings)
    trained = litesnn.retrain(found.genotype, recipe, checkpoint=start.with_suffix(".retrain"), **settings)
    return {
        "test_accuracy": trained.test_accuracy,
        "val_accuracy": trained.records[-1].val_accuracy,
        "bits": list(found.genotype.bits),
        "timesteps": found.genotype.timesteps,
        "search_seconds": statistics.median(record.seconds for record in found.records),
        "retrain_seconds": statistics.median(record.seconds for record in trained.records),
    }


def report(result: dict[str, Any]) -> str:
    """The stored record as a table: mean and deviation of the test accuracy, and the difference of the precisions."""
    lines = heading(result)
    for name, rows in result["runs"].items():
        body, of = [], {}
        for precision in PRECISIONS:
            found = [row for row in rows if row["precision"] == precision]
            of[precision] = [row["test_accuracy"] for row in found]
            if len(found) < 2:
                continue
            body.append(
                [
                    f"{name} {precision}",
                    f"{statistics.mean(of[precision]):.2f} %",
                    f"{statistics.stdev(of[precision]):.2f}",
                    " ".join(f"{value:.2f}" for value in of[precision]),
                    f"{statistics.median(row['search_seconds'] for row in found):.2f}",
                    f"{statistics.median(row['retrain_seconds'] for row in found):.2f}",
                ]
            )
        header = ["", "test accuracy", "deviation", "by seed", "s per search epoch", "s per retraining epoch"]
        lines += table(header, body)
        if all(len(values) > 1 for values in of.values()):
            lines += [difference(of["fp32"], of["bf16"]), ""]
    return "\n".join(lines)


def difference(fp32: list[float], bf16: list[float]) -> str:
    """One line: bf16's mean less fp32's, beside what seeds alone make of such a difference."""
    found = statistics.mean(bf16) - statistics.mean(fp32)
    error = math.sqrt(statistics.variance(fp32) / len(fp32) + statistics.variance(bf16) / len(bf16))
    spread = max(max(values) - min(values) for values in (fp32, bf16))
    verdict = "within" if abs(found) <= spread else "OUTSIDE"
    return f"bf16 less fp32: {found:+.2f} ± {error:.2f} points, {verdict} the spread of the seeds ({spread:.2f})"


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit code."""
    made = argparse.ArgumentParser(prog="precision", description=(__doc__ or "").partition("\n")[0])
    made.add_argument("data", nargs="+", choices=list(POINTS), help="what to train")
    made.add_argument("--seeds", type=int, default=3, help="seeds of each precision (default 3)")
    made.add_argument("--threads", type=int, default=2, help="CPU threads of torch (default 2)")
    made.add_argument("--device", default="cpu", help="cpu, cuda, cuda:N or auto (default cpu)")
    made.add_argument("--cifar10", default="cifar10", help="folder:PATH or cifar10 (default)")
    made.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "litesnn-precision")
    made.add_argument("--out", type=Path, default=RESULTS / "precision.json")
    options = made.parse_args(arguments)
    try:
        check_integer("seeds", options.seeds, minimum=1)
        prepare_cpu(options.threads)
        result = json.loads(options.out.read_text()) if options.out.exists() else {"benchmark": "precision", "runs": {}}
        for name in options.data:
            _runs(name, options, result)
    except InputError as error:
        print(f"precision: {error}", file=sys.stderr)
        return 2
    print(report(result))
    return 0


def _runs(name: str, options: argparse.Namespace, result: dict[str, Any]) -> None:
    """Those runs of one data set that are not in ``result`` yet; the file is written after each."""
    small = name == "cifar10-small"
    overrides = {**SHORTENED, "dataset": options.cifar10} if small else {}
    data: Dataset | None = None
    rows = result["runs"].setdefault(name, [])
    for seed in range(options.seeds):
        for precision in PRECISIONS:
            if any((row["precision"], row["seed"]) == (precision, seed) for row in rows):
                continue
            recipe = Recipe.preset(name, precision=precision, **overrides)
            if data is None:
                data = load(recipe, device=options.device)
                data = shortened(data) if small else data
            load_before, started = machine.load_average(), time.perf_counter()
            row = run(name, recipe, data, seed, options.device, options.work)
            rows.append({"precision": precision, "seed": seed, **row})
            rows.sort(key=lambda row: (row["seed"], row["precision"]))
            result.update(
                machine=machine.describe(),
                settings={"seeds": options.seeds},
                load_before=load_before,
                load_after=machine.load_average(),
                measured_at=time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime()),
            )
            write_text(options.out, json.dumps(result, indent=2) + "\n")
            taken = time.perf_counter() - started
            progress(f"{name} {precision} seed {seed}: {row['test_accuracy']:.2f} % after {taken:.0f} s")


if __name__ == "__main__":
    sys.exit(main())
