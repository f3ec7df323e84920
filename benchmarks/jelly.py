"""A derived network written in SpikingJelly 2's layers, with the weights of an existing one.

As its own examples do it: one convolution and one batch norm per edge, ``LIFNode`` in multi-step mode, states ``[T, B, C, H, W]``.
The stem's frame is the same at every timestep, so convolution and batch norm run once and the result is repeated.
Quantised, masked weights are put into the layers beforehand. A membrane exactly at the threshold fires there and not here;
with real-valued inputs that does not occur.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from spikingjelly.activation_based import functional, layer, neuron
from spikingjelly.activation_based.functional.conv_bn_fusion import fuse_conv_bn_eval_modules
from torch import Tensor, nn

from benchmarks.layers import edges, stem
from litesnn.config import Recipe
from litesnn.genotype import Genotype
from litesnn.layout import candidates
from litesnn.network import Network


class Edge(nn.Module):
    """Convolution and batch norm of one edge, in multi-step mode.

    Args:
        weight: ``[out, in, K, K]``, compressed.
        norm: weight, bias, running mean and running variance, ``[out]`` each.
        stride: of the convolution.
    """

    def __init__(self, weight: Tensor, norm: tuple[Tensor, ...], stride: int, step_mode: str = "m") -> None:
        super().__init__()
        outputs, inputs, kernel, _ = weight.shape
        self.conv = layer.Conv2d(
            inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=False, step_mode=step_mode
        )
        self.norm = layer.BatchNorm2d(outputs, step_mode=step_mode)
        with torch.no_grad():
            self.conv.weight.copy_(weight)
            own = self.norm.weight, self.norm.bias, self.norm.running_mean, self.norm.running_var
            for mine, value in zip(own, norm, strict=True):
                mine.copy_(value)

    def forward(self, x: Tensor) -> Tensor:
        """``[T, B, in, H, W]`` to ``[T, B, out, H', W']``; without T in single-step mode."""
        out: Tensor = self.norm(self.conv(x))
        return out


class JellyNetwork(nn.Module):
    """The derived network ``network`` in SpikingJelly's layers, for evaluation.

    Args:
        network: the network, its parameters final.
        recipe: what it was built from.
        genotype: likewise.
    """

    def __init__(self, network: Network, recipe: Recipe, genotype: Genotype) -> None:
        super().__init__()
        self.timesteps, self.cells, self.nodes = genotype.timesteps, recipe.cells, recipe.nodes
        self.stem = Edge(*stem(network), "s")
        self.edges = nn.ModuleDict()
        self.neurons = nn.ModuleDict({"stem": _neuron(recipe)})
        self.members = candidates(recipe.nodes, genotype)
        self.kernels = [member.kernel(recipe) for member in self.members]
        for name, edge in edges(network, recipe, genotype).items():
            self.edges[name] = Edge(*edge)
        for cell in range(recipe.cells):
            for node in range(recipe.nodes):
                self.neurons[f"{cell}_{node}"] = _neuron(recipe)
        classifier = network.classifier.compressed_weight(None).flatten(1)
        self.classifier = nn.Linear(classifier.shape[1], classifier.shape[0], bias=False)
        with torch.no_grad():
            self.classifier.weight.copy_(classifier)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, C, H, W]`` to logits ``[T, B, K]``; ``reset_net`` comes before every call."""
        frame = self.stem(x)
        s0 = s1 = self.neurons["stem"](frame.unsqueeze(0).repeat(self.timesteps, 1, 1, 1, 1))
        for cell in range(self.cells):
            states = [s0, s1]
            for node in range(self.nodes):
                currents = [
                    self.edges[f"{cell}_{member.edge}"](states[member.source]) if kernel else states[member.source]
                    for member, kernel in zip(self.members, self.kernels, strict=True)
                    if member.node == node
                ]
                states.append(self.neurons[f"{cell}_{node}"](currents[0] + currents[1]))
            s0, s1 = s1, torch.cat(states[2:], dim=2)
        logits: Tensor = self.classifier(s1.mean((3, 4)))
        return logits


def fused(network: JellyNetwork) -> nn.Module:
    """The same after SpikingJelly's own fusion of convolution and batch norm."""
    made: nn.Module = fuse_conv_bn_eval_modules(copy.deepcopy(network))
    return made


def reset(network: nn.Module) -> None:
    """Clears all membranes, as SpikingJelly wants it before each batch."""
    functional.reset_net(network)


def _neuron(recipe: Recipe) -> Any:
    # v - (v - 0) / tau is recipe.tau times v for tau = 1 / (1 - recipe.tau).
    return neuron.LIFNode(
        tau=1 / (1 - recipe.tau),
        decay_input=False,
        v_threshold=recipe.v_threshold,
        v_reset=0.0,
        detach_reset=True,
        step_mode="m",
    )
