"""Table 4: joint against sequential optimisation, and the joint search with and without its search for timesteps.

Sequential optimisation takes the paper's four steps one after the other: architecture, pruning, quantisation, timesteps. Each
is a search by the same parts: supernet, losses with λ1 and λ2, data, optimisers and their rates, a cosine schedule of the
weights from its start to its end. The steps share the epochs that the joint search has, evenly; what is left over goes to the first
ones. Weights are carried on, and a step keeps what the ones before have decided.

What no step has decided yet is uncompressed: p = 0, the largest bit-width, all timesteps. That is what designing in sequence
means, first a good network and then a smaller one; a mixture of all candidates would let later steps into earlier ones. Pruning
starts with scores from the weights that it finds, by the rule that gives a new network its scores from its random ones. The
last step has no warm-up of ψ, which is there for weights that have not been trained.

``full-t`` and ``t2`` are joint searches whose T is given: the recipe's largest, and 2. All networks are retrained alike. The
cost of a design is all that it takes from scratch: epochs and CPU seconds, on all threads together, of the search and of
retraining. Other programs slow them down less than the time by the clock.

    python -m benchmarks sequential digits --seeds 3
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor

import litesnn
from benchmarks.comparisons.repeats import COSTS, POINTS, TEST, Record, Row, mean_of, mean_text, measured, paired
from litesnn.checks import fail
from litesnn.compconv import initial_scores
from litesnn.config import Recipe, SearchPoint
from litesnn.data import Dataset
from litesnn.genotype import Genotype
from litesnn.held import Held
from litesnn.joint_search import SearchResult

PRESETS = tuple(POINTS)
JOINT, SEQUENTIAL, FULL, TWO = "joint", "sequential", "full-t", "t2"
VARIANTS = JOINT, SEQUENTIAL, FULL, TWO
STAGES = "architecture", "pruning", "quantisation", "timesteps"
COMPARED = {  # key, unit, digits, by what it is divided
    "test_accuracy": ("points of accuracy", "+.2f", 1.0),
    "model_size_bits": ("kB", "+.3f", 8e3),
    "bit_synops": ("M Bit-SynOps", "+.3f", 1e6),
    "design_cpu_seconds": ("CPU s of design", "+.1f", 1.0),
}
COLUMNS = {
    **TEST,
    **COSTS,
    "T by seed": lambda rows: " ".join(str(row["timesteps"]) for row in rows),
    "search epochs": lambda rows: "+".join(map(str, rows[0]["search_epochs"])),
    "search CPU s": lambda rows: mean_text([sum(row["search_cpu_seconds"]) for row in rows], ".1f"),
    "design CPU s": mean_of("design_cpu_seconds", ".1f"),
}


def split_epochs(epochs: int) -> tuple[int, ...]:
    """So many epochs over the four steps, as evenly as can be; the first ones get what is left over.

    Raises:
        InputError: there are fewer epochs than steps.
    """
    if epochs < len(STAGES):
        raise fail("search_epochs", f"at least {len(STAGES)}, one for every step", epochs)
    each, more = divmod(epochs, len(STAGES))
    return tuple(each + (index < more) for index in range(len(STAGES)))


def stages(point: SearchPoint, recipe: Recipe, found: Genotype | None, index: int) -> tuple[SearchPoint, Recipe, Held]:
    """One of the four searches of the sequential design, after the one that decoded ``found``.

    Returns:
        The point with p = 0 before pruning, the recipe with this step's epochs, and all that the step does not decide.
    """
    assert (found is None) == (index == 0)
    own, deciding = replace(recipe, search_epochs=split_epochs(recipe.search_epochs)[index]), STAGES[index]
    if deciding == "timesteps":
        own = replace(own, psi_warmup_epochs=0)
    uncompressed = (max(recipe.bit_widths),) * recipe.cells
    held = Held(
        nodes=found.nodes if found else None,
        bits=None if deciding == "quantisation" else found.bits if found else uncompressed,
        timesteps=None if deciding == "timesteps" else recipe.timesteps,
        masks=deciding != "pruning",
    )
    return point if index else replace(point, p=0), own, held


def scored(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A supernet's weights with the scores that a new network of the same weights would have."""
    scores = {name: initial_scores(weights[f"{name[:-6]}weight"]) for name in weights if name.endswith(".scores")}
    return {**weights, **scores}


def search_in_sequence(point: SearchPoint, recipe: Recipe, data: Dataset, seed: int) -> list[SearchResult]:
    """The four searches; the last has decided all."""
    done: list[SearchResult] = []
    for index, name in enumerate(STAGES):
        before = done[-1] if done else None
        at, own, held = stages(point, recipe, before.genotype if before else None, index)
        weights = before.weights if before else None
        if name == "pruning" and weights is not None:
            weights = scored(weights)
        done.append(litesnn.search(at, own, dataset=data, seed=seed, held=held, start=weights))
    return done


def train(record: Record, variant: str, seed: int, data: Dataset) -> Row:
    """One design by a variant: search, retraining and one test."""
    point, recipe, began = POINTS[record.preset], record.recipe, time.process_time()
    if variant == SEQUENTIAL:
        parts = search_in_sequence(point, recipe, data, seed)
    else:
        held = Held(timesteps={JOINT: None, FULL: recipe.timesteps, TWO: 2}[variant])
        parts = [litesnn.search(point, recipe, dataset=data, seed=seed, held=held)]
    searched = time.process_time()
    trained = litesnn.retrain(parts[-1].genotype, recipe, dataset=data, seed=seed)
    ended = time.process_time()
    return {
        **measured(trained),
        "search_epochs": [len(result.records) for result in parts],
        "search_cpu_seconds": [searched - began],
        "retrain_cpu_seconds": ended - searched,
        "design_cpu_seconds": ended - began,
    }


def notes(found: dict[str, Any]) -> list[str]:
    """What each variant has more or less than the joint search, over the seeds that both have."""
    lines = []
    for variant in VARIANTS[1:]:
        changes = {key: paired(found["runs"], JOINT, variant, key) for key in COMPARED}
        if count := len(changes["test_accuracy"]):
            parts = [
                f"{mean_text([change / by for change in changes[key]], form)} {unit}"
                for key, (unit, form, by) in COMPARED.items()
            ]
            lines.append(f"- {variant} less joint, by seed ({count}): {', '.join(parts)}")
    return lines


def add_options(parser: argparse.ArgumentParser) -> None:
    """Which variants."""
    text = "which to train (default: all)"
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS), help=text)


def before(record: Record) -> None:
    """Refuses what cannot be searched before anything is trained."""
    if SEQUENTIAL in record.options.variants:
        split_epochs(record.recipe.search_epochs)
    if TWO in record.options.variants:
        Held(timesteps=2).check_fits(record.recipe)
