"""Who starts from whose weights: by hand, and the nearest of those before by brute force."""

from itertools import permutations, product
from math import log2

import pytest
from hypothesis import given
from hypothesis import strategies as st

from litesnn.config import Recipe, SearchPoint
from tune.plan.families import in_order, parent_among, parents
from tune.plan.points import Trial, default_points, trials

RECIPE = Recipe.preset("digits", strategy="fixed", warm_epochs=5)  # T at most 4, 1, 2 or 4 bits


def trial(bits: int, timesteps: int, channels: int = 8, seed: int = 0, p: float = 0) -> Trial:
    point = SearchPoint(lambda1=0, lambda2=0, p=p, channels=channels, held_bits=bits, held_timesteps=timesteps)
    return Trial(point=point, seed=seed)


def test_a_family_by_hand() -> None:
    family = {levels: trial(*levels) for levels in product((1, 2, 4), (1, 2, 4))}
    found = parents(list(family.values()), RECIPE)
    by_levels = {
        levels: next((k for k, v in family.items() if v.name == found.get(t.name)), None)
        for levels, t in family.items()
    }
    assert by_levels == {
        (4, 1): None,
        (2, 1): (4, 1),
        (1, 1): (2, 1),
        (4, 2): (4, 1),
        (2, 2): (2, 1),
        (1, 2): (1, 1),
        (4, 4): (4, 2),
        (2, 4): (2, 2),
        (1, 4): (1, 2),
    }


def test_other_widths_seeds_and_pruning_rates_are_other_families() -> None:
    others = [trial(1, 1), trial(4, 1, channels=16), trial(4, 1, seed=1), trial(4, 1, p=50)]
    assert parents(others, RECIPE) == {}


def test_a_point_that_leaves_bits_and_timesteps_to_the_recipe_has_the_most_of_both() -> None:
    assert parents([trial(0, 0), trial(4, 1)], RECIPE) == {trial(0, 0).name: trial(4, 1).name}


@pytest.mark.parametrize("changes", [{"strategy": "darts"}, {"strategy": "random"}, {"warm_epochs": 0}])
def test_nobody_has_a_parent_without_a_hand_written_cell_and_epochs_for_it(changes: dict[str, object]) -> None:
    assert parents([trial(4, 1), trial(1, 1)], Recipe.preset("digits", **{"strategy": "fixed", **changes})) == {}


levels = st.lists(st.tuples(st.sampled_from((1, 2, 4)), st.integers(1, 4)), min_size=1, max_size=6, unique=True)


@given(levels, st.randoms())
def test_each_but_one_starts_from_the_nearest_before_it_in_any_order(
    family: list[tuple[int, int]], random: object
) -> None:
    members = [trial(*level) for level in family]
    random.shuffle(members)  # type: ignore[attr-defined]
    found = parents(members, RECIPE)
    assert len(found) == len(members) - 1
    ordered = in_order(members, found)
    places = {member.name: place for place, member in enumerate(ordered)}
    assert sorted(places) == sorted(member.name for member in members)
    assert all(places[parent] < places[name] for name, parent in found.items())

    def place(member: Trial) -> tuple[int, int]:
        return member.point.held_timesteps, -member.point.held_bits

    def distance(a: Trial, b: Trial) -> float:
        return abs(log2(a.point.held_bits / b.point.held_bits)) + abs(
            log2(a.point.held_timesteps / b.point.held_timesteps)
        )

    for member in members:
        before = [other for other in members if place(other) < place(member)]
        if before:
            chosen = next(other for other in before if other.name == found[member.name])
            assert distance(member, chosen) == min(distance(member, other) for other in before)


def test_roots_come_first_and_equals_stay_as_they_are() -> None:
    every = trials(default_points("digits", RECIPE), 1, 0)
    ordered = in_order(every, parents(every, RECIPE))
    roots = [t for t in every if (t.point.held_bits, t.point.held_timesteps) == (4, 1)]
    assert len(roots) == 4 and ordered[:4] == roots
    assert len({in_order(list(order), {})[0].name for order in permutations(roots)}) == 4


def test_a_chosen_point_starts_from_the_nearest_that_has_finished_with_as_many_bits() -> None:
    new = trial(2, 2)
    near, fewer, far = trial(4, 2), trial(1, 2), trial(4, 1)
    assert parent_among(new, [far], RECIPE) == far.name
    assert parent_among(new, [fewer], RECIPE) == ""
    assert parent_among(new, [far, fewer], RECIPE) == far.name
    assert parent_among(new, [far, fewer, near], RECIPE) == near.name
    assert parent_among(trial(1, 1), [trial(1, 4)], RECIPE) == trial(1, 4).name
    assert (
        parent_among(trial(1, 2), [trial(1, 4), trial(1, 1)], RECIPE) == trial(1, 1).name
    )  # as near, and earlier by T
    assert parent_among(trial(4, 2), [trial(0, 0)], RECIPE) == trial(0, 0).name
    own = trial(4, 2, channels=RECIPE.retrain_channels)
    assert parent_among(trial(4, 1, channels=0), [own], RECIPE) == own.name


def test_a_chosen_point_has_no_parent_outside_of_its_family_or_where_none_has_finished() -> None:
    others = [trial(4, 1, channels=16), trial(4, 1, seed=1), trial(4, 1, p=50)]
    assert parent_among(trial(1, 1), others, RECIPE) == parent_among(trial(1, 1), [], RECIPE) == ""
    for changes in ({"strategy": "darts"}, {"warm_epochs": 0}):
        recipe = Recipe.preset("digits", **{"strategy": "fixed", **changes})
        assert parent_among(trial(1, 1), [trial(4, 1)], recipe) == ""
