"""Where a network comes from: the differentiable search, chance, or a hand.

``random`` and ``fixed`` are what a search has to beat: they train no supernet, and the time of the search goes into more networks.
"""

from __future__ import annotations

import random

from litesnn.config import Recipe, SearchPoint
from litesnn.genotype import Genotype
from litesnn.held import Held


def held_by(point: SearchPoint, recipe: Recipe) -> Held:
    """What a search of this point is given: bit-widths and T where the point states them."""
    return Held(
        bits=(point.held_bits,) * recipe.cells if point.held_bits else None, timesteps=point.held_timesteps or None
    )


def unsearched(point: SearchPoint, recipe: Recipe, seed: int) -> Genotype | None:
    """The network of a strategy that searches nothing; None where there is a search.

    ``random`` draws every choice of the search space evenly: two different inputs per node, an operation for each, bits per cell
    and T. ``fixed`` takes the cell of ``hand_written``, the widest weights and all timesteps. Both keep what the point states.

    Args:
        point: gives p, and bits and T where it states them.
        recipe: gives the strategy and the space.
        seed: with the point it determines what ``random`` draws.
    """
    if recipe.strategy == "darts":
        return None
    draw = random.Random(f"{point.to_dict()} {seed}")  # a text seeds alike in every process
    if recipe.strategy == "random":
        nodes = tuple(
            tuple((source, draw.choice(recipe.operations)) for source in sorted(draw.sample(range(node + 2), 2)))
            for node in range(recipe.nodes)
        )
        bits = tuple(draw.choice(recipe.bit_widths) for _ in range(recipe.cells))
        learnt = Genotype(nodes=nodes, bits=bits, timesteps=draw.randint(1, recipe.timesteps), p=point.p)
    else:
        learnt = Genotype(
            nodes=hand_written(recipe.nodes, recipe.link),
            bits=(recipe.bit_widths[-1],) * recipe.cells,
            timesteps=recipe.timesteps,
            p=point.p,
        )
    return held_by(point, recipe).decoded(learnt)


def hand_written(nodes: int, link: str) -> tuple[tuple[tuple[int, str], ...], ...]:
    """A cell that nobody searched: a convolution of each input, then each node adds one of the newer input to the node before.

    Args:
        nodes: how many.
        link: operation by which a node reads the node before it.
    """
    first = ((0, "conv3x3"), (1, "conv3x3"))
    return (first, *(((1, "conv3x3"), (1 + node, link)) for node in range(1, nodes)))
