"""Where to look for points: ranges of λ1, λ2 and p, and designs that fill them without being taught by results."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice, product

from litesnn.checks import check_integer, check_number, fail
from litesnn.config import OPTIONAL_AXES, SearchPoint

Range = tuple[float, float]

LAMBDAS = ("lambda1", "lambda2")
NAMES = (*LAMBDAS, "p")
DEFAULT_P: Range = (0.0, 95.0)
ZERO_SHARE = 1 / 8  # of a λ's values in a low-discrepancy design
MOST_POINTS = 10_000

# A factor of ten around the paper's own levels (Sec. 4.1, 4.3) for its own recipes; elsewhere λ is measured. At p = 50 and
# before training, they make each term about 1e-4 to 1e-2 of the cross entropy for cifar10, and a tenth of that for gsc.
PAPER_LAMBDAS: dict[str, tuple[Range, Range]] = dict.fromkeys(
    ("cifar10", "cifar100", "gsc"), ((1e-10, 1e-8), (1e-14, 1e-12))
)

_AXES = {"l1": "lambda1", "λ1": "lambda1", "lambda1": "lambda1", "l2": "lambda2", "λ2": "lambda2", "lambda2": "lambda2"}
_AXES |= {"p": "p", "c": "channels", "channels": "channels", "bits": "held_bits", "t": "held_timesteps"}
_GRID = "l1=… l2=… p=…, and c=… bits=… t=…, with values separated by commas, or three counts such as 3x3x4"


@dataclass(frozen=True, kw_only=True)
class Space:
    """Ranges of the settings, both ends included.

    Args:
        lambda1: smallest and largest λ1 above zero, log-uniform between; None where nothing is searched: λ1 is 0.
        lambda2: the same for λ2.
        p: smallest and largest pruning rate in percent, uniform between.
        zero: whether λ = 0 is tried besides.
        channels: least and most C of the retrained network, log-uniform between; None: always the recipe's.
        multiple: what C must be a multiple of, the recipe's nodes.
        held_bits: bit-widths of which a point states one; none: points state none.
        held_timesteps: smallest and largest T that a point states; None: points state none.

    Raises:
        InputError: a range is no range of such values.
    """

    lambda1: Range | None
    lambda2: Range | None
    p: Range = DEFAULT_P
    zero: bool = True
    channels: tuple[int, int] | None = None
    multiple: int = 1
    held_bits: tuple[int, ...] = ()
    held_timesteps: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        for name in LAMBDAS:
            for end in getattr(self, name) or ():
                check_number(f"{name} range", end, above=0)
        for end in self.p:
            check_number("p range", end, minimum=0, below=100)
        for end in self.channels or ():
            if check_integer("channels range", end, minimum=1) % self.multiple:
                raise fail("channels range", f"multiples of nodes ({self.multiple})", end)
        for name in set(self.names) - {"held_bits"}:
            low, high = getattr(self, name)
            if low > high:
                raise fail(f"{name} range", "the smaller end first", f"{low:g},{high:g}")

    @property
    def names(self) -> tuple[str, ...]:
        """The axes that have a range."""
        return tuple(name for name in (*NAMES, *OPTIONAL_AXES) if getattr(self, name))

    def contains(self, point: SearchPoint) -> bool:
        """Whether a point lies within the ranges; where there is none, the point must leave the value at 0."""
        return all(self._has(name, getattr(point, name)) for name in (*NAMES, *OPTIONAL_AXES))

    def _has(self, name: str, value: float) -> bool:
        if name not in self.names or (value == 0 and self.zero and name in LAMBDAS):
            return value == 0
        if name == "held_bits":
            return value in self.held_bits
        low, high = getattr(self, name)
        return bool(low <= value <= high)

    def rounded(self, name: str, value: float) -> float:
        """λ to three digits, p to a tenth, C to its multiples, so that names stay readable; never beyond the range."""
        low, high = getattr(self, name)
        if name == "channels":
            return min(max(self.multiple * round(value / self.multiple), low), high)
        return min(max(round(value, 1) if name == "p" else float(f"{value:.3g}"), low), high)

    def at(self, name: str, share: float) -> float:
        """The rounded value that lies a ``share`` (0 to 1) of the way through the range, log-wise for a λ and C."""
        if name in ("held_bits", "held_timesteps"):
            values = self.held_bits if name == "held_bits" else range(*_closed(self.held_timesteps))
            return values[min(int(share * len(values)), len(values) - 1)]
        low, high = getattr(self, name)
        return self.rounded(name, low + share * (high - low) if name == "p" else low * (high / low) ** share)


def _closed(ends: tuple[int, int] | None) -> tuple[int, int]:
    low, high = ends or (0, -1)
    return low, high + 1


def channels_range_from(text: str) -> tuple[int, int] | None:
    """The range of C from ``LOW,HIGH``; None where there is none.

    Raises:
        InputError: not two whole numbers with 1 <= LOW <= HIGH.
    """
    if not text:
        return None
    expected = "LOW,HIGH, whole numbers with 1 <= LOW <= HIGH"
    low, high = _numbers("channels-range", text, 2, expected)
    if not (1 <= low <= high and low.is_integer() and high.is_integer()):
        raise fail("channels-range", expected, text)
    return int(low), int(high)


def lambda_range_from(text: str | None, preset: str) -> tuple[Range, Range] | None:
    """The λ ranges that ``--lambda-range`` asks for.

    Args:
        text: ``auto``, four numbers ``L1LOW,L1HIGH,L2LOW,L2HIGH``, or None where the option was not given: then the
            paper's recipes have the paper's λ and all others ``auto``.
        preset: name of the preset.

    Returns:
        Ranges of λ1 and λ2; None if they are to be measured (``tune.plan.lambda_range.measure``).

    Raises:
        InputError: neither ``auto`` nor such numbers.
    """
    if text is None:
        return PAPER_LAMBDAS.get(preset)
    if text == "auto":
        return None
    expected = "auto or L1LOW,L1HIGH,L2LOW,L2HIGH, each above 0 and the smaller end first"
    low1, high1, low2, high2 = _numbers("lambda-range", text, 4, expected)
    if not (0 < low1 <= high1 < math.inf and 0 < low2 <= high2 < math.inf):
        raise fail("lambda-range", expected, text)
    return (low1, high1), (low2, high2)


def p_range_from(text: str) -> Range:
    """The range of p from ``LOW,HIGH`` in percent.

    Raises:
        InputError: not two numbers with 0 <= LOW <= HIGH < 100.
    """
    expected = "LOW,HIGH in percent, 0 <= LOW <= HIGH < 100"
    low, high = _numbers("p-range", text, 2, expected)
    if not 0 <= low <= high < 100:
        raise fail("p-range", expected, text)
    return low, high


def grid(space: Space, text: str) -> list[SearchPoint]:
    """All combinations of a few values per axis.

    Args:
        space: gives the ends where only counts are asked for.
        text: the values, ``l1=0,1e-6,1e-5 l2=0,1e-9 p=50,80,95``, which need not lie within the space; or counts of
            λ1 × λ2 × p, ``3x3x4``: evenly spaced with both ends, a λ's first value being 0 where the space has it.
            A count of 1 is the middle of the range. ``c=8,16`` beside the values, or a fourth count, varies C; ``bits=1,4``
            and ``t=1,2`` state what is searched otherwise. A λ that is not named is 0.

    Raises:
        InputError: neither of these, a value outside its range, or more than 10,000 points.
    """
    if re.fullmatch(r"\s*\d+(?:\s*[x×]\s*\d+)+\s*", text):
        numbers = [check_integer("grid", int(count), minimum=1) for count in re.findall(r"\d+", text)]
        if len(numbers) != len(space.names):
            wanted = (
                f"{_GRID}, and with --channels-range a fourth"
                if space.lambda1
                else f"counts of {', '.join(space.names)}"
            )
            raise fail("grid", wanted, text)
        _check_total(math.prod(numbers))
        axes = {name: _spread(space, name, number) for name, number in zip(space.names, numbers, strict=True)}
    else:
        axes = _listed(text)
        _check_total(math.prod(len(values) for values in axes.values()))
    return [_point(dict(zip(axes, values, strict=True))) for values in product(*axes.values())]


def low_discrepancy(space: Space, count: int, seed: int) -> list[SearchPoint]:
    """Points spread evenly and at random over a space: a scrambled Sobol sequence.

    One eighth of each λ's values is 0 where the space has it. The first points of a longer design are those of a
    shorter one, so asking for more extends it.

    Args:
        space: the ranges.
        count: how many different points, at least 1.
        seed: seed of the scrambling.

    Raises:
        InputError: the space has not so many different points.
    """
    check_integer("num-points", count, minimum=1, maximum=MOST_POINTS)
    points = list(islice(sobol(space, seed), count))
    if len(points) < count:
        raise fail("num-points", f"at most the {len(points)} different points of these ranges", count)
    return points


def sobol(space: Space, seed: int) -> Iterator[SearchPoint]:
    """The sequence behind ``low_discrepancy``, each point once; ends where nothing new comes."""
    from scipy.stats import qmc  # takes long to load and is needed for this alone

    sequence, block = qmc.Sobol(d=len(space.names), scramble=True, rng=seed), 1024
    seen: set[SearchPoint] = set()
    known = -1
    while len(seen) > known:
        known = len(seen)
        for shares in sequence.random(block).tolist():
            point = _point({name: _drawn(space, name, share) for name, share in zip(space.names, shares, strict=True)})
            if point not in seen:
                seen.add(point)
                yield point


def _point(values: dict[str, float]) -> SearchPoint:
    """A point of named values; what is not named is 0."""
    stated = {name: int(values.get(name, 0)) for name in OPTIONAL_AXES}
    return SearchPoint(lambda1=values.get("lambda1", 0), lambda2=values.get("lambda2", 0), p=values["p"], **stated)


def _drawn(space: Space, name: str, share: float) -> float:
    if name not in LAMBDAS or not space.zero:
        return space.at(name, share)
    return 0.0 if share < ZERO_SHARE else space.at(name, (share - ZERO_SHARE) / (1 - ZERO_SHARE))


def _spread(space: Space, name: str, count: int) -> list[float]:
    """``count`` values of an axis, fewer where rounding makes some of them equal."""
    if count == 1:
        return [space.at(name, 0.5)]
    zero = [0.0] if space.zero and name in LAMBDAS else []
    rest = count - len(zero)
    values = [space.at(name, i / (rest - 1)) for i in range(rest)] if rest > 1 else [space.at(name, 0.5)]
    return list(dict.fromkeys([*zero, *values]))


def _listed(text: str) -> dict[str, list[float]]:
    axes: dict[str, list[float]] = {}
    for part in text.split():
        label, equals, values = part.partition("=")
        name = _AXES.get(label)
        if name is None or not equals:
            raise fail("grid", _GRID, part)
        if name in axes:
            raise fail("grid", f"{label} once", text)
        axes[name] = [
            check_number(f"grid {name}", value, minimum=0, **({"below": 100} if name == "p" else {}))
            for value in _numbers("grid", values, None, _GRID)
        ]
        if name in OPTIONAL_AXES and not all(value >= 1 and value.is_integer() for value in axes[name]):
            raise fail(f"grid {name}", "whole numbers of at least 1", values)
        if len(set(axes[name])) < len(axes[name]):
            raise fail(f"grid {name}", "different values", values)
    if "p" not in axes:
        raise fail("grid", _GRID, text)
    for name in NAMES:
        axes.setdefault(name, [0.0])
    return {name: axes[name] for name in (*NAMES, *OPTIONAL_AXES) if name in axes}


def _check_total(count: int) -> None:
    if count > MOST_POINTS:
        raise fail("grid", f"at most {MOST_POINTS} points", count)


def _numbers(field: str, text: str, count: int | None, expected: str) -> list[float]:
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        raise fail(field, expected, text) from None
    if count is not None and len(values) != count:
        raise fail(field, expected, text)
    return values
