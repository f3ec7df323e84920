"""Networks that nobody searched: drawn evenly from the space, or written by hand; and what a point states."""

from collections import Counter
from itertools import product
from pathlib import Path

import pytest
import torch

from litesnn import InputError, Recipe, SearchPoint
from litesnn.cli import main
from litesnn.data import load
from litesnn.genotype import Genotype
from litesnn.held import Held
from litesnn.joint_search import Search
from litesnn.operations import PRIMITIVES
from litesnn.strategies import hand_written, held_by, unsearched

FREE = SearchPoint(lambda1=0, lambda2=0, p=0)


def recipe(strategy: str, **fields: object) -> Recipe:
    return Recipe.preset("digits", strategy=strategy, **fields)


def test_a_search_is_the_only_strategy_without_a_network_beforehand() -> None:
    assert unsearched(FREE, recipe("darts"), 0) is None
    assert all(unsearched(FREE, recipe(strategy), 0) is not None for strategy in ("random", "fixed"))


def test_the_hand_written_cell() -> None:
    assert hand_written(1, "skip") == (((0, "conv3x3"), (1, "conv3x3")),)
    for link in ("skip", "conv3x3"):
        assert hand_written(3, link) == (
            ((0, "conv3x3"), (1, "conv3x3")),
            ((1, "conv3x3"), (2, link)),
            ((1, "conv3x3"), (3, link)),
        )
        found = unsearched(FREE, recipe("fixed", link=link), 3)
        assert found is not None and found.nodes == hand_written(2, link)
    network = unsearched(FREE, recipe("fixed"), 3)
    assert network is not None and network == unsearched(FREE, recipe("fixed"), 4)
    assert (network.bits, network.timesteps, network.p) == ((4, 4, 4), 4, 0)


@pytest.mark.parametrize("strategy", ["random", "fixed"])
def test_what_a_point_states_is_kept(strategy: str) -> None:
    for bits, timesteps, p in product((1, 2, 4), (1, 3), (0, 80)):
        point = SearchPoint(lambda1=0, lambda2=0, p=p, held_bits=bits, held_timesteps=timesteps)
        network = unsearched(point, recipe(strategy), 0)
        assert network is not None
        assert (network.bits, network.timesteps, network.p) == ((bits,) * 3, timesteps, p)
        network.check_fits(recipe(strategy))


def test_chance_is_even_over_the_space() -> None:
    """Of 3,000 networks, every value of every choice stands as often as it should, within five standard errors."""
    space, count = recipe("random"), 3000
    drawn = [unsearched(FREE, space, seed) for seed in range(count)]
    networks = [network for network in drawn if network is not None]
    assert len(networks) == count

    def check(values: Counter[object], of: int) -> None:
        expected = count / of
        assert len(values) == of
        assert all(abs(found - expected) < 5 * expected**0.5 for found in values.values())

    check(Counter(network.timesteps for network in networks), 4)
    for cell in range(3):
        check(Counter(network.bits[cell] for network in networks), 3)
    check(Counter(network.nodes[0] for network in networks), len(PRIMITIVES) ** 2)  # both inputs, either operation
    check(Counter(network.nodes[1] for network in networks), 3 * len(PRIMITIVES) ** 2)  # two of three inputs


def test_chance_depends_on_seed_and_point_alone() -> None:
    space = recipe("random")
    wide = SearchPoint(lambda1=0, lambda2=0, p=0, channels=8)
    assert unsearched(FREE, space, 5) == unsearched(FREE, space, 5)
    of_seeds = {unsearched(FREE, space, seed) for seed in range(20)}
    assert len(of_seeds) > 15  # of 12,312 networks
    assert {unsearched(wide, space, seed) for seed in range(20)} != of_seeds


def test_a_search_is_given_what_the_point_states() -> None:
    space = recipe("darts")
    assert held_by(FREE, space) == Held()
    point = SearchPoint(lambda1=1e-6, lambda2=0, p=0, held_bits=2, held_timesteps=3)
    assert held_by(point, space) == Held(bits=(2, 2, 2), timesteps=3)


@pytest.mark.parametrize(
    ("strategy", "values", "expected"),
    [
        ("fixed", {"lambda1": 1e-6}, "lambda1: expected 0, since strategy fixed searches nothing, got 1e-06"),
        ("random", {"lambda2": 1e-9}, "lambda2: expected 0, since strategy random searches nothing, got 1e-09"),
        ("darts", {"held_bits": 3}, "held_bits: expected one of 1, 2, 4, got 3"),
        ("darts", {"held_timesteps": 5}, "held_timesteps: expected an integer of at least 0 and at most 4, got 5"),
    ],
)
def test_points_outside_of_the_space(strategy: str, values: dict[str, float], expected: str) -> None:
    point = SearchPoint(**{"lambda1": 0, "lambda2": 0, "p": 0, **values})
    with pytest.raises(InputError) as caught:
        recipe(strategy).at(point)
    assert str(caught.value) == expected


@pytest.mark.parametrize("strategy", ["random", "fixed"])
def test_the_command_writes_the_network_without_searching(strategy: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert main(["search", "--strategy", strategy, "--p", "80", "--seed", "3", "--out", str(out)]) == 0
    written = Genotype.from_json((out / "genotype.json").read_text())
    assert written == unsearched(SearchPoint(lambda1=0, lambda2=0, p=80), recipe(strategy), 3)
    assert sorted(path.name for path in out.iterdir()) == ["genotype.json", "recipe.json", "search.json"]


def test_a_search_of_another_strategy_is_refused() -> None:
    with pytest.raises(InputError, match=r"\Astrategy: expected darts to go with a search, got 'fixed'\Z"):
        Search(FREE, recipe("fixed"), load(recipe("fixed")), device=torch.device("cpu"))
