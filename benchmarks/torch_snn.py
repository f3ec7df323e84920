"""A derived network written in snnTorch's layers, with the weights of an existing one.

As its own tutorials do it: torch's convolutions and batch norms, one per edge, ``Leaky`` neurons, all layers once per timestep. The
stem's frame is the same at every timestep, so its convolution and batch norm run once.
"""

from __future__ import annotations

import snntorch
import torch
from torch import Tensor, nn

from benchmarks.layers import LayerNetwork, put
from litesnn.config import Recipe
from litesnn.genotype import Genotype
from litesnn.network import Network


class SnnTorchNetwork(LayerNetwork):
    """The derived network with snnTorch's neurons; arguments as in ``LayerNetwork``."""

    def __init__(self, network: Network, recipe: Recipe, genotype: Genotype) -> None:
        super().__init__(network, recipe, genotype, _edge, _edge, _neuron)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, C, H, W]`` to logits ``[T, B, K]``, from membranes of 0."""
        frame = self.stem(x)
        membranes = {name: torch.zeros_like(x[:0]) for name in self.neurons}  # of another shape: zeros

        def fire(name: str, current: Tensor) -> Tensor:
            spikes: Tensor
            spikes, membranes[name] = self.neurons[name](current, membranes[name])
            return spikes.to(current.dtype)  # they come in single precision

        return torch.stack([self.logits(fire("stem", frame), fire) for _ in range(self.timesteps)])


def _edge(weight: Tensor, norm: tuple[Tensor, ...], stride: int) -> nn.Sequential:
    outputs, inputs, kernel, _ = weight.shape
    convolution = nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=False)
    made = nn.Sequential(convolution, nn.BatchNorm2d(outputs))
    put(made[0], made[1], weight, norm)
    return made


def _neuron(recipe: Recipe) -> snntorch.Leaky:
    # reset_delay=False resets in the step of the spike, as the others do.
    return snntorch.Leaky(beta=recipe.tau, threshold=recipe.v_threshold, reset_mechanism="zero", reset_delay=False)
