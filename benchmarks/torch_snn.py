"""A derived network written in snnTorch's layers, with the weights of an existing one.

As its own tutorials do it: torch's convolutions and batch norms, one per edge, ``Leaky`` neurons, all layers once per timestep. The
stem's frame is the same at every timestep, so its convolution and batch norm run once.
"""

from __future__ import annotations

import snntorch
import torch
from torch import Tensor, nn

from benchmarks.layers import edges, stem
from litesnn.config import Recipe
from litesnn.genotype import Genotype
from litesnn.layout import candidates
from litesnn.network import Network


class SnnTorchNetwork(nn.Module):
    """The derived network ``network`` with snnTorch's neurons, for evaluation.

    Args:
        network: the network, its parameters final.
        recipe: what it was built from.
        genotype: likewise.
    """

    def __init__(self, network: Network, recipe: Recipe, genotype: Genotype) -> None:
        super().__init__()
        self.timesteps, self.cells, self.nodes = genotype.timesteps, recipe.cells, recipe.nodes
        self.stem = _edge(*stem(network))
        self.edges = nn.ModuleDict({name: _edge(*edge) for name, edge in edges(network, recipe, genotype).items()})
        names = ["stem", *(f"{cell}_{node}" for cell in range(recipe.cells) for node in range(recipe.nodes))]
        self.neurons = nn.ModuleDict({name: _neuron(recipe) for name in names})
        self.members = [(m, m.kernel(recipe) > 0) for m in candidates(recipe.nodes, genotype)]
        classifier = network.classifier.compressed_weight(None).flatten(1)
        self.classifier = nn.Linear(classifier.shape[1], classifier.shape[0], bias=False)
        with torch.no_grad():
            self.classifier.weight.copy_(classifier)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, C, H, W]`` to logits ``[T, B, K]``, from membranes of 0."""
        frame = self.stem(x)
        membranes = {name: torch.zeros_like(x[:0]) for name in self.neurons}  # of another shape: zeros

        def fire(name: str, current: Tensor) -> Tensor:
            spikes: Tensor
            spikes, membranes[name] = self.neurons[name](current, membranes[name])
            return spikes.to(current.dtype)  # they come in single precision

        logits = []
        for _ in range(self.timesteps):
            s0 = s1 = fire("stem", frame)
            for cell in range(self.cells):
                states = [s0, s1]
                for node in range(self.nodes):
                    currents = [
                        self.edges[f"{cell}_{member.edge}"](states[member.source])
                        if convolves
                        else states[member.source]
                        for member, convolves in self.members
                        if member.node == node
                    ]
                    states.append(fire(f"{cell}_{node}", currents[0] + currents[1]))
                s0, s1 = s1, torch.cat(states[2:], dim=1)
            logits.append(self.classifier(s1.mean((2, 3))))
        return torch.stack(logits)


def _edge(weight: Tensor, norm: tuple[Tensor, ...], stride: int) -> nn.Sequential:
    outputs, inputs, kernel, _ = weight.shape
    convolution = nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=False)
    made = nn.BatchNorm2d(outputs)
    with torch.no_grad():
        convolution.weight.copy_(weight)
        own = made.weight, made.bias, made.running_mean, made.running_var
        for mine, value in zip(own, norm, strict=True):
            assert mine is not None
            mine.copy_(value)
    return nn.Sequential(convolution, made)


def _neuron(recipe: Recipe) -> snntorch.Leaky:
    # reset_delay=False resets in the step of the spike, as the others do.
    return snntorch.Leaky(beta=recipe.tau, threshold=recipe.v_threshold, reset_mechanism="zero", reset_delay=False)
