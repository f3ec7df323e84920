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
retraining. Other programs slow them down less than the time by the clock, which is kept as well.

    python -m benchmarks sequential digits --seeds 3
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

import litesnn
from benchmarks.comparisons.clock import EpochClock
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
from litesnn.checks import fail
from litesnn.compconv import initial_scores
from litesnn.config import Recipe, SearchPoint
from litesnn.data import Dataset
from litesnn.genotype import Genotype
from litesnn.held import Held
from litesnn.joint_search import SearchResult

POINTS = {
    "digits": SearchPoint(lambda1=1e-6, lambda2=1e-9, p=50),
    "cifar10-small": SearchPoint(lambda1=1e-6, lambda2=1e-10, p=50),
    "gsc-small": SearchPoint(lambda1=1e-6, lambda2=1e-10, p=50),
    "cifar10": SearchPoint.named("medium"),
}
JOINT, SEQUENTIAL, FULL, TWO = "joint", "sequential", "full-t", "t2"
VARIANTS = JOINT, SEQUENTIAL, FULL, TWO
STAGES = "architecture", "pruning", "quantisation", "timesteps"
COMPARED = {  # key, unit, digits, by what it is divided
    "test_accuracy": ("points of accuracy", ".2f", 1.0),
    "model_size_bits": ("kB", ".3f", 8e3),
    "bit_synops": ("M Bit-SynOps", ".3f", 1e6),
    "design_cpu_seconds": ("CPU s of design", ".1f", 1.0),
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
    """One of the four searches of the sequential design.

    Args:
        point: what the design is for.
        recipe: of the joint search.
        found: what the step before decoded; None before the first.
        index: which step, from 0.

    Returns:
        The point with p = 0 before pruning, the recipe with this step's epochs, and all that the step does not decide.
    """
    assert (found is None) == (index == 0)
    own = replace(recipe, search_epochs=split_epochs(recipe.search_epochs)[index])
    if STAGES[index] == "timesteps":
        own = replace(own, psi_warmup_epochs=0)
    deciding = STAGES[index]
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


@dataclass(frozen=True)
class Searched:
    """What a search, or a step of one, decided, and what it cost."""

    result: SearchResult
    cpu_seconds: float

    @property
    def seconds(self) -> float:
        """The same by the clock."""
        return sum(record.seconds for record in self.result.records)


def one_search(
    point: SearchPoint,
    recipe: Recipe,
    data: Dataset,
    seed: int,
    checkpoint: Path,
    held: Held,
    start: Mapping[str, Tensor] | None = None,
) -> Searched:
    """A search, or what is missing of it; ``checkpoint`` is written after every epoch."""
    clock = EpochClock(checkpoint)
    result = litesnn.search(
        point, recipe, dataset=data, seed=seed, held=held, start=start, checkpoint=checkpoint, on_epoch=clock
    )
    return Searched(result, clock.total(result.records))


def search_in_sequence(point: SearchPoint, recipe: Recipe, data: Dataset, seed: int, start: Path) -> list[Searched]:
    """The four searches, continued from checkpoints that begin with ``start``; the last has decided all."""
    done: list[Searched] = []
    for index, name in enumerate(STAGES):
        before = done[-1].result if done else None
        at, own, held = stages(point, recipe, before.genotype if before else None, index)
        weights = before.weights if before else None
        if name == "pruning" and weights is not None:
            weights = scored(weights)
        done.append(one_search(at, own, data, seed, start.with_name(f"{start.name}.{name}"), held, weights))
    return done


def train(variant: str, point: SearchPoint, recipe: Recipe, data: Dataset, seed: int, start: Path) -> Row:
    """One design by a variant: search, retraining and one test, continued from checkpoints that begin with ``start``."""
    if variant == SEQUENTIAL:
        parts = search_in_sequence(point, recipe, data, seed, start)
    else:
        held = Held(timesteps={JOINT: None, FULL: recipe.timesteps, TWO: 2}[variant])
        parts = [one_search(point, recipe, data, seed, start.with_name(f"{start.name}.search"), held)]
    checkpoint = start.with_name(f"{start.name}.retrain")
    clock = EpochClock(checkpoint)
    genotype = parts[-1].result.genotype
    trained = litesnn.retrain(genotype, recipe, dataset=data, seed=seed, checkpoint=checkpoint, on_epoch=clock)
    searching, retraining = [part.cpu_seconds for part in parts], clock.total(trained.records)
    return {
        **measured(trained),
        "search_epochs": [len(part.result.records) for part in parts],
        "search_cpu_seconds": searching,
        "retrain_cpu_seconds": retraining,
        "design_cpu_seconds": sum(searching) + retraining,
        "search_seconds": [part.seconds for part in parts],
        "retrain_seconds": sum(record.seconds for record in trained.records),
    }


def difference(runs: Sequence[Row], variant: str) -> str:
    """One line: what a variant has more or less than the joint search, over the seeds that both have."""
    parts = []
    for key, (unit, form, divisor) in COMPARED.items():
        values = [change / divisor for change in paired(runs, JOINT, variant, key)]
        text = f"{statistics.mean(values):+{form}}"
        parts.append(f"{text} ± {statistics.stdev(values):{form}} {unit}" if len(values) > 1 else f"{text} {unit}")
    count = len(paired(runs, JOINT, variant, "test_accuracy"))
    return f"{variant} less joint, by seed ({count}): " + ", ".join(parts)


def report(result: dict[str, Any]) -> str:
    """The stored record as a table, mean ± standard deviation, and every variant's differences from the joint search."""
    lines = heading(result)
    for preset, found in presets_of(result):
        body = []
        for variant, rows in by_variant(found["runs"], VARIANTS):
            body.append(
                [
                    f"{preset} {variant}",
                    mean_text([row["test_accuracy"] for row in rows], ".2f"),
                    mean_text([row["model_size_bits"] / 8e3 for row in rows], ".3f"),
                    mean_text([row["bit_synops"] / 1e6 for row in rows], ".3f"),
                    mean_text([statistics.mean(row["bits"]) for row in rows], ".2f"),
                    " ".join(str(row["timesteps"]) for row in rows),
                    "+".join(map(str, rows[0]["search_epochs"])),
                    mean_text([sum(row["search_cpu_seconds"]) for row in rows], ".1f"),
                    mean_text([row["design_cpu_seconds"] for row in rows], ".1f"),
                    str(len(rows)),
                ]
            )
        header = (
            "test % |size kB|Bit-SynOps M|bits, mean of cells|T by seed|search epochs|search CPU s|design CPU s|seeds"
        )
        lines += table(["", *(name.strip() for name in header.split("|"))], body)
        for variant in VARIANTS[1:]:
            if paired(found["runs"], JOINT, variant, "test_accuracy"):
                lines.append(difference(found["runs"], variant))
        lines.append("")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit code."""
    made = parser("sequential", __doc__, list(POINTS))
    made.add_argument(
        "--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS), help="which to train (default: all)"
    )
    options = made.parse_args(arguments)

    def work(record: Record) -> None:
        recipe = record.recipe
        if SEQUENTIAL in options.variants:
            split_epochs(recipe.search_epochs)  # before anything is trained
        if TWO in options.variants:
            Held(timesteps=2).check_fits(recipe)
        record.complete(
            options.variants,
            lambda variant, seed, data: train(
                variant, POINTS[options.preset], recipe, data, seed, record.start(variant, seed)
            ),
        )

    return run_command("sequential", options, work, report)


if __name__ == "__main__":
    sys.exit(main())
