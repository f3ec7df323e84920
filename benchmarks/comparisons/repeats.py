"""What comparisons share: their options, and training runs repeated over seeds, each kept as soon as it is finished.

An interrupted command goes on where it was: finished runs are in its record, and an unfinished one has its checkpoint.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

import litesnn
from benchmarks import machine
from benchmarks.record import RESULTS, begin, progress
from litesnn.checks import InputError, check_integer
from litesnn.config import Recipe, SearchPoint
from litesnn.cost import DerivedCost
from litesnn.data import Dataset, load
from litesnn.device import prepare_cpu
from litesnn.files import write_text
from litesnn.genotype import Genotype
from litesnn.options import add_options, exit_code, recipe_from
from litesnn.retraining import RetrainResult

Row = dict[str, Any]

_GROUPS = {name: f"{name} (recipe; what is not given has the preset's value)" for name in ("data", "network")}
_GROUPS |= {name: f"{name} (recipe)" for name in ("training", "search", "retrain")}


def parser(name: str, text: str | None, presets: Sequence[str]) -> argparse.ArgumentParser:
    """The options that comparisons have in common, and one per field of the recipe.

    Args:
        name: of the command.
        text: the module's own text; its first line describes the command.
        presets: those that the comparison has points for.
    """
    made = argparse.ArgumentParser(prog=name, description=(text or "").partition("\n")[0])
    made.add_argument("preset", choices=list(presets), help="the recipe, and with it the data")
    made.add_argument("--seeds", type=int, default=3, help="seeds of everything that is trained (default 3)")
    made.add_argument("--threads", type=int, default=torch.get_num_threads(), help="CPU threads of torch")
    made.add_argument("--data-root", metavar="FOLDER", help="where data sets lie (default: ~/.cache/litesnn)")
    made.add_argument(
        "--work",
        type=Path,
        default=Path(tempfile.gettempdir()) / "litesnn-comparisons",
        metavar="FOLDER",
        help="where checkpoints lie meanwhile",
    )
    made.add_argument("--out", type=Path, default=RESULTS / f"{name}.json", metavar="FILE.json", help="the record")
    add_options(made, Recipe, _GROUPS)
    return made


@dataclass
class Record:
    """The file of a comparison: what it measured on every preset, written after every part.

    Args:
        name: of the comparison.
        options: from ``parser``.
        recipe: of what is trained now.
        result: all that the file holds.
    """

    name: str
    options: argparse.Namespace
    recipe: Recipe
    result: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_integer("seeds", self.options.seeds, minimum=1)
        check_integer("threads", self.options.threads, minimum=1)
        prepare_cpu(self.options.threads)
        before: dict[str, Any] = {}
        if self.options.out.exists():
            try:
                before = json.loads(self.options.out.read_text(encoding="utf-8"))
            except ValueError:
                raise InputError(f"out: expected the record of an earlier run, got {self.options.out}") from None
            if not isinstance(before, dict) or before.get("benchmark") != self.name:
                raise InputError(f"out: expected a record of {self.name}, got {self.options.out}")
        self.result = {**before, **begin(self.name, {"threads": self.options.threads})}
        found = self.result.setdefault("presets", {}).setdefault(self.options.preset, self._empty())
        kept = self._kept_recipe()
        before = {**Recipe().to_dict(), **found["recipe"]}  # a field that came later had its default
        if any(before[name] != value for name, value in kept.items()):
            raise InputError(f"out: expected runs of the same recipe, got those of another one in {self.options.out}")

    def _empty(self) -> dict[str, Any]:
        return {"recipe": self._kept_recipe(), "runs": []}

    def _kept_recipe(self) -> dict[str, Any]:
        """The recipe with the names of folders alone: records are read where the folders are others."""
        values = self.recipe.to_dict()
        for name in ("dataset", "search_dataset"):
            kind, colon, folder = values[name].partition(":")
            values[name] = f"{kind}{colon}{Path(folder).name}" if colon else kind
        return values

    @property
    def here(self) -> dict[str, Any]:
        """What is kept of this preset."""
        part: dict[str, Any] = self.result["presets"][self.options.preset]
        return part

    def start(self, *names: object) -> Path:
        """Where the checkpoints of one run lie, without their ending."""
        self.options.work.mkdir(parents=True, exist_ok=True)
        return Path(self.options.work) / "-".join([self.name, self.options.preset, *map(str, names)])

    def write(self) -> None:
        """Writes the file; what was measured on other presets meanwhile stays."""
        self.result["load_after"] = machine.load_average()
        if self.options.out.exists():
            others = json.loads(self.options.out.read_text(encoding="utf-8"))["presets"]
            self.result["presets"] = {**others, self.options.preset: self.here}
        write_text(self.options.out, json.dumps(self.result, indent=2) + "\n")

    def data(self) -> Dataset:
        """The data of the recipe, searched and retrained alike."""
        return load(self.recipe, data_root=self.options.data_root)

    def complete(self, variants: Sequence[str], train: Callable[[str, int, Dataset], Row]) -> None:
        """Does what is missing of all variants, seed after seed, and keeps every run.

        Args:
            variants: what is compared.
            train: one run of a variant with a seed; returns what is kept of it.
        """
        data: Dataset | None = None
        for seed in range(self.options.seeds):
            for variant in variants:
                if any((row["variant"], row["seed"]) == (variant, seed) for row in self.here["runs"]):
                    continue
                data = self.data() if data is None else data
                started = time.perf_counter()
                row = train(variant, seed, data)
                taken = time.perf_counter() - started
                self.here["runs"].append({"variant": variant, "seed": seed, **row})
                self.write()
                progress(f"{variant}, seed {seed}: {row['test_accuracy']:.2f} % after {taken:.0f} s")


def train_point(point: SearchPoint, recipe: Recipe, data: Dataset, seed: int, start: Path) -> Row:
    """What ``measured`` keeps of ``search_and_retrain``."""
    return measured(search_and_retrain(point, recipe, data, seed, start))


def search_and_retrain(point: SearchPoint, recipe: Recipe, data: Dataset, seed: int, start: Path) -> RetrainResult:
    """One search and one retraining, continued from checkpoints that begin with ``start``."""
    found = litesnn.search(point, recipe, dataset=data, seed=seed, checkpoint=start.with_name(f"{start.name}.search"))
    return _retrain(found.genotype, recipe, data, seed, start)


def train_genotype(genotype: Genotype, recipe: Recipe, data: Dataset, seed: int, start: Path) -> Row:
    """One retraining, continued from a checkpoint that begins with ``start``."""
    return measured(_retrain(genotype, recipe, data, seed, start))


def _retrain(genotype: Genotype, recipe: Recipe, data: Dataset, seed: int, start: Path) -> RetrainResult:
    checkpoint = start.with_name(f"{start.name}.retrain")
    return litesnn.retrain(genotype, recipe, dataset=data, seed=seed, checkpoint=checkpoint)


def measured(trained: RetrainResult) -> Row:
    """What is kept of a retrained network: accuracies in percent, and what ``measured_cost`` gives."""
    accuracies = {"test_accuracy": trained.test_accuracy, "val_accuracy": trained.val_accuracy}
    return {**accuracies, **measured_cost(trained.cost, trained.model.genotype)}


def measured_cost(cost: DerivedCost, genotype: Genotype) -> Row:
    """Size in bits, operations per sample, and the genotype."""
    return {
        "model_size_bits": cost.model_size_bits,
        "bit_synops": cost.bit_synops,
        "additions": cost.additions,
        "multiplications": cost.multiplications,
        "ann_operations": cost.ann_operations,
        "bits": list(genotype.bits),
        "timesteps": genotype.timesteps,
        "genotype": json.loads(genotype.to_json()),
    }


def of_variant(runs: Sequence[Row], variant: str) -> list[Row]:
    """The runs of one variant, by seed."""
    return sorted((row for row in runs if row["variant"] == variant), key=lambda row: row["seed"])


def by_variant(runs: Sequence[Row], variants: Sequence[str]) -> Iterator[tuple[str, list[Row]]]:
    """Those variants that have runs, with them."""
    for variant in variants:
        rows = of_variant(runs, variant)
        if rows:
            yield variant, rows


def mean_text(values: Sequence[float], form: str) -> str:
    """``97.03 ± 0.41``: mean and sample standard deviation; the value alone where there is one."""
    mean = format(statistics.mean(values), form)
    return f"{mean} ± {format(statistics.stdev(values), form)}" if len(values) > 1 else mean


def paired(runs: Sequence[Row], first: str, second: str, key: str) -> list[float]:
    """``second``'s value less ``first``'s, for every seed that both have."""
    values = {row["seed"]: row[key] for row in of_variant(runs, first)}
    return [row[key] - values[row["seed"]] for row in of_variant(runs, second) if row["seed"] in values]


def presets_of(result: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and content of each preset in a record."""
    yield from result["presets"].items()


def run_command(
    name: str,
    options: argparse.Namespace,
    work: Callable[[Record], None],
    report: Callable[[dict[str, Any]], str],
) -> int:
    """Opens the record, does the work, prints the report; returns the exit code."""

    def run() -> None:
        record = Record(name, options, recipe_from(options))
        work(record)
        record.write()
        print(report(record.result))

    return exit_code(run, name)
