"""Counts what training steps of the paper's CIFAR-10 recipe and of the small presets launch on a GPU; runs without one.

Steps run on fake tensors (``benchmarks.stand_in``), on the plain path and with the kernels of ``litesnn.gpu``. Operations of
convolutions are those of ``benchmarks.work``; bytes are the sizes of whatever each launch reads and writes.

    python -m benchmarks launches
"""

from __future__ import annotations

import argparse
from typing import Any

import torch
from torch import Tensor

from benchmarks.record import markdown, own_process, progress
from benchmarks.retrain_step import drawn_genotype
from benchmarks.sides import random_data
from benchmarks.stand_in import FakeGpu
from benchmarks.work import retrain_work, search_work
from litesnn.config import Recipe, SearchPoint
from litesnn.data.dataset import Dataset
from litesnn.joint_search import Search
from litesnn.retraining import Retrain

Steps = tuple[Search | Retrain, tuple[Tensor, ...]]
"""A run, and what its ``step`` takes."""
POINT = "medium"
WAYS = {"plain": "plain PyTorch", "kernels": "kernels"}
SMALL = ("cifar10-small", "gsc-small", "digits")
"""Presets that are counted with the kernels and in their own precision alone."""


def steps(recipe: Recipe, data: Dataset, x: Tensor, labels: Tensor, device: torch.device) -> dict[str, Steps]:
    """Steps of each phase on the first of these normalised inputs ``[N, C, H, W]`` and labels ``[N]``."""
    search = Search(SearchPoint.named(POINT), recipe, data, device=device)
    retrain = Retrain(drawn_genotype(recipe), recipe, data, device=device)
    for run in (search, retrain):
        run.network.train()
    few = x[: recipe.search_batch], labels[: recipe.search_batch]
    many = x[: recipe.retrain_batch], labels[: recipe.retrain_batch]
    return {"search": (search, few * 2), "retrain": (retrain, many)}


def operations(recipe: Recipe) -> dict[str, int]:
    """Of the convolutions of a step of each phase."""
    return {
        "search": search_work(recipe, SearchPoint.named(POINT).p).flops,
        "retrain": retrain_work(recipe, drawn_genotype(recipe)).flops,
    }


def counted(recipe: Recipe, kernels: bool) -> dict[str, dict[str, Any]]:
    """Runs in a process of its own: launches and bytes of a step of each phase."""
    torch.set_num_threads(1)
    fake, batch = FakeGpu(), max(recipe.search_batch, recipe.retrain_batch)
    data = fake.dataset(random_data(recipe, batch))
    x, labels = fake.move(torch.empty(batch, *recipe.input_shape)), fake.move(torch.empty(batch, dtype=torch.int64))
    found = {}
    for phase, (run, inputs) in fake.build(lambda device: steps(recipe, data, x, labels, device)).items():
        for strict in (False, True):  # the first step may move tables that stay
            with fake.watch(strict=strict, kernels=kernels) as watch:
                run.step(*inputs)
        ours = sum(count for name, count in watch.launches.items() if name.startswith("kernel "))
        most = dict(watch.launches.most_common(12))
        found[phase] = {"launches": watch.launches.total(), "of_kernels": ours, "moved": watch.moved, "most": most}
    return found


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Every step: of the paper's recipe in both precisions and both ways, of the small presets as they are."""
    cases: list[tuple[str, dict[str, Any], str]]
    cases = [("cifar10", {"precision": precision}, way) for precision in ("fp32", "bf16") for way in WAYS]
    rows = []
    for preset, changes, way in [*cases, *((preset, {}, "kernels") for preset in SMALL)]:
        recipe = Recipe.preset(preset, **{"strategy": "darts", **changes})
        progress(f"{preset} {recipe.precision} {way}")
        with own_process() as process:
            found = process.submit(counted, recipe, way == "kernels").result()
        flops = operations(recipe)
        phases = {phase: {**row, "flops": flops[phase]} for phase, row in found.items()}
        rows.append({"preset": preset, "precision": recipe.precision, "way": way, "phases": phases})
    return {"settings": {"point": POINT, "genotype": "drawn by seed"}, "rows": rows}


def report(result: dict[str, Any]) -> str:
    """A row for each step."""
    rows = [
        [
            f"{row['preset']}: {phase} step, {row['precision']}, {WAYS[row['way']]}",
            f"{found['launches']:,}",
            f"{found['flops'] / 1e9:,.1f} GFLOP",
            f"{found['moved'] / 1e9:.2f} GB",
        ]
        for row in result["rows"]
        for phase, found in row["phases"].items()
    ]
    return markdown(["", "launches, counted", "operations, counted", "bytes, counted"], rows)
