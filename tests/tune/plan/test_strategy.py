"""The strategy of a command that names none."""

from dataclasses import fields, replace

import pytest

from litesnn.config import Recipe
from litesnn.presets import PRESETS
from tune.plan.strategy import FAMILIES_WIN, OF_A_SEARCH, usual_strategy


@pytest.mark.parametrize("name", PRESETS)
def test_only_where_families_win_they_are_trained(name: str) -> None:
    expected = "fixed" if name in ("digits", "cifar10-small", "gsc-small") else "darts"
    assert usual_strategy(name, Recipe.preset(name), (), own_points=False) == expected


@pytest.mark.parametrize("name", FAMILIES_WIN)
def test_points_of_the_user_are_searched(name: str) -> None:
    assert usual_strategy(name, Recipe.preset(name), (), own_points=True) == "darts"


@pytest.mark.parametrize("field", sorted(OF_A_SEARCH))
def test_an_option_that_only_a_search_reads_asks_for_one(field: str) -> None:
    assert usual_strategy("digits", Recipe.preset("digits"), [field], own_points=False) == "darts"


def test_an_option_that_every_network_reads_does_not() -> None:
    given = ["retrain_epochs", "retrain_channels", "nodes", "dataset", "score_lr"]
    assert usual_strategy("digits", Recipe.preset("digits"), given, own_points=False) == "fixed"


def test_the_size_of_the_paper_and_networks_that_start_from_nothing_keep_the_search() -> None:
    recipe = Recipe.preset("digits")
    for changed in (replace(recipe, size="eq18"), replace(recipe, warm_epochs=0)):
        assert usual_strategy("digits", changed, (), own_points=False) == "darts"


def test_every_field_of_the_search_is_one_of_it_or_said_to_be_none() -> None:
    """A field that is added to the group has to be decided on: ``score_lr`` trains masks in retraining as well."""
    of_group = {field.name for field in fields(Recipe) if field.metadata["group"] == "search"}
    assert of_group - OF_A_SEARCH == {"strategy", "link", "size", "score_lr"}
    assert {field.name for field in fields(Recipe)} > OF_A_SEARCH
