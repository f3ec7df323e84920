"""The cells of a search space that differ in function."""

from __future__ import annotations

import itertools
import random
from collections import defaultdict

from litesnn.config import Recipe
from litesnn.operations import kernel_side

Nodes = tuple[tuple[tuple[int, str], ...], ...]


def name_of(nodes: Nodes, recipe: Recipe) -> str:
    """The same text for all cells that are equal in function: ``input:kernel`` of node by node, 0 for the identity, d for depthwise.

    On inputs of the cell, operations of the same kernel are equal. Nodes may change places: of all orders in which every node reads
    earlier ones, the one of the least text is taken.
    """
    forms = []
    for places in itertools.permutations(range(len(nodes))):
        if any(source >= 2 and places[source - 2] >= places[j] for j, pairs in enumerate(nodes) for source, _ in pairs):
            continue
        form = [""] * len(nodes)
        for j, pairs in enumerate(nodes):
            moved = []
            for source, op in pairs:
                depthwise = "d" * (op == "dwconv3x3")
                kernel = kernel_side(op, source, recipe.input_skip)
                moved.append(f"{source if source < 2 else 2 + places[source - 2]}:{kernel}{depthwise}")
            form[places[j]] = " ".join(sorted(moved))
        forms.append(" / ".join(form))
    return min(forms)


def cells_of(recipe: Recipe) -> dict[str, list[Nodes]]:
    """By name all ways to write each cell that differs in function from the others, in a random order that is always the same."""
    choices: list[list[tuple[tuple[int, str], ...]]] = []
    for node in range(recipe.nodes):
        pairs = itertools.combinations(range(node + 2), 2)
        ops = list(itertools.product(recipe.operations, repeat=2))
        choices.append([tuple(zip(pair, chosen, strict=True)) for pair in pairs for chosen in ops])
    found = defaultdict(list)
    for nodes in itertools.product(*choices):
        found[name_of(nodes, recipe)].append(nodes)
    names = sorted(found)
    random.Random(0).shuffle(names)
    return {name: found[name] for name in names}
