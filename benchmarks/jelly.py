"""A derived network written in the layers of SpikingJelly 2, with the weights of an existing one.

As its own examples do it: one convolution and one batch norm per edge, ``LIFNode`` in multi-step mode, states ``[T, B, C, H, W]``.
The stem's frame is the same at every timestep, so convolution and batch norm run once and the result is repeated.
Quantised, masked weights are put into the layers beforehand. A membrane exactly at the threshold fires there and not here;
with real-valued inputs that does not occur.
"""

from __future__ import annotations

import copy

import torch
from spikingjelly.activation_based import functional, layer, neuron
from spikingjelly.activation_based.functional.conv_bn_fusion import fuse_conv_bn_eval_modules
from torch import Tensor, nn

from litesnn.config import Recipe
from litesnn.genotype import Genotype
from litesnn.layout import candidates, cell_shapes
from litesnn.network import Network

Edge = tuple[Tensor, tuple[Tensor, ...], int]
"""Compressed weight ``[out, in, K, K]``; weight, bias, running mean and variance of the norm, ``[out]`` each; stride."""


def written(edge: Edge, step_mode: str = "m") -> nn.Sequential:
    """Convolution and batch norm of an edge, ``[T, B, in, H, W]`` to ``[T, B, out, H', W']``; without T in single-step mode."""
    weight, norm, stride = edge
    outputs, inputs, kernel, _ = weight.shape
    shape = {"stride": stride, "padding": kernel // 2, "bias": False, "step_mode": step_mode}
    convolution = layer.Conv2d(inputs, outputs, kernel, **shape)
    batch_norm = layer.BatchNorm2d(outputs, step_mode=step_mode)
    own = convolution.weight, batch_norm.weight, batch_norm.bias, batch_norm.running_mean, batch_norm.running_var
    with torch.no_grad():
        for mine, value in zip(own, (weight, *norm), strict=True):
            mine.copy_(value)
    return nn.Sequential(convolution, batch_norm)


class JellyNetwork(nn.Module):
    """A derived network, its parameters final, in SpikingJelly's layers, for evaluation."""

    def __init__(self, network: Network, recipe: Recipe, genotype: Genotype) -> None:
        super().__init__()
        self.timesteps, self.cells, self.nodes = genotype.timesteps, recipe.cells, recipe.nodes
        self.stem = written((network.stem.compressed_weight(None), _parts(network.stem_norm), 1), "s")
        self.edges = nn.ModuleDict({key: written(edge) for key, edge in edges(network, recipe, genotype).items()})
        names = ["stem", *(f"{cell}_{node}" for cell in range(recipe.cells) for node in range(recipe.nodes))]
        # v - (v - 0) / tau is recipe.tau times v for tau = 1 / (1 - recipe.tau).
        constants = {"tau": 1 / (1 - recipe.tau), "v_threshold": recipe.v_threshold, "v_reset": 0.0}
        how = {"decay_input": False, "detach_reset": True, "step_mode": "m"}
        self.neurons = nn.ModuleDict({name: neuron.LIFNode(**constants, **how) for name in names})
        self.members = [(m, m.kernel(recipe) > 0) for m in candidates(recipe, genotype)]
        classifier = network.classifier.compressed_weight(None).flatten(1)
        self.classifier = nn.Linear(classifier.shape[1], classifier.shape[0], bias=False)
        with torch.no_grad():
            self.classifier.weight.copy_(classifier)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, C, H, W]`` to logits ``[T, B, K]``; ``logits`` clears the membranes before."""
        frames = self.stem(x).unsqueeze(0).repeat(self.timesteps, 1, 1, 1, 1)
        s0 = s1 = self.neurons["stem"](frames)
        for cell in range(self.cells):
            states = [s0, s1]
            for node in range(self.nodes):
                first, second = (
                    self.edges[f"{cell}_{m.edge}"](states[m.source]) if convolves else states[m.source]
                    for m, convolves in self.members
                    if m.node == node
                )
                states.append(self.neurons[f"{cell}_{node}"](first + second))
            s0, s1 = s1, torch.cat(states[2:], dim=-3)
        found: Tensor = self.classifier(s1.mean((-2, -1)))
        return found

    def fused(self) -> nn.Module:
        """The same, as a graph, after SpikingJelly's own fusion of convolution and batch norm."""
        made: nn.Module = fuse_conv_bn_eval_modules(copy.deepcopy(self))
        return made


def logits(network: nn.Module, x: Tensor) -> Tensor:
    """``[T, B, K]`` of a ``JellyNetwork`` or a fused one, its membranes cleared, as SpikingJelly wants it before each batch."""
    functional.reset_net(network)
    found: Tensor = network(x)
    return found


def edges(network: Network, recipe: Recipe, genotype: Genotype) -> dict[str, Edge]:
    """The edges of a derived network that convolve, by ``"CELL_EDGE"``."""
    found: dict[str, Edge] = {}
    for cell, shape in enumerate(cell_shapes(recipe, recipe.retrain_channels)):
        parts = {}
        for group in network.cells[cell].convs:  # type: ignore[union-attr]
            count = len(group.members)
            weights = group.conv.compressed_weight(None).chunk(count)
            norms = zip(*(part.chunk(count) for part in _parts(group.norm)), strict=True)
            for member, weight, norm in zip(group.members, weights, norms, strict=True):
                parts[member.edge] = weight, norm
        for member in candidates(recipe, genotype):
            if member.kernel(recipe):
                stride = shape.strides[member.source] if member.source < 2 else 1
                found[f"{cell}_{member.edge}"] = *parts[member.edge], stride
    return found


def _parts(norm: nn.BatchNorm2d) -> tuple[Tensor, ...]:
    assert norm.running_mean is not None and norm.running_var is not None
    return norm.weight, norm.bias, norm.running_mean, norm.running_var
