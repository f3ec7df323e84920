"""What comparisons share: training runs of several variants, repeated over seeds, each kept as soon as it is finished.

A comparison is a module with ``PRESETS``; ``VARIANTS``; ``train(record, variant, seed, data)``, one run of a variant, which returns
what is kept of it; ``COLUMNS``, what its table says of the runs of one variant; and ``notes(runs)``, lines under the table. It may
have options (``add_options``) and look at them before anything is trained (``before(record)``). An interrupted command goes on
where it was: finished runs are in its record.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

import litesnn
from benchmarks import machine
from benchmarks.record import RESULTS, begin, first_line, made_on, markdown, progress, show
from litesnn.checks import InputError, check_integer
from litesnn.config import Recipe, SearchPoint
from litesnn.data import Dataset, load
from litesnn.device import prepare_cpu
from litesnn.files import write_text
from litesnn.options import add_options, exit_code, recipe_from
from litesnn.retraining import RetrainResult

Row = dict[str, Any]
Column = Callable[[Sequence[Row]], str]
POINTS = {
    "digits": SearchPoint(lambda1=1e-6, lambda2=1e-9, p=50),
    "cifar10-small": SearchPoint(lambda1=1e-6, lambda2=1e-10, p=50),
    "gsc-small": SearchPoint(lambda1=1e-6, lambda2=1e-10, p=50),
    "cifar10": SearchPoint.named("medium"),
}
_GROUPS = {name: f"{name} (recipe)" for name in ("data", "network", "training", "search", "retrain")}


def run(module: ModuleType, arguments: Sequence[str]) -> int:
    """The command of a comparison; returns its exit code."""
    name = module.__name__.rpartition(".")[2]
    made = argparse.ArgumentParser(prog=name, description=first_line(module))
    made.add_argument("preset", choices=list(module.PRESETS), help="the recipe, and with it the data")
    made.add_argument("--seeds", type=int, default=3, help="seeds of everything that is trained (default 3)")
    made.add_argument("--threads", type=int, default=torch.get_num_threads(), help="CPU threads of torch")
    made.add_argument("--data-root", metavar="FOLDER", help="where data sets lie (default: ~/.cache/litesnn)")
    made.add_argument("--out", type=Path, default=RESULTS / f"{name}.json", metavar="FILE.json", help="the record")
    if hasattr(module, "add_options"):
        module.add_options(made)
    add_options(made, Recipe, _GROUPS)
    options = made.parse_args(arguments)

    def compare() -> None:
        record = Record(name, options, recipe_from(options))
        if hasattr(module, "before"):
            module.before(record)
        record.complete(getattr(options, "variants", module.VARIANTS), module.train)
        record.write()
        show(report(module, record.result))

    return exit_code(compare, name)


class Record:
    """The file of a comparison: what it measured on every preset, written after every run."""

    def __init__(self, name: str, options: argparse.Namespace, recipe: Recipe) -> None:
        self.name, self.options, self.recipe, self.preset = name, options, recipe, str(options.preset)
        for count in ("seeds", "threads"):
            check_integer(count, getattr(options, count), minimum=1)
        prepare_cpu(options.threads)
        settings = {"settings": {"threads": options.threads}}
        self.result: dict[str, Any] = {"presets": {}, **self._before(), **begin(name), **settings}
        # Names of folders alone: records are read where the folders are others.
        kept = recipe.to_dict()
        for field in ("dataset", "search_dataset"):
            kind, colon, folder = kept[field].partition(":")
            kept[field] = f"{kind}{colon}{Path(folder).name}" if colon else kind
        self.here: dict[str, Any] = self.result["presets"].setdefault(self.preset, {"recipe": kept, "runs": []})
        before = {**Recipe().to_dict(), **self.here["recipe"]}  # a field that came later had its default
        if any(before[field] != value for field, value in kept.items()):
            raise InputError(f"out: expected runs of the same recipe, got those of another one in {options.out}")

    def _before(self) -> dict[str, Any]:
        if not self.options.out.exists():
            return {}
        try:
            found: Any = json.loads(self.options.out.read_text(encoding="utf-8"))
        except ValueError:
            found = None
        if not isinstance(found, dict) or found.get("benchmark") != self.name:
            raise InputError(f"out: expected a record of {self.name}, got {self.options.out}")
        return found

    def write(self) -> None:
        """Writes the file; what was measured on other presets meanwhile stays."""
        self.result["load_after"] = machine.load_average()
        others = self._before().get("presets", {})
        self.result["presets"] = {**others, self.preset: self.here}
        write_text(self.options.out, json.dumps(self.result, indent=2) + "\n")

    def complete(self, variants: Sequence[str], train: Callable[[Record, str, int, Dataset], Row]) -> None:
        """Does what is missing of all variants, seed after seed, and keeps every run."""
        data: Dataset | None = None
        done = {(row["variant"], row["seed"]) for row in self.here["runs"]}
        for seed in range(self.options.seeds):
            for variant in variants:
                if (variant, seed) in done:
                    continue
                data = data or load(self.recipe, data_root=self.options.data_root)
                started = time.perf_counter()
                row = train(self, variant, seed, data)
                self.here["runs"].append({"variant": variant, "seed": seed, **row})
                self.write()
                taken = time.perf_counter() - started
                progress(f"{variant}, seed {seed}: {row['test_accuracy']:.2f} % after {taken:.0f} s")


def train_point(point: SearchPoint, recipe: Recipe, data: Dataset, seed: int) -> Row:
    """One search and one retraining."""
    found = litesnn.search(point, recipe, dataset=data, seed=seed)
    return measured(litesnn.retrain(found.genotype, recipe, dataset=data, seed=seed))


def measured(trained: RetrainResult) -> Row:
    """What is kept of a retrained network: accuracies in percent, size in bits, operations per sample, and the genotype."""
    cost, genotype = trained.cost, trained.model.genotype
    counts = "model_size_bits bit_synops additions multiplications ann_operations".split()
    return {
        "test_accuracy": trained.test_accuracy,
        "val_accuracy": trained.val_accuracy,
        **{name: getattr(cost, name) for name in counts},
        "bits": list(genotype.bits),
        "timesteps": genotype.timesteps,
        "genotype": json.loads(genotype.to_json()),
    }


def of_variant(runs: Sequence[Row], variant: str) -> list[Row]:
    """The runs of one variant, by seed."""
    return sorted((row for row in runs if row["variant"] == variant), key=lambda row: row["seed"])


def paired(runs: Sequence[Row], first: str, second: str, key: str) -> list[float]:
    """``second``'s value less ``first``'s, for every seed that both have."""
    values = {row["seed"]: row[key] for row in of_variant(runs, first)}
    return [row[key] - values[row["seed"]] for row in of_variant(runs, second) if row["seed"] in values]


def mean_text(values: Sequence[float], form: str) -> str:
    """``97.03 ± 0.41``: mean and sample standard deviation; the value alone where there is one."""
    mean = format(statistics.mean(values), form)
    return f"{mean} ± {format(statistics.stdev(values), form.removeprefix('+'))}" if len(values) > 1 else mean


def mean_of(key: str, form: str, unit: float = 1.0) -> Column:
    """A column: mean and deviation of a figure, divided by its unit."""
    return lambda rows: mean_text([row[key] / unit for row in rows], form)


TEST = {"test %": mean_of("test_accuracy", ".2f")}
COSTS = {
    "size kB": mean_of("model_size_bits", ".3f", 8e3),
    "Bit-SynOps M": mean_of("bit_synops", ".3f", 1e6),
    "bits, mean of cells": lambda rows: mean_text([statistics.mean(row["bits"]) for row in rows], ".2f"),
}


def report(module: ModuleType, result: dict[str, Any]) -> str:
    """The stored record: for each preset a row for each variant that has runs, and the notes."""
    parts = []
    for preset, found in result["presets"].items():
        rows = []
        for variant in module.VARIANTS:
            if runs := of_variant(found["runs"], variant):
                cells = [column(runs) for column in module.COLUMNS.values()]
                rows.append([f"{preset} {variant}", *cells, str(len(runs))])
        table = markdown(["", *module.COLUMNS, "seeds"], rows)
        parts += [table, "\n".join(module.notes(found))]
    return "\n\n".join([*(part for part in parts if part), made_on(result)])
