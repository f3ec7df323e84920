"""The stated reference of the hypervolume: guessing, with the largest network of the search space at full activity."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from litesnn.config import Recipe
from litesnn.genotype import Genotype, cell_edges
from litesnn.layout import ConvShape, conv_shapes
from tune.results.front import worst
from tune.storage.objectives import Reference
from tune.storage.store import Experiment


def reference_of(recipe: Recipe) -> Reference:
    """The worst corner of a recipe's search space.

    Accuracy is that of guessing among equally frequent classes. Size and Bit-SynOps are bounds that no derived network
    exceeds: every node reads its two largest candidate inputs through their largest operation, every cell has the largest
    bit-width, p = 0, T is the recipe's largest, and every neuron fires at every timestep. The inputs that are largest in weights
    need not be largest in operations, so each bound has a network of its own.
    """
    import torch  # experiments that have their reference written down are read without it

    from litesnn.cost import derived_cost
    from litesnn.file_size import largest_file_bits

    rates = torch.ones(1 + recipe.cells * recipe.nodes, recipe.timesteps)
    in_weights = _largest(recipe, lambda layer: layer.weights)
    in_operations = _largest(recipe, lambda layer: layer.weights * layer.positions)
    in_file = recipe.size == "file"
    size = largest_file_bits(in_weights, recipe) if in_file else derived_cost(in_weights, recipe, rates).model_size_bits
    return Reference(
        accuracy=100 / recipe.classes,
        size_bits=size,
        bit_synops=derived_cost(in_operations, recipe, rates).bit_synops,
    )


def reference_in(experiments: Sequence[Experiment]) -> Reference:
    """The reference of one experiment, or of several merged: component by component the worst.

    Raises:
        InputError: a place holds no experiment, or a damaged one.
    """
    return worst(e.reference() or reference_of(Recipe.from_dict(e.recipe())) for e in experiments)


def _largest(recipe: Recipe, work: Callable[[ConvShape], int]) -> Genotype:
    """The network whose every node reads the two inputs with the most ``work``, summed over the cells, by its operation with most."""
    total: Counter[tuple[int, int]] = Counter()
    for layer in conv_shapes(recipe, recipe.retrain_channels, recipe.classes, None):
        if layer.edge is not None and layer.op is not None:
            total[layer.edge, layer.op] += work(layer)
    edges = cell_edges(recipe.nodes)
    operations = [max(range(len(recipe.operations)), key=lambda op: total[edge, op]) for edge in range(len(edges))]
    nodes = []
    for node in range(recipe.nodes):
        incoming = [edge for edge, (_, target) in enumerate(edges) if target == node]
        two = sorted(sorted(incoming, key=lambda edge: -total[edge, operations[edge]])[:2])
        nodes.append(tuple((edges[edge][0], recipe.operations[operations[edge]]) for edge in two))
    return Genotype(
        nodes=tuple(nodes), bits=(max(recipe.bit_widths),) * recipe.cells, timesteps=recipe.timesteps, p=0.0
    )
