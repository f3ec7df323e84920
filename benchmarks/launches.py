"""Counts what a training step launches on a GPU, and estimates the paper's CIFAR-10 recipe on an H100; runs without one.

Steps run on fake tensors (``benchmarks.stand_in``), on the plain path and with the kernels of ``litesnn.gpu``. Operations of
convolutions are those of ``benchmarks.work``; bytes are the sizes of whatever each launch reads and writes. From these an
estimate is made, with assumed shares of the chip's data sheet; nothing here is a measurement of a GPU.

    python -m benchmarks launches
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from typing import Any

import torch

from benchmarks.record import begin, command, heading, own_process, parser, progress, table
from benchmarks.retrain_step import drawn_genotype
from benchmarks.sides import random_data
from benchmarks.stand_in import FakeGpu, Watch
from benchmarks.targets import markdown
from benchmarks.work import retrain_work, search_work
from litesnn.config import Recipe, SearchPoint
from litesnn.joint_search import Search
from litesnn.retraining import Retrain

POINT = "medium"
TRAINING_IMAGES, VALIDATION_IMAGES = 45_000, 5_000
PHASES = ("search", "retrain")


@dataclass(frozen=True, kw_only=True)
class Chip:
    """What an estimate takes a GPU to do.

    Args:
        name: of the chip.
        tflops: dense products by precision, 1e12 operations a second, from the data sheet; fp32 convolutions use TF32, as torch does.
        terabytes: memory, 1e12 bytes a second, from the data sheet.
        product_share: assumed share of the products' rate that convolutions reach.
        memory_share: assumed share of the memory's rate.
        launch_microseconds: assumed time of the host per launch, Python and autograd included.
    """

    name: str
    tflops: dict[str, float]
    terabytes: float
    product_share: float
    memory_share: float
    launch_microseconds: float


H100 = Chip(
    name="H100 SXM",
    tflops={"fp32": 494.7, "bf16": 989.4},
    terabytes=3.35,
    product_share=0.3,
    memory_share=0.6,
    launch_microseconds=10.0,
)


def step_seconds(chip: Chip, precision: str, flops: float, moved: float, launches: int) -> dict[str, float]:
    """Estimated seconds of a step: products, then memory, and the host beside them; the longer of both sides counts.

    Args:
        chip: what is assumed.
        precision: ``fp32`` or ``bf16``.
        flops: operations of all convolutions.
        moved: bytes that all launches read and write.
        launches: how many.
    """
    products = flops / (chip.tflops[precision] * 1e12 * chip.product_share)
    memory = moved / (chip.terabytes * 1e12 * chip.memory_share)
    host = launches * chip.launch_microseconds * 1e-6
    return {"products": products, "memory": memory, "host": host, "step": max(products + memory, host)}


def recipe_hours(recipe: Recipe, seconds: dict[str, float]) -> dict[str, float]:
    """Estimated hours of search, retraining and both, from seconds per step.

    A validation image is taken to cost a third of a training image, its forward pass.

    Args:
        recipe: epochs and batches.
        seconds: of a step, by phase.
    """
    hours = {}
    for phase, epochs, batch in (
        ("search", recipe.search_epochs, recipe.search_batch),
        ("retrain", recipe.retrain_epochs, recipe.retrain_batch),
    ):
        steps = TRAINING_IMAGES // batch + VALIDATION_IMAGES / batch / 3
        hours[phase] = epochs * steps * seconds[phase] / 3600
    return {**hours, "both": sum(hours.values())}


def counted(precision: str, kernels: bool) -> dict[str, dict[str, Any]]:
    """Runs in a process of its own: launches and bytes of a step of each phase of the paper's recipe."""
    torch.set_num_threads(1)
    fake, recipe = FakeGpu(), _recipe(precision)
    data = random_data(recipe, recipe.retrain_batch)
    point, genotype = SearchPoint.named(POINT), drawn_genotype(recipe)
    search = fake.build(lambda device: Search(point, recipe, fake.dataset(data), device=device))
    retrain = fake.build(lambda device: Retrain(genotype, recipe, fake.dataset(data), device=device))
    x = fake.move(torch.empty(recipe.retrain_batch, *recipe.input_shape))
    labels = fake.move(torch.empty(recipe.retrain_batch, dtype=torch.int64))
    few = x[: recipe.search_batch], labels[: recipe.search_batch]
    found = {}
    for phase in PHASES:
        run: Search | Retrain = search if phase == "search" else retrain
        run.network.train()
        for strict in (False, True):  # the first step may move tables that stay
            with fake.watch(strict=strict, kernels=kernels) as watch:
                if isinstance(run, Search):
                    run.step(*few, *few)
                else:
                    run.step(x, labels)
        found[phase] = _row(watch)
    return found


def _recipe(precision: str) -> Recipe:
    return replace(Recipe.preset("cifar10"), precision=precision)  # type: ignore[arg-type]


def _row(watch: Watch) -> dict[str, Any]:
    ours = {name: count for name, count in watch.launches.items() if name.startswith("kernel ")}
    return {"launches": watch.count, "of_kernels": sum(ours.values()), "moved": watch.moved, "most": dict(watch.launches.most_common(12))}  # fmt: skip


def measure() -> dict[str, Any]:
    """Everything that is kept of a run, ready for JSON."""
    result = begin("launches", {"preset": "cifar10", "point": POINT, "genotype": "drawn by seed"})
    result["chip"] = vars(H100)
    result["rows"] = []
    for precision in ("fp32", "bf16"):
        recipe = _recipe(precision)
        flops = {
            "search": search_work(recipe, SearchPoint.named(POINT).p).flops,
            "retrain": retrain_work(recipe, drawn_genotype(recipe)).flops,
        }
        for way in ("plain", "kernels"):
            progress(f"{precision} {way}")
            with own_process() as process:
                found = process.submit(counted, precision, way == "kernels").result()
            seconds = {}
            for phase in PHASES:
                row = found[phase]
                row["flops"] = flops[phase]
                row["estimated_seconds"] = step_seconds(H100, precision, flops[phase], row["moved"], row["launches"])
                seconds[phase] = row["estimated_seconds"]["step"]
            hours = recipe_hours(recipe, seconds)
            result["rows"].append({"precision": precision, "way": way, "phases": found, "estimated_hours": hours})
    return result


def report(result: dict[str, Any]) -> str:
    """A result as the text that is printed."""
    lines = heading(result)
    header = ["", "launches", "of ours", "of plain", "TFLOP", "GB", "products", "memory", "host", "step, estimated"]
    rows = []
    for row in result["rows"]:
        for phase, found in row["phases"].items():
            plain = next(r for r in result["rows"] if r["precision"] == row["precision"] and r["way"] == "plain")
            seconds = found["estimated_seconds"]
            rows.append([
                f"{phase}, {row['precision']}, {row['way']}",
                str(found["launches"]),
                str(found["of_kernels"]),
                f"{found['launches'] / plain['phases'][phase]['launches']:.3f}",
                f"{found['flops'] / 1e12:.2f}",
                f"{found['moved'] / 1e9:.1f}",
                *(f"{1e3 * seconds[part]:.1f} ms" for part in ("products", "memory", "host", "step")),
            ])  # fmt: skip
    lines += table(header, rows)
    lines += ["", "the whole recipe, estimated"]
    rows = [
        [f"{row['precision']}, {row['way']}", *(f"{row['estimated_hours'][part]:.2f} h" for part in (*PHASES, "both"))]
        for row in result["rows"]
    ]
    return "\n".join([*lines, *table(["", *PHASES, "both"], rows)])


def page_tables(result: dict[str, Any]) -> str:
    """The two tables of docs/gpu.md."""
    rows = [
        [
            f"{phase} step, {row['precision']}, {'kernels' if row['way'] == 'kernels' else 'plain PyTorch'}",
            f"{found['launches']:,}",
            f"{found['flops'] / 1e12:.2f} TFLOP",
            f"{found['moved'] / 1e9:.1f} GB",
            *(f"{1e3 * found['estimated_seconds'][part]:.1f} ms" for part in ("products", "memory", "host", "step")),
        ]
        for row in result["rows"]
        for phase, found in row["phases"].items()
    ]
    header = ["", "launches, counted", "operations, counted", "bytes, counted", "products, estimated"]
    header += ["memory, estimated", "host, estimated", "step, estimated"]
    hours = [
        [
            f"{row['precision']}, {'kernels' if row['way'] == 'kernels' else 'plain PyTorch'}",
            *(f"{row['estimated_hours'][part]:.1f} h" for part in (*PHASES, "both")),
        ]
        for row in result["rows"]
    ]
    recipe = markdown(["the paper's CIFAR-10 recipe, estimated", "search", "retraining", "both"], hours)
    return f"{markdown(header, rows)}\n\n{recipe}"


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit code."""
    options = parser("launches", __doc__, repeats=1).parse_args(arguments)
    return command(options, measure, report)


if __name__ == "__main__":
    sys.exit(main())
