"""Which points to try: the default set of each preset, or points given by the user, inline, by name or in a CSV file.

``tune.plan.space`` has designs that fill ranges, ``tune.running.searcher`` chooses points from results.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import isfinite
from typing import Any

from litesnn.checks import InputError, check_integer, fail, user_path
from litesnn.config import OPTIONAL_AXES, PAPER_POINTS, Recipe, SearchPoint
from tune.plan.points_table import read_points

# The paper varies λ1 and λ2 of its small CIFAR network (Sec. 4.3, Fig. 3): three settings are named in the text, in this
# order; the second is ``small`` itself.
ABLATION = {
    "ablation-1": SearchPoint(lambda1=1e-9, lambda2=0, p=90),
    "ablation-2": SearchPoint(lambda1=1e-9, lambda2=1e-13, p=90),
    "ablation-3": SearchPoint(lambda1=5e-9, lambda2=1e-13, p=90),
}
NAMED_POINTS = {**PAPER_POINTS, **ABLATION}
POINT_NAMES = (*NAMED_POINTS, "ablation")  # the last one stands for all three

# (λ1, λ2) from no pressure to strong pressure, times pruning rates where size is the paper's, times widths where it is the
# file, in which narrow networks are better than pruned ones (docs/results.md). For the paper's recipes the levels are the
# paper's own and one stronger; for the small ones the cost terms start at about 0, 1 and 10 % of the cross entropy.
_LEVELS: dict[str, tuple[tuple[float, float], ...]] = {
    "digits": ((0, 0), (1e-6, 1e-9), (1e-5, 1e-8)),
    "cifar10": ((0, 0), (5e-10, 5e-14), (1e-9, 1e-13), (5e-9, 5e-13)),
    "cifar10-small": ((0, 0), (1e-6, 1e-10), (1e-5, 1e-9)),
    "gsc": ((0, 0), (1e-9, 1e-13), (5e-9, 5e-13)),
    "gsc-small": ((0, 0), (1e-6, 1e-10), (1e-5, 1e-9)),
}
_LEVELS["cifar100"] = _LEVELS["cifar10"]
_PRUNING = {
    "digits": (0, 50, 80, 95),
    "gsc": (50, 70, 80, 90),
    "gsc-small": (50, 70, 80, 90),
}
_USUAL_PRUNING = (50, 80, 90)
_WIDTHS = {  # shares of the recipe's own C
    "digits": (Fraction(1, 3), Fraction(2, 3), Fraction(1), Fraction(4, 3)),
    "cifar10-small": (Fraction(1, 2), Fraction(1), Fraction(2)),
    "gsc-small": (Fraction(1, 2), Fraction(1), Fraction(3, 2)),
}


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A point and the seed to run it with."""

    point: SearchPoint
    seed: int

    @property
    def point_name(self) -> str:
        """The point's own part of the name; the width, of which a search knows nothing, comes last."""
        point = self.point
        stated = {"b": point.held_bits, "t": point.held_timesteps, "c": point.channels}
        rest = "".join(f"-{name}_{value}" for name, value in stated.items() if value)
        return f"l1_{_text(point.lambda1)}-l2_{_text(point.lambda2)}-p_{_text(point.p)}{rest}"

    @property
    def name(self) -> str:
        """The trial's name, from its values alone, so that the same point finds its folder again."""
        return f"{self.point_name}-seed_{self.seed}"


def point_in(row: Mapping[Any, Any]) -> SearchPoint:
    """The point of a row of the table; what the row lacks the point leaves to the recipe."""
    stated = {name: row.get(name) for name in OPTIONAL_AXES}
    known = {name: int(value) for name, value in stated.items() if isinstance(value, int | float) and isfinite(value)}
    return SearchPoint(lambda1=float(row["lambda1"]), lambda2=float(row["lambda2"]), p=float(row["p"]), **known)


def trials(points: Sequence[SearchPoint], seeds: int, seed: int) -> list[Trial]:
    """Every point with seeds ``seed`` … ``seed + seeds - 1``; all points have their first seed before any second.

    Raises:
        InputError: fewer than one seed, or one beyond the largest.
    """
    from litesnn.phase import LARGEST_SEED  # needs torch, which whoever only reads names need not wait for

    check_integer("seed", seed, minimum=0, maximum=LARGEST_SEED)
    check_integer("seeds", seeds, minimum=1, maximum=LARGEST_SEED - seed + 1)
    return [Trial(point=point, seed=seed + i) for i in range(seeds) for point in points]


def fitted(points: Sequence[SearchPoint], recipe: Recipe) -> list[SearchPoint]:
    """Points as a recipe has them: each once, and no ``channels`` where they are the recipe's own.

    Raises:
        InputError: a point that the recipe cannot have (``Recipe.at``).
    """
    for point in points:
        recipe.at(point)
    own = recipe.retrain_channels
    return list(dict.fromkeys(replace(p, channels=0) if p.channels == own else p for p in points))


def default_points(preset: str, recipe: Recipe | None = None) -> list[SearchPoint]:
    """A set for a preset: every level of pressure at every pruning rate or, where size is the file, at every width.

    A hand-written cell has bits and T in place of levels of pressure. Random networks have no levels: other seeds give others.

    Args:
        preset: its name.
        recipe: the recipe that was made of it, whose C the widths are shares of; None: the preset itself.
    """
    recipe = recipe or Recipe.preset(preset)
    shares = _WIDTHS.get(preset, ()) if recipe.size == "file" else ()
    widths = [max(1, round(share * recipe.retrain_channels / recipe.nodes)) for share in shares]
    rates = (0,) if widths else _PRUNING.get(preset, _USUAL_PRUNING)
    levels: list[dict[str, Any]] = [{"lambda1": lambda1, "lambda2": lambda2} for lambda1, lambda2 in _LEVELS[preset]]
    if recipe.strategy != "darts":
        levels = [{"lambda1": 0, "lambda2": 0}]
    if recipe.strategy == "fixed":
        levels = [levels[0] | held for held in _hand_written_levels(recipe)]
    points = [
        SearchPoint(p=p, channels=width * recipe.nodes, **level)
        for p in rates
        for width in widths or (0,)
        for level in levels
    ]
    return fitted(points, recipe)


def _hand_written_levels(recipe: Recipe) -> list[dict[str, int]]:
    """Bits and T: all pairs of bits and a power of two where networks start from one another, which makes them cheap.

    Where each is trained from scratch: all of both, then the fewest bits at two timesteps and at one.
    """
    if recipe.warm_epochs:
        powers = [2**k for k in range(recipe.timesteps.bit_length())]
        return [{"held_bits": b, "held_timesteps": t} for t in powers for b in reversed(recipe.bit_widths)]
    pairs = [
        (recipe.bit_widths[-1], recipe.timesteps),
        (recipe.bit_widths[0], min(2, recipe.timesteps)),
        (recipe.bit_widths[0], 1),
    ]
    return [{"held_bits": bits, "held_timesteps": timesteps} for bits, timesteps in dict.fromkeys(pairs)]


def parse_points(text: str) -> list[SearchPoint]:
    """Reads points given inline or in a CSV file.

    Args:
        text: points separated by blanks, each ``lambda1,lambda2,p`` with ``channels``, ``held_bits`` and ``held_timesteps``
            behind or some of them, or one of ``POINT_NAMES``; or the path of a CSV file, which ends in ``.csv``.

    Raises:
        InputError: not of that form, a value outside its range, or a point given twice inline.
    """
    if text.strip().lower().endswith(".csv"):
        return read_points(user_path("points", text.strip()))
    points: list[SearchPoint] = []
    for part in text.split():
        if part != "ablation":
            points.append(_parse_point(part))
    for point in points:
        if points.count(point) > 1:
            raise InputError(f"points: expected different points, got {point} more than once")
    if "ablation" in text.split():
        points += [point for point in ABLATION.values() if point not in points]
    if not points:
        raise fail("points", "at least one point", text)
    return points


def _parse_point(part: str) -> SearchPoint:
    if part in NAMED_POINTS:
        return NAMED_POINTS[part]
    values = part.split(",")
    try:
        lambda1, lambda2, p = map(float, values[:3])
        stated = dict(zip(OPTIONAL_AXES, map(int, values[3:]), strict=False))
        if len(values) > 3 + len(OPTIONAL_AXES):
            raise ValueError
    except ValueError:
        expected = f"lambda1,lambda2,p[,channels[,bits[,T]]], a .csv file or one of {', '.join(POINT_NAMES)}"
        raise fail("points", expected, part) from None
    return SearchPoint(lambda1=lambda1, lambda2=lambda2, p=p, **stated)


def _text(value: float) -> str:
    """The shortest text that reads back as the same number, without a trailing .0."""
    return repr(value).removesuffix(".0")
