"""Which trials start from the weights of others: networks of one cell and width that differ in bits and timesteps.

Weights do not depend on bits and T. Of a family one network is trained from initial values, the one that learns fastest: fewest
timesteps, most bits. Every other one starts from the network that is nearest to it among those before it.
A point that a sampler chooses starts from the nearest finished network that has as many bits or more.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from math import log2
from typing import NamedTuple

from litesnn.config import Recipe
from tune.plan.points import Trial


def parents(trials: Sequence[Trial], recipe: Recipe) -> dict[str, str]:
    """Names of the trials that start from another one's weights, each with the name of that one.

    Trials are of a family if they share p, width and seed. Ordered by T, then from many bits to few, each but the first has a
    parent: of those before it the one with the least |log2 of the ratio of bits| + |log2 of the ratio of T|, the first of equals.
    """
    if not are_families(recipe):
        return {}
    families: dict[tuple[float, int, int], list[Member]] = defaultdict(list)
    for trial in trials:
        families[family_of(trial, recipe)].append(member(trial, recipe))
    found = {}
    for members in families.values():
        members.sort()
        for index, one in enumerate(members[1:], 1):
            found[one.name] = nearest(one, members[:index]).name
    return found


def parent_among(trial: Trial, finished: Iterable[Trial], recipe: Recipe) -> str:
    """Name of the finished trial that another one of its family starts from, the nearest; nothing where there is none.

    It has at least as many bits: weights that were trained with fewer can be a bad start (docs/design.md). T may differ
    in both directions. Of equals it is the first by T, then from many bits to few.
    """
    if not are_families(recipe):
        return ""
    one, family = member(trial, recipe), family_of(trial, recipe)
    others = [member(other, recipe) for other in finished if family_of(other, recipe) == family]
    fit = sorted(other for other in others if other.minus_bits <= one.minus_bits)
    return nearest(one, fit).name if fit else ""


def are_families(recipe: Recipe) -> bool:
    """Whether networks of a recipe start from one another's weights."""
    return recipe.strategy == "fixed" and recipe.warm_epochs > 0


class Member(NamedTuple):
    """A trial as it stands in its family; the order is by T, then from many bits to few."""

    timesteps: int
    minus_bits: int
    name: str


def member(trial: Trial, recipe: Recipe) -> Member:
    """What its point leaves to the recipe is the most."""
    point = trial.point
    timesteps, bits = point.held_timesteps or recipe.timesteps, point.held_bits or recipe.bit_widths[-1]
    return Member(timesteps, -bits, trial.name)


def family_of(trial: Trial, recipe: Recipe) -> tuple[float, int, int]:
    """What the trials of a family share: p, width and seed."""
    return trial.point.p, trial.point.channels or recipe.retrain_channels, trial.seed


def nearest(one: Member, others: Sequence[Member]) -> Member:
    """The first of those with the least |log2 of the ratio of bits| + |log2 of the ratio of T|."""
    return min(
        others,
        key=lambda other: abs(log2(other.timesteps / one.timesteps)) + abs(log2(other.minus_bits / one.minus_bits)),
    )


def in_order(trials: Sequence[Trial], parents: dict[str, str]) -> list[Trial]:
    """The trials by their distance from the root of their family, so that roots start first; otherwise as they are."""

    def depth(name: str) -> int:
        return 1 + depth(parents[name]) if name in parents else 0

    return sorted(trials, key=lambda trial: depth(trial.name))
