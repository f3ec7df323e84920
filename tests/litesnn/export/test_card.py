"""The front matter of the model card, read back by a YAML parser."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
import yaml

from litesnn.config import Recipe
from litesnn.export.card import front_matter, model_card
from tests.litesnn.export.conftest import Trained


def front_of(card: str) -> dict[str, Any]:
    nothing, front, rest = card.split("---\n", 2)
    assert nothing == "" and rest.startswith("\n# ")
    found: dict[str, Any] = yaml.safe_load(front)
    return found


def test_the_numbers_are_those_of_the_result(trained: Trained) -> None:
    facts = json.loads((trained.path.parent / "result.json").read_text())
    front = front_of(model_card(trained.packed, trained.model.recipe, facts, "wake.lsnn", "lsnn", 1234))
    assert set(front) == {"library_name", "pipeline_tag", "tags", "model-index"}  # a license nobody knows
    assert (front["library_name"], front["pipeline_tag"]) == ("litesnn", "image-classification")
    assert "spiking-neural-network" in front["tags"]
    (index,) = front["model-index"]
    assert index["name"] == "wake"
    for result, (split, key) in zip(
        index["results"], (("test", "test_accuracy"), ("validation", "val_accuracy")), strict=True
    ):
        assert result["task"] == {"type": "image-classification"}
        assert result["dataset"] == {"name": "digits", "type": "digits", "split": split}
        (metric,) = result["metrics"]
        assert metric["type"] == "accuracy" and metric["value"] == pytest.approx(facts[key] / 100, abs=1e-6)


@pytest.mark.parametrize(
    "facts", [{}, {"test_accuracy": None}, {"test_accuracy": float("nan")}, {"test_accuracy": "98"}]
)
def test_without_accuracies_there_is_no_index(facts: dict[str, Any], trained: Trained) -> None:
    assert "model-index" not in front_of(model_card(trained.packed, None, facts, "x.lsnn", "lsnn", 1))


@pytest.mark.parametrize(
    "name", ['a: "b"', "{x}", "- y", "# z", "emoji \U0001f600", "bell\x07\x7f\x85", "'", "back\\slash"]
)
def test_names_stay_names(name: str) -> None:
    recipe = Recipe.preset("digits", dataset=f"folder:/home/somebody/{name}")
    front = yaml.safe_load(front_matter(recipe, {"test_accuracy": 50.0}, f"{name}.lsnn"))
    (result,) = front["model-index"][0]["results"]
    assert result["dataset"]["name"] == "".join(c if c.isprintable() or c < " " else " " for c in name)
    assert front["model-index"][0]["name"] == result["dataset"]["name"] and "somebody" not in str(front)


@pytest.mark.parametrize(
    ("strategy", "facts", "told"),
    [
        ("fixed", {"lambda1": 0.0}, "Its cell was written by hand."),
        ("random", {}, "Its cell, bits and timesteps were drawn."),
        ("darts", {"lambda1": 0.0}, "found by a joint search"),
        ("darts", {}, ""),  # the genotype may be from anywhere
        (None, {"lambda1": 0.0}, ""),
    ],
)
def test_where_the_cell_is_from(strategy: Any, facts: dict[str, Any], told: str, trained: Trained) -> None:
    recipe = None if strategy is None else replace(trained.model.recipe, strategy=strategy)
    card = model_card(trained.packed, recipe, facts, "x.lsnn", "lsnn", 1)
    about = next(line for line in card.splitlines() if line.startswith("A spiking network"))
    assert told in about and ("search" in about) == ("search" in told) and ("by hand" in about) == ("by hand" in told)


def test_what_it_was_trained_from(trained: Trained) -> None:
    def card(**facts: Any) -> str:
        return model_card(trained.packed, trained.model.recipe, facts, "x.lsnn", "lsnn", 1)

    assert "| trained | for 2 epochs from the weights of big-seed_0 |" in card(retrain_epochs=2, parent="big-seed_0")
    assert "| trained | for 8 epochs from initial values |" in card(retrain_epochs=8, parent=None)
    assert "| trained |" not in card()


def test_clips_are_audio() -> None:
    assert yaml.safe_load(front_matter(Recipe.preset("gsc"), {}, "x"))["pipeline_tag"] == "audio-classification"
