"""How much of a GPU a trial gets where no option says it: as many trials share one as keep it busy."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from litesnn.config import Recipe
from litesnn.layout import cell_shapes

HOST_PER_NODE = 200e-6
"""Seconds that the host needs to start a training step, per node of each cell: about 20 launches of 10 µs."""
GPU_PER_NEURON = 60e-12
"""Seconds that a large GPU needs for a training step, per neuron and timestep: about 120 bytes at 2 TB/s."""
MOST = 8
"""From here on launches alone keep a GPU busy, if each takes it more than an eighth of what it takes the host."""


def step_seconds(recipe: Recipe) -> tuple[float, float]:
    """Estimated seconds of a retraining step for the host and for the GPU; docs/gpu.md has the arithmetic."""
    height, width = recipe.input_shape[1:]
    shapes = cell_shapes(recipe, recipe.retrain_channels)
    neurons = recipe.retrain_channels * height * width  # the stem's
    neurons += sum(recipe.nodes * shape.node_channels * shape.height * shape.width for shape in shapes)
    host = HOST_PER_NODE * recipe.nodes * len(shapes)
    return host, GPU_PER_NEURON * recipe.retrain_batch * recipe.timesteps * neurons


def trials_per_gpu(recipe: Recipe) -> int:
    """How many trials keep a GPU busy: the host's time for a training step over the GPU's, 1 to ``MOST``.

    Args:
        recipe: the widest of the experiment.
    """
    host, gpu = step_seconds(recipe)
    return min(max(math.ceil(host / gpu), 1), MOST)


def gpu_share(recipe: Recipe, nodes: Iterable[Mapping[str, float]], cpus_per_trial: int) -> float:
    """The share of a GPU for each trial, so that no more of them share one than have CPUs of their own; 0 without a GPU.

    Args:
        recipe: the widest of the experiment.
        nodes: per node of the cluster its amounts of ``CPU`` and ``GPU``.
        cpus_per_trial: CPUs of a trial.

    Returns:
        1/n, rounded down to the four digits that Ray counts with, so that n trials fit.
    """
    with_gpus = [node for node in nodes if node.get("GPU", 0) >= 1]
    if not with_gpus:
        return 0.0
    fed = max(int(node.get("CPU", 0) / (node["GPU"] * cpus_per_trial)) for node in with_gpus)
    return 10_000 // min(trials_per_gpu(recipe), max(fed, 1)) / 10_000
