"""What each ingredient of a small preset's training is worth: the recipe without it, at equal seconds of one network.

Every run trains the same hand-written cell, 2 bits in every cell, nothing pruned, for the same processor seconds: each variant gets as
many epochs as its own steps allow, timed in turns with all others before the first run. Variants are the
preset, the preset less one ingredient (its fields as in the paper's recipe or, where that cannot learn in so short a time, as in the
preset before), the preset with what is off in it, and the preset before. The validation split decides; the test split is reported.

    python -m benchmarks recipe cifar10-small --dataset folder:CIFAR10 --seconds 60 --seeds 3 --threads 1
"""

from __future__ import annotations

import math
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import litesnn
from benchmarks.comparisons.pictures import draw_ingredients
from benchmarks.comparisons.repeats import (
    Record,
    Row,
    by_variant,
    mean_text,
    measured,
    paired,
    parser,
    presets_of,
    run_command,
)
from benchmarks.record import heading, table
from litesnn.checks import InputError, check_number
from litesnn.config import Recipe
from litesnn.data import Dataset, train_batches
from litesnn.data.split import stratified_split
from litesnn.genotype import Genotype
from litesnn.retraining import Retrain

CELL = (((0, "conv3x3"), (1, "conv3x3")), ((1, "conv3x3"), (2, "skip")))
BITS = 2
NEW, OLD = "the recipe", "the preset before"
BEFORE: dict[str, dict[str, Any]] = {  # what the presets were, where they differ from now
    "cifar10-small": {"widths": (1, 2, 4), "retrain_channels": 24, "retrain_batch": 64, "retrain_lr": 0.1, "cutout": 8},
    "gsc-small": {"widths": (2, 4, 4), "retrain_channels": 16, "retrain_batch": 32, "retrain_lr": 0.1},
    "digits": {"widths": (1, 2, 2), "retrain_channels": 24, "retrain_batch": 30, "retrain_lr": 0.2},
}
INGREDIENTS: dict[str, tuple[str, ...]] = {  # name -> the fields that go back
    "higher learning rate": ("retrain_lr",),
    "warm-up, linear fall": ("schedule", "warmup_share"),
    "Nesterov": ("nesterov",),
    "label smoothing": ("label_smoothing",),
    "logit scale": ("logit_scale",),
    "norm weight": ("norm_weight",),
    "norm not decayed": ("norm_decay",),
    "softer surrogate": ("dspike_b",),
    "alternating flips": ("flip_order",),
    "small reflected crop": ("crop_padding", "crop_border", "cutout"),
    "changes of clips": ("time_shift", "time_stretch", "feature_noise", "time_mask", "feature_mask"),
    "T = 1": (),
    "more cells": ("widths",),
}
PRUNED = 80
BY_SCORES, TWO = f"{PRUNED} % pruned", "less T = 1"
CANDIDATES: dict[str, tuple[str, dict[str, Any]]] = {  # name -> what it is compared with, and its fields
    "T = 2, a loss per timestep": (TWO, {"timestep_loss": 0.5}),
    BY_SCORES: (NEW, {}),
}
COMPARED = {  # name -> what it is compared with; these are, or were, no part of the recipe
    **{name: base for name, (base, _) in CANDIDATES.items()},
    "norm not decayed": NEW,
    f"{BY_SCORES}, by magnitude": BY_SCORES,
    f"{BY_SCORES}, by magnitude, gradually": BY_SCORES,
}
ROUNDS, TOGETHER = 6, 3
"""Turns that the variants take to show how fast they are, and steps in a turn."""
IMAGE = Path(__file__).parents[2] / "docs" / "images"


def variants(recipe: Recipe, preset: str) -> dict[str, Recipe]:
    """The preset, the preset without each ingredient that it has, and the one before."""
    paper = Recipe.preset("gsc" if preset == "gsc-small" else "cifar10").to_dict()
    before = {**paper, "dspike_b": 3.0, **BEFORE[preset]}
    found = {NEW: recipe}
    for name, fields in INGREDIENTS.items():
        without = Recipe.from_dict({**recipe.to_dict(), **{field: before[field] for field in fields}})
        if without != recipe or name == "T = 1":
            found[f"less {name}"] = without
    for name, (_, values) in CANDIDATES.items():
        found[name] = replace(recipe, **values)
    every = {field: before[field] for fields in INGREDIENTS.values() for field in fields}
    found[OLD] = Recipe.from_dict({**recipe.to_dict(), **every, **BEFORE[preset]})
    return found


def genotype(recipe: Recipe, variant: str) -> Genotype:
    """The hand-written network of one timestep, or two, nothing pruned or much, as the variant says."""
    steps = 2 if variant in (OLD, TWO) or variant.startswith("T = 2") else 1
    p = PRUNED if variant.startswith(BY_SCORES) else 0
    return Genotype(nodes=CELL, bits=(BITS,) * recipe.cells, timesteps=steps, p=p)


def step_seconds(chosen: dict[str, Recipe], data: Dataset) -> dict[str, float]:
    """Processor seconds of a training step of every variant: the fastest of some, variants taking turns.

    The fastest, since whatever else the machine does can only slow a step down.
    """
    loops: dict[str, tuple[Retrain, Iterator[tuple[Tensor, Tensor]]]] = {}
    for name, recipe in chosen.items():
        run = Retrain(genotype(recipe, name), recipe, data, device=torch.device("cpu"))
        run.network.train()
        loops[name] = run, _endless(data, recipe)
    fastest = dict.fromkeys(chosen, math.inf)
    for _ in range(ROUNDS):
        for name, (run, batches) in loops.items():
            for _ in range(TOGETHER):
                started = time.process_time()
                run.step(*next(batches))
                fastest[name] = min(fastest[name], time.process_time() - started)
    return fastest


def _endless(data: Dataset, recipe: Recipe) -> Iterator[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    while True:
        yield from train_batches(
            data, data.train, recipe.retrain_batch, recipe, generator, use_cutout=True, drop_last=True
        )


def fitted(recipe: Recipe, data: Dataset, steps: float, seed: int) -> tuple[Recipe, Dataset]:
    """As many epochs, and if that is a fraction as many of the images, as so many steps take."""
    size = min(recipe.retrain_batch, len(data.train))
    samples = max(1.0, steps) * size
    epochs = math.ceil(samples / len(data.train))
    share = samples / epochs / len(data.train)
    if share < 1 - 1 / size:
        kept, _ = stratified_split(data.train.labels, 1 - share, seed)
        data = replace(data, train=data.train.take(kept))
    return replace(recipe, retrain_epochs=epochs), data


def train(record: Record, variant: str, seed: int, data: Dataset) -> Row:
    """One run of a variant; what is kept of it."""
    chosen = variants(record.recipe, record.options.preset)[variant]
    steps = record.here["seconds"] / record.here["step_seconds"][variant]
    shortened, part = fitted(chosen, data, steps, seed)
    started = time.process_time()
    trained = litesnn.retrain(genotype(chosen, variant), shortened, dataset=part, seed=seed)
    used = time.process_time() - started
    extent = {"seconds": round(used, 1), "epochs": shortened.retrain_epochs, "images": len(part.train)}
    return {**measured(trained), **extent, "loss": round(trained.records[-1].loss, 4)}


def report(result: dict[str, Any]) -> str:
    """The stored record as a table: accuracy of every variant, and what its ingredient is worth, seed by seed."""
    lines = heading(result)
    for preset, found in presets_of(result):
        body = []
        for variant, rows in by_variant(found["runs"], found["variants"]):
            base = COMPARED.get(variant, NEW)
            gains = paired(found["runs"], base, variant, "val_accuracy")
            losses = gains if variant in COMPARED else [-change for change in gains]
            body.append(
                [
                    f"{preset}, {variant}",
                    mean_text([row["val_accuracy"] for row in rows], ".2f"),
                    mean_text([row["test_accuracy"] for row in rows], ".2f"),
                    "" if variant == NEW or not losses else worth(losses),
                    mean_text([row["epochs"] * row["images"] / 1e3 for row in rows], ".0f"),
                    mean_text([row["seconds"] for row in rows], ".0f"),
                    str(len(rows)),
                ]
            )
        columns = ["", "validation %", "test %", "worth, points", "thousand samples", "processor s", "seeds"]
        lines += [*table(columns, body), ""]
    return "\n".join(lines)


def worth(losses: Sequence[float]) -> str:
    """``+1.23 ± 0.45``: mean and standard error of what is lost without the ingredient."""
    mean = format(statistics.mean(losses), "+.2f")
    if len(losses) < 2:
        return mean
    return f"{mean} ± {statistics.stdev(losses) / math.sqrt(len(losses)):.2f}"


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit code."""
    made = parser("recipe", __doc__, list(BEFORE))
    made.add_argument("--seconds", type=float, default=60.0, help="processor seconds of a run's training (default 60)")
    made.add_argument(
        "--image", type=Path, metavar="FILE.png", help="the picture (default: docs/images/recipe-PRESET.png)"
    )
    options = made.parse_args(arguments)

    def work(record: Record) -> None:
        seconds = check_number("seconds", options.seconds, above=0)
        if record.here.setdefault("seconds", seconds) != seconds:
            raise InputError(f"seconds: expected {record.here['seconds']} as in the record, got {seconds}")
        names = list(variants(record.recipe, options.preset))
        record.here["variants"] = names
        timed = record.here.setdefault("step_seconds", {})
        new = {name: r for name, r in variants(record.recipe, options.preset).items() if name not in timed}
        if new:
            timed |= {name: round(value, 5) for name, value in step_seconds(new, record.data()).items()}
        record.complete(names, lambda variant, seed, data: train(record, variant, seed, data))
        image = options.image or IMAGE / f"recipe-{options.preset}.png"
        draw_ingredients(record.here["runs"], names, f"{options.preset}, {seconds:g} s of one core", image)

    return run_command("recipe", options, work, report)


if __name__ == "__main__":
    sys.exit(main())
