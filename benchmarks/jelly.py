"""A derived network written in SpikingJelly 2's layers, with the weights of an existing one.

As its own examples do it: one convolution and one batch norm per edge, ``LIFNode`` in multi-step mode, states ``[T, B, C, H, W]``.
The stem's frame is the same at every timestep, so convolution and batch norm run once and the result is repeated.
Quantised, masked weights are put into the layers beforehand. A membrane exactly at the threshold fires there and not here;
with real-valued inputs that does not occur.
"""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

from spikingjelly.activation_based import functional, layer, neuron
from spikingjelly.activation_based.functional.conv_bn_fusion import fuse_conv_bn_eval_modules
from torch import Tensor, nn

from benchmarks.layers import LayerNetwork, put
from litesnn.config import Recipe
from litesnn.genotype import Genotype
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
        put(self.conv, self.norm, weight, norm)

    def forward(self, x: Tensor) -> Tensor:
        """``[T, B, in, H, W]`` to ``[T, B, out, H', W']``; without T in single-step mode."""
        out: Tensor = self.norm(self.conv(x))
        return out


class JellyNetwork(LayerNetwork):
    """The derived network in SpikingJelly's layers; arguments as in ``LayerNetwork``."""

    def __init__(self, network: Network, recipe: Recipe, genotype: Genotype) -> None:
        super().__init__(network, recipe, genotype, partial(Edge, step_mode="s"), Edge, _neuron)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, C, H, W]`` to logits ``[T, B, K]``; ``reset_net`` comes before every call."""
        frames = self.stem(x).unsqueeze(0).repeat(self.timesteps, 1, 1, 1, 1)
        return self.logits(self.neurons["stem"](frames), lambda name, current: self.neurons[name](current))


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
