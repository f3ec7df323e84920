"""Which strategy a command has that names none: the experiment's, or the usual one; the whole command on a real cluster."""

from pathlib import Path

import pandas as pd
import pytest

from litesnn.config import Recipe
from tests.tune.clusters import Cluster
from tune.run import with_strategy
from tune.running.settings import Settings
from tune.storage.store import Experiment

RECIPE = Recipe.preset("digits")
OWN_POINTS = Settings(points="1e-6,0,0")


def test_a_new_experiment_has_the_usual_one(tmp_path: Path) -> None:
    experiment = Experiment(tmp_path / "digits")
    assert with_strategy("digits", RECIPE, (), Settings(), experiment).strategy == "fixed"
    assert with_strategy("digits", RECIPE, (), OWN_POINTS, experiment).strategy == "darts"
    assert with_strategy("digits", RECIPE, ["search_epochs"], Settings(), experiment).strategy == "darts"
    for settings in (Settings(grid="p=0"), Settings(search="random")):
        assert with_strategy("digits", RECIPE, (), settings, experiment).strategy == "darts"
    assert not (tmp_path / "digits").exists()


@pytest.mark.parametrize("strategy", ["darts", "fixed", "random"])
def test_an_experiment_keeps_its_own(tmp_path: Path, strategy: str) -> None:
    experiment = Experiment(tmp_path / "digits")
    experiment.open(Recipe.preset("digits", strategy=strategy).to_dict())
    for settings in (Settings(), OWN_POINTS):
        assert with_strategy("digits", RECIPE, (), settings, experiment).strategy == strategy


def test_an_experiment_from_before_there_were_strategies_was_searched(tmp_path: Path) -> None:
    experiment, recipe = Experiment(tmp_path / "digits"), RECIPE.to_dict()
    del recipe["strategy"]
    experiment.open(recipe)
    assert with_strategy("digits", RECIPE, (), Settings(), experiment).strategy == "darts"


def test_what_the_command_names_is_meant(tmp_path: Path) -> None:
    named = Recipe.preset("digits", strategy="random")
    assert with_strategy("digits", named, ["strategy"], Settings(), Experiment(tmp_path / "digits")) == named


@pytest.mark.cluster
@pytest.mark.slow
def test_without_options_families_are_trained_and_nothing_is_searched(
    standing_cluster: Cluster, tmp_path: Path
) -> None:
    tiny = "--widths 1,2 --retrain-channels 4 --timesteps 1 --bit-widths 1,4 --retrain-epochs 2 --warm-epochs 1"
    command = ["--storage", str(tmp_path), "--address", standing_cluster.address, *tiny.split()]
    output = standing_cluster.pareto(command, tmp_path)
    assert "6 trials, 0 of them over before" in output and "nothing is searched" in output
    table = pd.read_csv(tmp_path / "digits" / "trials.csv")
    assert set(table["status"]) == {"finished"} and set(table["search_epochs"]) == {0}
    assert table.groupby("channels")["parent"].count().tolist() == [
        1,
        1,
        1,
    ]  # of two networks of a width one has a parent
    assert "6 trials, 6 of them over before" in standing_cluster.pareto(command, tmp_path)
    refused = standing_cluster.pareto([*command, "--strategy", "darts"], tmp_path, 2)
    assert "got another strategy: there 'fixed', here 'darts'; choose another --name" in refused
