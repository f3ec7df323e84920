"""Recipes and points: the paper's numbers, the round trip, and one line for everything that is refused."""

import json
from typing import Any

import pytest

from litesnn.checks import InputError
from litesnn.config import PAPER_POINTS, Recipe, SearchPoint
from litesnn.presets import PRESETS

BAD_POINTS = [
    ("lambda1", -1e-12),
    ("lambda1", float("nan")),
    ("lambda1", float("inf")),
    ("lambda1", "0"),
    ("lambda1", None),
    ("lambda1", True),
    ("lambda1", 10**400),  # an integer that no float holds
    ("lambda2", -1),
    ("lambda2", [0]),
    ("p", -0.5),
    ("p", 100),
    ("p", float("nan")),
    ("p", "50"),
]


@pytest.mark.parametrize(("field", "value"), BAD_POINTS, ids=range(len(BAD_POINTS)))
def test_a_bad_point_is_refused(field: str, value: Any) -> None:
    values: dict[str, Any] = {"lambda1": 0, "lambda2": 0, "p": 0, field: value}
    with pytest.raises(InputError, match=rf"\A{field}: expected a finite number [^\n]+, got [^\n]+\Z"):
        SearchPoint(**values)


def test_numbers_of_a_point_become_floats() -> None:
    point = SearchPoint(lambda1=0, lambda2=1, p=50)
    assert [type(v) for v in (point.lambda1, point.lambda2, point.p)] == [float] * 3
    assert point == SearchPoint(lambda1=0.0, lambda2=1.0, p=50.0)


BAD_FIELDS: list[tuple[str, Any]] = [
    ("dataset", "mnist"),
    ("dataset", ""),
    ("dataset", "folder:"),
    ("dataset", None),
    ("search_dataset", "mnist"),
    ("search_dataset", 3),
    ("input_shape", (3, 32)),
    ("input_shape", (3, 32, 0)),
    ("input_shape", "333"),
    ("input_shape", 32),
    ("input_shape", (3.0, 32, 32)),
    ("classes", 1),
    ("classes", 10.0),
    ("classes", True),
    ("search_classes", 1),
    ("search_classes", -1),
    ("val_fraction", 0),
    ("val_fraction", 1),
    ("val_fraction", "0.1"),
    ("test_fraction", 1.0),
    ("resize", "stretch"),
    ("split_seed", -1),
    ("split_seed", 0.5),
    ("crop_padding", -1),
    ("crop_border", "black"),
    ("flip_order", "always"),
    ("horizontal_flip", 1),
    ("horizontal_flip", "yes"),
    ("cutout", -1),
    ("time_shift", -1),
    ("time_shift", 2.5),
    ("time_stretch", 1),
    ("feature_noise", -0.1),
    ("time_mask", "10"),
    ("feature_mask", -3),
    ("widths", ()),
    ("widths", (1, 3)),
    ("widths", (2, 1)),
    ("widths", (1, 4)),
    ("widths", (4, 4)),
    ("widths", (0,)),
    ("widths", "12"),
    ("widths", 8),
    ("nodes", 0),
    ("nodes", 4.0),
    ("search_channels", 0),
    ("search_channels", 50),  # not a multiple of 4 nodes
    ("retrain_channels", 142),
    ("retrain_channels", "144"),
    ("bit_widths", ()),
    ("bit_widths", (4, 2, 1)),
    ("bit_widths", (2, 2)),
    ("bit_widths", (1, 8)),
    ("bit_widths", (1, 2.0)),
    ("stem_bits", 5),
    ("stem_bits", 0),
    ("stem_bits", 4.0),
    ("stem_bits", True),
    ("stem_bits", "4"),
    ("classifier_bits", 8),
    ("classifier_bits", None),
    ("classifier_bits", 2.0),
    ("operations", ("conv3x3",)),
    ("operations", ("conv3x3", "conv3x3")),
    ("operations", ("conv3x3", "none")),
    ("operations", "conv3x3"),
    ("operations", ("conv3x3", 1)),
    ("input_skip", "identity"),
    ("timesteps", 0),
    ("timesteps", 6.0),
    ("tau", -0.1),
    ("tau", 1.1),
    ("tau", "0.2"),
    ("v_threshold", 0),
    ("dspike_b", 0),
    ("dspike_b", float("inf")),
    ("mask_n", -1),
    ("mask_n", 17),
    ("mask_n", 1.5),
    ("norm_weight", 0),
    ("norm_weight", float("nan")),
    ("precision", "fp16"),
    ("schedule", "step"),
    ("warmup_share", 1),
    ("warmup_share", -0.1),
    ("nesterov", 1),
    ("norm_decay", "no"),
    ("label_smoothing", 1),
    ("label_smoothing", -0.1),
    ("logit_scale", 0),
    ("logit_scale", float("inf")),
    ("search_epochs", 0),
    ("search_batch", 0),
    ("weight_lr", 0),
    ("weight_lr_min", -1e-3),
    ("momentum", 1),
    ("momentum", -0.1),
    ("weight_decay", -1),
    ("grad_clip", 0),
    ("alpha_lr", -1),
    ("beta_lr", -1),
    ("score_lr", -1),
    ("psi_lr", -1),
    ("psi_momentum", 1),
    ("psi_warmup_epochs", -1),
    ("cost_batch", 0),
    ("rate_gradient", 0),
    ("arch_batch", "other"),
    ("bit_decoding", "middle"),
    ("link", "conv1x1"),
    ("size", "bytes"),
    ("strategy", "evolution"),
    ("retrain_epochs", 0),
    ("warm_epochs", -1),
    ("retrain_batch", 2.5),
    ("retrain_lr", 0),
    ("timestep_loss", 1.1),
    ("timestep_loss", -1),
    ("aux_cell", 9),  # of 8 cells
    ("aux_cell", -1),
    ("aux_weight", -0.4),
]


@pytest.mark.parametrize(("field", "value"), BAD_FIELDS, ids=[f"{f}={v!r}" for f, v in BAD_FIELDS])
def test_a_bad_field_is_refused_in_one_line_that_names_it(field: str, value: Any) -> None:
    with pytest.raises(InputError, match=rf"\A{field}[^\n]*: expected [^\n]+, got [^\n]+\Z"):
        Recipe(**{field: value})


def test_every_field_has_a_bad_value_in_the_table() -> None:
    assert {field for field, _ in BAD_FIELDS} == set(Recipe.__dataclass_fields__)


def test_unknown_names_are_refused() -> None:
    with pytest.raises(InputError, match=r"\Arecipe: expected [^\n]+, got 'colour'\Z"):
        Recipe.from_dict({"colour": 1})
    with pytest.raises(InputError, match=r"\Apreset: expected one of cifar10, [^\n]+, got 'mnist'\Z"):
        Recipe.preset("mnist")
    with pytest.raises(InputError, match=r"\Apoint: expected one of large, medium, small, gsc, got 'tiny'\Z"):
        SearchPoint.named("tiny")


@pytest.mark.parametrize("preset", PRESETS)
def test_a_recipe_survives_json(preset: str) -> None:
    recipe = Recipe.preset(preset)
    again = Recipe.from_dict(json.loads(json.dumps(recipe.to_dict())))
    assert again == recipe and hash(again) == hash(recipe)


def test_overrides_replace_fields_of_the_preset() -> None:
    recipe = Recipe.preset("digits", timesteps=9, widths=[1, 1])
    assert (recipe.timesteps, recipe.widths, recipe.dataset) == (9, (1, 1), "digits")


def test_lists_and_tuples_give_equal_recipes() -> None:
    assert Recipe(widths=[1, 2], aux_cell=0) == Recipe(widths=(1, 2), aux_cell=0)  # type: ignore[arg-type]


# Sec. 4.1 and Table 1 of the paper.
PAPER: dict[str, Any] = {
    "nodes": 4,
    "bit_widths": (1, 2, 4),
    "tau": 0.2,
    "v_threshold": 0.5,
    "dspike_b": 3.0,
    "search_epochs": 50,
    "search_batch": 30,
    "weight_lr": 0.025,
    "momentum": 0.9,
    "alpha_lr": 3e-4,
    "beta_lr": 3e-4,
    "score_lr": 3e-4,
    "retrain_epochs": 200,
    "retrain_batch": 50,
    "retrain_lr": 0.025,
}
PAPER_CIFAR: dict[str, Any] = {
    **PAPER,
    "input_shape": (3, 32, 32),
    "widths": (1, 1, 2, 2, 2, 4, 4, 4),
    "search_channels": 48,
    "retrain_channels": 144,
    "timesteps": 6,
    "aux_cell": 6,
}
PAPER_GSC: dict[str, Any] = {
    **PAPER,
    "input_shape": (1, 40, 98),
    "classes": 12,
    "widths": (1, 1, 2, 2, 4, 4),
    "search_channels": 16,
    "aux_cell": 5,
}


@pytest.mark.parametrize(
    ("preset", "settings"),
    [
        ("cifar10", {**PAPER_CIFAR, "classes": 10, "searched_dataset": "cifar10"}),
        # "we search on CIFAR-10 and then retrain on ... CIFAR-100"
        ("cifar100", {**PAPER_CIFAR, "classes": 100, "searched_dataset": "cifar10", "searched_classes": 10}),
        ("gsc", PAPER_GSC),
    ],
)
def test_the_papers_settings(preset: str, settings: dict[str, Any]) -> None:
    recipe = Recipe.preset(preset)
    assert {name: getattr(recipe, name) for name in settings} == settings


def test_settings_that_the_paper_leaves_open_are_as_decided() -> None:
    recipe = Recipe.preset("cifar10")
    decided = {
        "weight_lr_min": 1e-3,
        "weight_decay": 3e-4,
        "grad_clip": 5,
        "psi_lr": 0.025,
        "psi_momentum": 0.9,
        "psi_warmup_epochs": 5,
        "cost_batch": 30,
        "stem_bits": 4,
        "classifier_bits": 4,
        "cutout": 16,
        "crop_padding": 4,
        "horizontal_flip": True,
        "aux_weight": 0.4,
        "input_skip": "conv3x3",
        "rate_gradient": False,
        "arch_batch": "same",
    }
    assert {name: getattr(recipe, name) for name in decided} == decided


BEYOND_THE_PAPER: dict[str, Any] = {
    "crop_border": "zeros",
    "flip_order": "random",
    "time_shift": 0,
    "time_stretch": 0,
    "feature_noise": 0,
    "time_mask": 0,
    "feature_mask": 0,
    "mask_n": 0,
    "norm_weight": 1,
    "schedule": "cosine",
    "warmup_share": 0,
    "nesterov": False,
    "norm_decay": True,
    "label_smoothing": 0,
    "logit_scale": 1,
    "timestep_loss": 0,
    "size": "eq18",
    "strategy": "darts",
    "bit_decoding": "largest",
    "link": "skip",
    "operations": ("conv3x3", "skip"),
}


@pytest.mark.parametrize("preset", ["cifar10", "cifar100", "gsc"])
def test_ingredients_beyond_the_paper_are_off_in_its_presets(preset: str) -> None:
    recipe = Recipe.preset(preset)
    assert {name: getattr(recipe, name) for name in BEYOND_THE_PAPER} == BEYOND_THE_PAPER


def test_the_papers_points() -> None:
    # Sec. 4.1: (lambda1, lambda2, p) of the three scales on CIFAR and of GSC.
    expected = {"large": (0, 0, 50), "medium": (5e-10, 5e-14, 80), "small": (1e-9, 1e-13, 90), "gsc": (1e-9, 1e-13, 70)}
    assert {name: (p.lambda1, p.lambda2, p.p) for name, p in PAPER_POINTS.items()} == expected
    assert SearchPoint.named("medium") == PAPER_POINTS["medium"]


def test_every_field_has_a_group_and_a_help_text() -> None:
    # The command line derives its options from them.
    for recipe_field in Recipe.__dataclass_fields__.values():
        assert recipe_field.metadata["group"] in ("data", "network", "training", "search", "retrain")
        assert recipe_field.metadata["help"]
