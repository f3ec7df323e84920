"""Which points to try: the default set of each preset, or points given by the user."""

from __future__ import annotations

from dataclasses import dataclass

from litesnn.checks import InputError, fail
from litesnn.config import PAPER_POINTS, SearchPoint

# (λ1, λ2) from no pressure to strong pressure, times pruning rates. For the paper's recipes the levels are the paper's
# own and one stronger; for the small ones the cost terms start at about 0, 1 and 10 % of the cross entropy.
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


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A point and the seed to run it with."""

    point: SearchPoint
    seed: int

    @property
    def name(self) -> str:
        """The trial's name, from its values alone, so that the same point finds its folder again."""
        point = self.point
        return f"l1_{_text(point.lambda1)}-l2_{_text(point.lambda2)}-p_{_text(point.p)}-seed_{self.seed}"


def default_points(preset: str) -> list[SearchPoint]:
    """A set that covers (λ1, λ2, p) for a preset: every level of pressure at every pruning rate."""
    return [
        SearchPoint(lambda1=lambda1, lambda2=lambda2, p=p)
        for p in _PRUNING.get(preset, _USUAL_PRUNING)
        for lambda1, lambda2 in _LEVELS[preset]
    ]


def parse_points(text: str) -> list[SearchPoint]:
    """Reads points given inline.

    Args:
        text: points separated by blanks, each ``lambda1,lambda2,p`` or a name such as ``small``.

    Raises:
        InputError: not of that form, a value outside its range, or a point given twice.
    """
    points = []
    for part in text.split():
        if part in PAPER_POINTS:
            points.append(SearchPoint.named(part))
            continue
        try:
            lambda1, lambda2, p = (float(value) for value in part.split(","))
        except ValueError:
            raise fail("points", f"lambda1,lambda2,p or one of {', '.join(PAPER_POINTS)}", part) from None
        points.append(SearchPoint(lambda1=lambda1, lambda2=lambda2, p=p))
    if not points:
        raise fail("points", "at least one point", text)
    for point in points:
        if points.count(point) > 1:
            raise InputError(f"points: expected different points, got {point} more than once")
    return points


def _text(value: float) -> str:
    """The shortest text that reads back as the same number, without a trailing .0."""
    return repr(value).removesuffix(".0")
