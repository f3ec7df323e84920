"""The layers of a derived network, one convolution and batch norm per edge, for other libraries to be built of."""

from torch import Tensor, nn

from litesnn.config import Recipe
from litesnn.genotype import Genotype
from litesnn.layout import candidates, cell_shapes
from litesnn.network import Network

Edge = tuple[Tensor, tuple[Tensor, ...], int]
"""Compressed weight ``[out, in, K, K]``; weight, bias, running mean and variance of the norm, ``[out]`` each; stride."""


def stem(network: Network) -> Edge:
    """The first convolution."""
    return network.stem.compressed_weight(None), _parts(network.stem_norm), 1


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
