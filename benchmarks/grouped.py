"""Times one grouped convolution over several networks against a convolution for each of them.

What several points in one process would do: the networks' images lie side by side in channels, and one convolution with as many
groups as networks takes them. Forwards, to the input and to the weight together, torch's own convolutions, channels last. Shapes
and precision are those of a retraining step of the small presets; the two ways take turns.

    python -m benchmarks grouped --threads 1
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.launches import SMALL
from benchmarks.record import add_repeats, made_on, markdown, progress, seconds, settings
from benchmarks.retrain_step import drawn_genotype
from benchmarks.work import Conv, convolutions
from litesnn.config import Recipe

NETWORKS = (2, 4, 8)


def shape_of(preset: str) -> Conv:
    """The convolution of a retraining step that costs most."""
    recipe = Recipe.preset(preset)
    genotype = drawn_genotype(recipe)
    found = convolutions(recipe, recipe.retrain_channels, genotype, recipe.retrain_batch, genotype.timesteps)
    return max((conv for conv, _ in found), key=lambda conv: conv.flops)


def ways(conv: Conv, networks: int, dtype: torch.dtype) -> dict[str, Callable[[], None]]:
    """By name, one direction forwards and both backwards for all networks."""

    def random(*shape: int) -> Tensor:
        return torch.randn(shape, dtype=dtype).contiguous(memory_format=torch.channels_last)

    def work(inputs: list[Tensor], weights: list[Tensor], arriving: list[Tensor], groups: int) -> Callable[[], None]:
        def call() -> None:
            for x, weight, gradient in zip(inputs, weights, arriving, strict=True):
                out = F.conv2d(x, weight, None, conv.stride, conv.kernel // 2, groups=groups)
                torch.autograd.grad(out, (x, weight), gradient)

        return call

    def tensors(count: int, groups: int) -> tuple[list[Tensor], list[Tensor], list[Tensor], int]:
        inputs = [random(conv.images, groups * conv.inputs, conv.in_height, conv.in_width) for _ in range(count)]
        weights = [random(groups * conv.outputs, conv.inputs, conv.kernel, conv.kernel) for _ in range(count)]
        arriving = [random(conv.images, groups * conv.outputs, conv.height, conv.width) for _ in range(count)]
        return [x.requires_grad_() for x in inputs], [w.requires_grad_() for w in weights], arriving, groups

    return {"separate": work(*tensors(networks, 1)), "grouped": work(*tensors(1, networks))}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Repeats."""
    add_repeats(parser, 7)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Every preset and number of networks."""
    rows = []
    for preset in SMALL:
        conv, precision = shape_of(preset), Recipe.preset(preset).precision
        dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]
        for networks in NETWORKS:
            calls = ways(conv, networks, dtype)
            turns = [{name: seconds(call) for name, call in calls.items()} for _ in range(options.repeats + 1)]
            taken = {name: [turn[name] for turn in turns[1:]] for name in calls}  # the first call chooses algorithms
            rows.append(
                {"preset": preset, "precision": precision, "shape": str(conv), "networks": networks, "seconds": taken}
            )
            progress(f"{preset} {networks}")
    return {"settings": {"repeats": options.repeats, "threads": torch.get_num_threads()}, "rows": rows}


def report(result: dict[str, Any]) -> str:
    """A row for each preset and number of networks."""
    body = []
    for row in result["rows"]:
        medians = {name: statistics.median(times) for name, times in row["seconds"].items()}
        ratios = [one / all_ for one, all_ in zip(row["seconds"]["separate"], row["seconds"]["grouped"], strict=True)]
        cells = [f"{1e3 * medians[name]:.2f} ms" for name in ("separate", "grouped")]
        ratio = f"{medians['separate'] / medians['grouped']:.2f} ({min(ratios):.2f} – {max(ratios):.2f})"
        body.append([f"{row['preset']}, {row['precision']}: {row['shape']}", str(row["networks"]), *cells, ratio])
    table = markdown(["the largest convolution", "networks", "separate", "grouped", "separate / grouped"], body)
    return f"{table}\n\n{settings(result)}.\n\n{made_on(result)}"
