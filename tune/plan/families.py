"""Which trials start from the weights of others: networks of one cell and width that differ in bits and timesteps.

Weights do not depend on bits and T. Of a family one network is trained from initial values, the one that learns fastest: fewest
timesteps, most bits. Every other one starts from the network that is nearest to it among those before it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from math import log2

from litesnn.config import Recipe
from tune.plan.points import Trial


def parents(trials: Sequence[Trial], recipe: Recipe) -> dict[str, str]:
    """Names of the trials that start from another one's weights, each with the name of that one.

    Trials are of a family if they share p, width and seed. Ordered by T, then from many bits to few, each but the first has a
    parent: of those before it the one with the least |log2 of the ratio of bits| + |log2 of the ratio of T|, the first of equals.
    """
    if recipe.strategy != "fixed" or not recipe.warm_epochs:
        return {}
    families: dict[tuple[float, int, int], list[tuple[int, int, str]]] = defaultdict(list)
    for trial in trials:
        point = trial.point
        timesteps, bits = point.held_timesteps or recipe.timesteps, point.held_bits or recipe.bit_widths[-1]
        families[point.p, point.channels, trial.seed].append((timesteps, -bits, trial.name))
    found = {}
    for members in families.values():
        members.sort()
        for index, (timesteps, bits, name) in enumerate(members[1:], 1):
            before = members[:index]
            found[name] = min(before, key=lambda other: abs(log2(other[0] / timesteps)) + abs(log2(other[1] / bits)))[2]
    return found


def in_order(trials: Sequence[Trial], parents: dict[str, str]) -> list[Trial]:
    """The trials by their distance from the root of their family, so that roots start first; otherwise as they are."""

    def depth(name: str) -> int:
        return 1 + depth(parents[name]) if name in parents else 0

    return sorted(trials, key=lambda trial: depth(trial.name))
