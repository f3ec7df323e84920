"""A derived network of one convolution and batch norm per edge, for other libraries to fill in their layers."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from litesnn.config import Recipe
from litesnn.genotype import Genotype
from litesnn.layout import candidates, cell_shapes
from litesnn.network import Network

Edge = tuple[Tensor, tuple[Tensor, ...], int]
"""Compressed weight ``[out, in, K, K]``; weight, bias, running mean and variance of the norm, ``[out]`` each; stride."""


class LayerNetwork(nn.Module):
    """Layers and neurons of a derived network, for evaluation.

    Args:
        network: the network, its parameters final.
        recipe: what it was built from.
        genotype: likewise.
        make_stem: makes the layer of the first convolution.
        make_edge: makes that of an edge.
        make_neuron: makes the neurons of a node.
    """

    def __init__(
        self,
        network: Network,
        recipe: Recipe,
        genotype: Genotype,
        make_stem: Callable[..., nn.Module],
        make_edge: Callable[..., nn.Module],
        make_neuron: Callable[[Recipe], nn.Module],
    ) -> None:
        super().__init__()
        self.timesteps, self.cells, self.nodes = genotype.timesteps, recipe.cells, recipe.nodes
        self.stem = make_stem(network.stem.compressed_weight(None), _parts(network.stem_norm), 1)
        self.edges = nn.ModuleDict({key: make_edge(*edge) for key, edge in edges(network, recipe, genotype).items()})
        names = ["stem", *(f"{cell}_{node}" for cell in range(recipe.cells) for node in range(recipe.nodes))]
        self.neurons = nn.ModuleDict({name: make_neuron(recipe) for name in names})
        self.members = [(m, m.kernel(recipe) > 0) for m in candidates(recipe.nodes, genotype)]
        classifier = network.classifier.compressed_weight(None).flatten(1)
        self.classifier = nn.Linear(classifier.shape[1], classifier.shape[0], bias=False)
        with torch.no_grad():
            self.classifier.weight.copy_(classifier)

    def logits(self, spikes: Tensor, fire: Callable[[str, Tensor], Tensor]) -> Tensor:
        """From the stem's spikes ``[…, C, H, W]`` to ``[…, K]``; ``fire`` gives the spikes of the neurons of that name."""
        s0 = s1 = spikes
        for cell in range(self.cells):
            states = [s0, s1]
            for node in range(self.nodes):
                currents = [
                    self.edges[f"{cell}_{m.edge}"](states[m.source]) if convolves else states[m.source]
                    for m, convolves in self.members
                    if m.node == node
                ]
                states.append(fire(f"{cell}_{node}", currents[0] + currents[1]))
            s0, s1 = s1, torch.cat(states[2:], dim=-3)
        found: Tensor = self.classifier(s1.mean((-2, -1)))
        return found


def put(layer: nn.Module, norm: nn.Module, weight: Tensor, values: tuple[Tensor, ...]) -> None:
    """Gives a convolution its weight and a batch norm weight, bias, running mean and running variance."""
    own = layer.weight, norm.weight, norm.bias, norm.running_mean, norm.running_var
    with torch.no_grad():
        for mine, value in zip(own, (weight, *values), strict=True):
            assert isinstance(mine, Tensor)
            mine.copy_(value)


def edges(network: Network, recipe: Recipe, genotype: Genotype) -> dict[str, Edge]:
    """The edges of a derived network that convolve, by ``"CELL_EDGE"``.

    Args:
        network: the network, its parameters final.
        recipe: what it was built from.
        genotype: likewise.
    """
    found: dict[str, Edge] = {}
    for cell, shape in enumerate(cell_shapes(recipe, recipe.retrain_channels)):
        parts = {}
        for group in network.cells[cell].convs:  # type: ignore[union-attr]
            count = len(group.members)
            weights = group.conv.compressed_weight(None).chunk(count)
            norms = zip(*(part.chunk(count) for part in _parts(group.norm)), strict=True)
            for member, weight, norm in zip(group.members, weights, norms, strict=True):
                parts[member.edge] = weight, norm
        for member in candidates(recipe.nodes, genotype):
            if member.kernel(recipe):
                stride = shape.strides[member.source] if member.source < 2 else 1
                found[f"{cell}_{member.edge}"] = *parts[member.edge], stride
    return found


def _parts(norm: nn.BatchNorm2d) -> tuple[Tensor, ...]:
    assert norm.running_mean is not None and norm.running_var is not None
    return norm.weight, norm.bias, norm.running_mean, norm.running_var
