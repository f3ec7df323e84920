"""The points of each preset and those a user types."""

import pytest

from litesnn.checks import InputError
from litesnn.config import PAPER_POINTS, SearchPoint
from litesnn.presets import PRESETS
from tune.points import Trial, default_points, parse_points


@pytest.mark.parametrize("preset", PRESETS)
def test_default_points_differ_and_cover_all_three(preset: str) -> None:
    points = default_points(preset)
    assert len(set(points)) == len(points) >= 9
    for name in ("lambda1", "lambda2", "p"):
        assert len({getattr(point, name) for point in points}) >= 3


def test_digits_has_at_least_twelve_points() -> None:
    assert len(default_points("digits")) >= 12


def test_the_papers_points_are_among_the_defaults() -> None:
    for name in ("large", "medium", "small"):
        assert PAPER_POINTS[name] in default_points("cifar10")
    assert PAPER_POINTS["gsc"] in default_points("gsc")


def test_parse() -> None:
    assert parse_points("0,1e-9,80  small") == [SearchPoint(lambda1=0, lambda2=1e-9, p=80), PAPER_POINTS["small"]]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "at least one point"),
        ("1,2", "lambda1,lambda2,p"),
        ("1,2,x", "lambda1,lambda2,p"),
        ("tiny", "large, medium, small"),
        ("0,0,100", "below 100"),
        ("-1,0,50", "lambda1"),
        ("0,nan,50", "lambda2"),
        ("small small", "more than once"),
    ],
)
def test_bad_points(text: str, expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        parse_points(text)


def test_trial_names_differ_where_points_do() -> None:
    values = (0.1, 0.1 + 1e-17, 0.1 + 1e-16, 0.1 + 2e-16)
    points = {SearchPoint(lambda1=v, lambda2=0, p=50) for v in values}
    assert len({Trial(point=point, seed=0).name for point in points}) == len(points) > 1
    assert Trial(point=PAPER_POINTS["small"], seed=3).name == "l1_1e-09-l2_1e-13-p_90-seed_3"
