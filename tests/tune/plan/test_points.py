"""The points of each preset, those a user types, names or keeps in a file, and the designs that fill a range."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from litesnn.checks import InputError
from litesnn.config import PAPER_POINTS, Recipe, SearchPoint
from litesnn.presets import PRESETS
from tune.plan.points import Trial, default_points, fitted, parse_points, point_in, trials
from tune.plan.space import (
    PAPER_LAMBDAS,
    ZERO_SHARE,
    Space,
    grid,
    lambda_range_from,
    low_discrepancy,
    p_range_from,
)

SPACE = Space(lambda1=(1e-8, 1e-5), lambda2=(1e-11, 1e-8), p=(0, 95))


@pytest.mark.parametrize("preset", PRESETS)
def test_default_points_differ_and_cover_what_the_size_depends_on(preset: str) -> None:
    points = default_points(preset)
    assert len(set(points)) == len(points) >= 9
    by_width = Recipe.preset(preset).size == "file"
    for name in ("lambda1", "lambda2", "channels" if by_width else "p"):
        assert len({getattr(point, name) for point in points}) >= 3
    assert {getattr(point, "p" if by_width else "channels") for point in points} == {0}


def test_default_widths_follow_the_recipe() -> None:
    def widths(**changes: int) -> list[int]:
        recipe = Recipe.preset("digits", **changes)
        return sorted({recipe.at(point).retrain_channels for point in default_points("digits", recipe)})

    assert widths() == [8, 16, 24, 32]
    assert widths(retrain_channels=12) == [4, 8, 12, 16]
    assert widths(retrain_channels=12, nodes=4) == [4, 8, 12, 16]
    assert {point.p for point in default_points("digits", Recipe.preset("digits", size="eq18"))} == {0, 50, 80, 95}
    assert widths(retrain_channels=4, nodes=4) == [4]  # nothing narrower, and 5.3 is no multiple


def test_default_points_of_strategies_without_a_search() -> None:
    """A hand-written cell has bits and T in place of λ; chance has the widths alone."""
    fixed = default_points("digits", Recipe.preset("digits", strategy="fixed", warm_epochs=0))
    assert [(p.channels, p.held_bits, p.held_timesteps) for p in fixed] == [
        (c, *held) for c in (8, 16, 0, 32) for held in ((4, 4), (1, 2), (1, 1))
    ]
    families = default_points("digits", Recipe.preset("digits", strategy="fixed"))
    assert [(p.channels, p.held_bits, p.held_timesteps) for p in families] == [
        (c, bits, timesteps) for c in (8, 16, 0, 32) for timesteps in (1, 2, 4) for bits in (4, 2, 1)
    ]
    assert default_points("digits", Recipe.preset("digits", strategy="random")) == [
        SearchPoint(lambda1=0, lambda2=0, p=0, channels=c) for c in (8, 16, 0, 32)
    ]
    one_step = default_points("cifar10", Recipe.preset("cifar10", strategy="fixed", timesteps=1, psi_warmup_epochs=0))
    assert [(p.p, p.held_bits, p.held_timesteps) for p in one_step] == [(p, b, 1) for p in (50, 80, 90) for b in (4, 1)]


def test_digits_has_at_least_twelve_points() -> None:
    assert len(default_points("digits")) >= 12


def test_the_papers_points_are_among_the_defaults() -> None:
    for name in ("large", "medium", "small"):
        assert PAPER_POINTS[name] in default_points("cifar10")
    assert PAPER_POINTS["gsc"] in default_points("gsc")


def test_parse() -> None:
    assert parse_points("0,1e-9,80  small") == [SearchPoint(lambda1=0, lambda2=1e-9, p=80), PAPER_POINTS["small"]]


def test_a_fourth_value_is_the_width() -> None:
    """The recipe's own width is no other point."""
    narrow, own, plain = parse_points("0,1e-9,80,8 0,1e-9,80,24 0,1e-9,80")
    assert narrow == SearchPoint(lambda1=0, lambda2=1e-9, p=80, channels=8) and plain.channels == 0
    recipe = Recipe.preset("digits")
    assert recipe.retrain_channels == 24 and fitted([narrow, own, plain], recipe) == [narrow, plain]
    assert recipe.at(narrow).retrain_channels == 8 and recipe.at(plain) is recipe
    assert [trial.name for trial in trials([narrow, plain], 1, 0)] == [
        "l1_0-l2_1e-09-p_80-c_8-seed_0",
        "l1_0-l2_1e-09-p_80-seed_0",
    ]
    with pytest.raises(InputError, match=r"^channels: expected a multiple of nodes \(2\), got 7$"):
        fitted(parse_points("0,0,50,7"), recipe)


WIDE = Space(lambda1=(1e-8, 1e-5), lambda2=(1e-10, 1e-7), channels=(8, 32), multiple=4)


def test_points_that_state_bits_and_timesteps() -> None:
    (stated,) = parse_points("0,0,50,8,1,2")
    assert stated == SearchPoint(lambda1=0, lambda2=0, p=50, channels=8, held_bits=1, held_timesteps=2)
    assert Trial(point=stated, seed=3).name == "l1_0-l2_0-p_50-b_1-t_2-c_8-seed_3"
    assert not WIDE.contains(stated)  # no sampler chooses such points, so they teach none
    assert point_in({**stated.to_dict(), "held_bits": 1.0, "channels": math.nan}) == replace(stated, channels=0)
    listed = grid(SPACE, "p=50 t=1,2 bits=1,4")
    assert {(point.held_bits, point.held_timesteps) for point in listed} == {(1, 1), (1, 2), (4, 1), (4, 2)}
    assert {(point.lambda1, point.lambda2, point.p, point.channels) for point in listed} == {(0, 0, 50, 0)}


def test_widths_in_grids() -> None:
    listed = grid(SPACE, "c=8,16 l1=0 l2=0,1e-9 p=50")
    assert [(point.lambda2, point.channels) for point in listed] == [(0, 8), (0, 16), (1e-9, 8), (1e-9, 16)]
    counted = grid(WIDE, "1x1x1x3")
    assert [point.channels for point in counted] == [8, 16, 32]  # the middle of a log axis
    with pytest.raises(InputError, match="three counts such as 3x3x4, and with --channels-range a fourth"):
        grid(SPACE, "2x2x2x2")


HELD = Space(
    lambda1=None, lambda2=None, p=(0, 50), channels=(8, 16), multiple=4, held_bits=(1, 2, 4), held_timesteps=(1, 3)
)


def test_a_space_without_a_search() -> None:
    """Bits and T take the place of λ, which is 0."""
    assert HELD.names == ("p", "channels", "held_bits", "held_timesteps")
    counted = grid(HELD, "2x2x3x2")
    assert len(counted) == 24 and {(p.lambda1, p.lambda2) for p in counted} == {(0, 0)}
    values = [{getattr(point, name) for point in counted} for name in HELD.names]
    assert values == [{0, 50}, {8, 16}, {1, 2, 4}, {1, 3}]
    points = low_discrepancy(HELD, 240, 0)
    assert all(map(HELD.contains, points)) and not any(map(SPACE.contains, points))
    for name, count in (("held_bits", 3), ("held_timesteps", 3)):
        found = [getattr(point, name) for point in points]
        assert all(abs(found.count(value) - 240 / count) < 12 for value in set(found)) and len(set(found)) == count
    for outside in ({"held_bits": 3}, {"held_timesteps": 4}, {"held_bits": 0}, {"lambda1": 1e-6}, {"channels": 4}):
        assert not HELD.contains(replace(points[0], **outside))
    with pytest.raises(
        InputError, match="^grid: expected counts of p, channels, held_bits, held_timesteps, got '3x3'$"
    ):
        grid(HELD, "3x3")


def test_widths_in_a_low_discrepancy_design() -> None:
    points = low_discrepancy(WIDE, 64, 0)
    assert {point.channels for point in points} == set(range(8, 33, 4)) and all(WIDE.contains(p) for p in points)
    assert not any(SPACE.contains(point) for point in points)
    assert not any(WIDE.contains(replace(point, channels=0)) for point in points)  # the recipe's own C is no width here
    narrow = sum(point.channels < 16 for point in points)
    assert 20 < narrow < 44  # half of a log axis from 8 to 32


def test_the_ablation_by_name() -> None:
    named = parse_points("ablation")
    assert [(point.lambda1, point.lambda2, point.p) for point in named] == [
        (1e-9, 0, 90),
        (1e-9, 1e-13, 90),
        (5e-9, 1e-13, 90),
    ]
    assert parse_points("ablation-1 ablation-3") == [named[0], named[2]]
    assert parse_points("small ablation") == [PAPER_POINTS["small"], named[0], named[2]]


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
        ("small ablation-2", "more than once"),
        ("no-such-file.csv", "a CSV file that exists"),
    ],
)
def test_bad_points(text: str, expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        parse_points(text)


def test_points_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "my points.csv"
    file.write_text("\ufeffp, lambda2 ,note,lambda1\n80,1e-9,a,0\n\n90,0,b,1e-6\n80,1e-9,again,0\n", encoding="utf-8")
    assert parse_points(str(file)) == [
        SearchPoint(lambda1=0, lambda2=1e-9, p=80),
        SearchPoint(lambda1=1e-6, lambda2=0, p=90),
    ]


def test_a_table_of_ours_can_be_given_back(tmp_path: Path) -> None:
    from tune.storage.store import Experiment

    experiment = Experiment(tmp_path)
    points = low_discrepancy(SPACE, 5, 0)
    for trial in trials(points, 2, 0):
        point = trial.point
        start = {"lambda1": point.lambda1, "lambda2": point.lambda2, "p": point.p, "seed": trial.seed}
        experiment.trial(trial.name).write_start(start, {})
    (experiment.trial("damaged").path).mkdir()
    (experiment.trial("damaged").path / "point.json").write_text("")
    path = experiment.path / "trials.csv"
    experiment.table().to_csv(path, index=False)
    assert set(parse_points(str(path))) == set(points)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "no header"),
        ("lambda1,lambda2\n1,2\n", "columns lambda1, lambda2 and p"),
        ("lambda1,lambda2,p,p\n1,2,3,4\n", "columns lambda1, lambda2 and p"),
        ("lambda1,lambda2,p\n", "at least one point"),
        ("lambda1,lambda2,p\n0,0,50\n0,x,50\n", "line 3: expected three numbers"),
        ("lambda1,lambda2,p\n0,0\n", "line 2: expected three numbers"),
        ("lambda1,lambda2,p\n0,0,100\n", "line 2: p: expected .* below 100"),
        ("lambda1,lambda2,p\n0,inf,50\n", "line 2: lambda2"),
        ("\x00\n", "columns|CSV"),
        (b"\xff\xfe\x00", "columns"),
        (b"PK\x03\x04\xff", "columns"),
    ],
)
def test_bad_files(text: str | bytes, expected: str, tmp_path: Path) -> None:
    file = tmp_path / "points.csv"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError, match=expected) as caught:
        parse_points(str(file))
    assert "\n" not in str(caught.value)


def test_trial_names_differ_where_points_do() -> None:
    values = (0.1, 0.1 + 1e-17, 0.1 + 1e-16, 0.1 + 2e-16)
    points = {SearchPoint(lambda1=v, lambda2=0, p=50) for v in values}
    assert len({Trial(point=point, seed=0).name for point in points}) == len(points) > 1
    assert Trial(point=PAPER_POINTS["small"], seed=3).name == "l1_1e-09-l2_1e-13-p_90-seed_3"


def test_all_points_have_their_first_seed_first() -> None:
    one, other = parse_points("large small")
    assert [(trial.point, trial.seed) for trial in trials([one, other], 2, 5)] == [
        (one, 5),
        (other, 5),
        (one, 6),
        (other, 6),
    ]


@pytest.mark.parametrize(("seeds", "seed", "field"), [(0, 0, "seeds"), (2, 2**32 - 1, "seeds"), (1, -1, "seed")])
def test_bad_seeds(seeds: int, seed: int, field: str) -> None:
    with pytest.raises(InputError, match=f"^{field}: "):
        trials(parse_points("small"), seeds, seed)


def test_a_grid_of_values() -> None:
    points = grid(SPACE, "l1=0,1e-6,1e-5 λ2=0,1e-9 p=50,80,95")
    assert len(points) == len(set(points)) == 18
    assert {point.lambda1 for point in points} == {0, 1e-6, 1e-5}
    assert {point.lambda2 for point in points} == {0, 1e-9}
    assert {point.p for point in points} == {50, 80, 95}


def test_a_grid_of_counts() -> None:
    points = grid(SPACE, "3x2x4")
    assert len(points) == len(set(points)) == 24
    assert sorted({point.lambda1 for point in points}) == [0, 1e-8, 1e-5]
    assert sorted({point.lambda2 for point in points}) == [0, pytest.approx(10**-9.5, rel=0.01)]
    assert sorted({point.p for point in points}) == [0, 31.7, 63.3, 95]
    (middle,) = grid(SPACE, "1x1x1")
    assert (middle.lambda1, middle.lambda2, middle.p) == (pytest.approx(10**-6.5, rel=0.01), 3.16e-10, 47.5)


def test_a_grid_without_zero_has_both_ends() -> None:
    points = grid(Space(lambda1=(1e-8, 1e-5), lambda2=(1e-11, 1e-8), zero=False), "4 x 1 x 1")
    assert [point.lambda1 for point in points] == pytest.approx([1e-8, 1e-7, 1e-6, 1e-5])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "l1=… l2=… p=…"),
        ("3x3", "l1=… l2=… p=…"),
        ("0x3x3", "at least 1"),
        ("l1=0 l2=0", "l1=… l2=… p=…"),
        ("l1=0 l2=0 p=x", "l1=… l2=… p=…"),
        ("l1=0 l2=0 q=1", "l1=… l2=… p=…"),
        ("l1=0 l2=0 p=100", "below 100"),
        ("l1=-1 l2=0 p=1", "lambda1"),
        ("l1=nan l2=0 p=1", "lambda1"),
        ("l1=0,0 l2=0 p=1", "different values"),
        ("l1=0 l1=1 l2=0 p=1", "l1 once"),
        ("100x100x100", "at most 10000"),
        ("99999999999999999999x1x1", "at most 10000"),
    ],
)
def test_bad_grids(text: str, expected: str) -> None:
    with pytest.raises(InputError, match=f"^grid.*{expected}"):
        grid(SPACE, text)


def test_low_discrepancy_points_differ_fill_the_ranges_and_have_their_share_of_zeros() -> None:
    points = low_discrepancy(SPACE, 256, 1)
    assert len(set(points)) == 256 and all(map(SPACE.contains, points))
    for name in ("lambda1", "lambda2"):
        values = [getattr(point, name) for point in points]
        assert values.count(0) / 256 == pytest.approx(ZERO_SHARE, abs=0.01)
        low, _ = getattr(SPACE, name)
        decades = [math.floor(math.log10(value / low)) for value in values if value]
        for decade in range(3):
            assert decades.count(decade) / len(decades) == pytest.approx(1 / 3, abs=0.05)
    assert sum(point.p < 47.5 for point in points) == pytest.approx(128, abs=4)


@given(first=st.integers(1, 40), more=st.integers(0, 40), seed=st.integers(0, 2**32 - 1))
def test_asking_for_more_extends_a_design(first: int, more: int, seed: int) -> None:
    assert low_discrepancy(SPACE, first + more, seed)[:first] == low_discrepancy(SPACE, first, seed)


def test_another_seed_is_another_design() -> None:
    assert not set(low_discrepancy(SPACE, 20, 0)) & set(low_discrepancy(SPACE, 20, 1))


def test_a_space_without_zero_has_none() -> None:
    space = Space(lambda1=(1e-8, 1e-5), lambda2=(1e-11, 1e-8), zero=False)
    assert all(point.lambda1 and point.lambda2 for point in low_discrepancy(space, 64, 0))


def test_more_points_than_there_are_is_one_line() -> None:
    narrow = Space(lambda1=(1e-8, 1e-8), lambda2=(1e-8, 1e-8), p=(50, 50))
    assert len(low_discrepancy(narrow, 4, 0)) == 4
    with pytest.raises(InputError, match="num-points: expected at most the 4 different points"):
        low_discrepancy(narrow, 5, 0)


def test_lambda_ranges_of_the_command() -> None:
    assert lambda_range_from("1e-8,1e-5,1e-11,1e-8", "digits") == ((1e-8, 1e-5), (1e-11, 1e-8))
    assert lambda_range_from("auto", "cifar10") is None
    assert lambda_range_from(None, "digits") is None
    for preset in ("cifar10", "cifar100", "gsc"):
        assert lambda_range_from(None, preset) == PAPER_LAMBDAS[preset]


def test_the_ranges_of_the_papers_recipes_hold_its_points() -> None:
    lambda1, lambda2 = PAPER_LAMBDAS["cifar10"]
    space = Space(lambda1=lambda1, lambda2=lambda2)
    assert all(map(space.contains, [*default_points("cifar10"), *PAPER_POINTS.values(), *parse_points("ablation")]))


@pytest.mark.parametrize("text", ["", "1e-8,1e-5", "0,1e-5,1e-11,1e-8", "1e-5,1e-8,1,2", "1,2,3,inf", "1,2,3,nan", "x"])
def test_bad_lambda_ranges(text: str) -> None:
    with pytest.raises(InputError, match="^lambda-range: expected auto or L1LOW,L1HIGH,L2LOW,L2HIGH"):
        lambda_range_from(text, "digits")


def test_p_range_of_the_command() -> None:
    assert p_range_from("0,95") == (0, 95)


@pytest.mark.parametrize("text", ["", "95", "95,0", "0,100", "-1,50", "0,nan", "0,1,2", "a,b"])
def test_bad_p_ranges(text: str) -> None:
    with pytest.raises(InputError, match="^p-range: expected LOW,HIGH in percent"):
        p_range_from(text)


@pytest.mark.parametrize(
    ("ranges", "expected"),
    [
        ({"lambda1": (0, 1)}, "lambda1 range: .* above 0"),
        ({"lambda2": (2, 1)}, "lambda2 range: expected the smaller end first"),
        ({"p": (0, 100)}, "p range: .* below 100"),
    ],
)
def test_bad_spaces(ranges: dict[str, tuple[float, float]], expected: str) -> None:
    values = {"lambda1": (1.0, 2.0), "lambda2": (1.0, 2.0), **ranges}
    with pytest.raises(InputError, match=expected):
        Space(**values)
