"""The table of causes: what each variant takes back, budgets in seconds, and the command on digits with tiny budgets."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.comparisons import recipe as causes
from benchmarks.record import RESULTS
from litesnn.config import Recipe
from litesnn.data import load

TINY: dict[str, Any] = {"widths": (1, 2), "retrain_channels": 4}
OPTIONS = (
    "digits --seeds 1 --threads 1 --seconds 0.2 --widths 1,2 --search-channels 4 --retrain-channels 4 --retrain-batch 200"
).split()


@pytest.mark.parametrize("preset", list(causes.BEFORE))
def test_a_variant_goes_back_in_the_fields_of_its_ingredient_alone(preset: str) -> None:
    recipe = Recipe.preset(preset)
    found = causes.variants(recipe, preset)
    assert list(found)[0] == causes.NEW and list(found)[-1] == causes.OLD
    assert found[causes.NEW] == recipe
    for name, variant in found.items():
        if name in (causes.NEW, causes.OLD) or name in causes.CANDIDATES:
            continue
        changed = {key for key, value in recipe.to_dict().items() if variant.to_dict()[key] != value}
        assert changed <= set(causes.INGREDIENTS[name.removeprefix("less ")])
        assert changed or name == "less T = 1"
    assert found["less Nesterov"].nesterov is False and found["less label smoothing"].label_smoothing == 0
    steps = {name: causes.genotype(variant, name).timesteps for name, variant in found.items()}
    assert {name for name, count in steps.items() if count == 2} == {
        causes.OLD,
        causes.TWO,
        "T = 2, a loss per timestep",
    }
    assert all(base in found for base, _ in causes.CANDIDATES.values())
    pruned = {name for name, variant in found.items() if causes.genotype(variant, name).p}
    assert pruned == {name for name in causes.CANDIDATES if name.startswith("80 % pruned")} and len(pruned) == 1


def test_the_preset_before_has_nothing_of_what_came_later() -> None:
    old = causes.variants(Recipe.preset("cifar10-small"), "cifar10-small")[causes.OLD]
    paper = Recipe.preset("cifar10")
    later = "schedule warmup_share nesterov label_smoothing logit_scale norm_weight dspike_b flip_order crop_border"
    assert all(getattr(old, name) == getattr(paper, name) for name in later.split())
    assert (old.widths, old.retrain_channels, old.retrain_lr, old.cutout) == ((1, 2, 4), 24, 0.1, 8)


@pytest.mark.parametrize("steps", [5, 100])
def test_steps_become_epochs_and_images(steps: int) -> None:
    recipe = Recipe.preset("digits", **TINY, retrain_batch=50)
    data = load(recipe)
    chosen, part = causes.fitted(recipe, data, steps, seed=0)
    assert chosen.retrain_epochs == -(-steps * 50 // len(data.train))
    assert chosen.retrain_epochs * len(part.train) == pytest.approx(steps * 50, rel=0.03)
    assert len(part.val) == len(data.val) and len(part.train.labels.unique()) == 10


def test_the_command_keeps_every_run_and_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(0)
    out, image = tmp_path / "recipe.json", tmp_path / "recipe.png"
    arguments = [*OPTIONS, "--out", str(out), "--image", str(image)]
    assert causes.main(arguments) == 0
    first = json.loads(out.read_text())
    names = first["presets"]["digits"]["variants"]
    assert [row["variant"] for row in first["presets"]["digits"]["runs"]] == names
    assert image.read_bytes().startswith(b"\x89PNG")
    assert "worth, points" in capsys.readouterr().out
    assert causes.main(arguments) == 0
    assert json.loads(out.read_text())["presets"] == first["presets"]
    assert causes.main([*arguments, "--seconds", "7"]) == 2
    assert "seconds: expected 0.2 as in the record, got 7.0" in capsys.readouterr().err


def test_the_committed_record_has_matched_seeds() -> None:
    found = json.loads((RESULTS / "recipe.json").read_text())
    for part in found["presets"].values():
        seeds = {name: {row["seed"] for row in part["runs"] if row["variant"] == name} for name in part["variants"]}
        assert all(of_one == seeds[causes.NEW] for of_one in seeds.values()) and len(seeds[causes.NEW]) >= 3
        sizes = {causes.OLD: causes.BEFORE["cifar10-small"]["retrain_batch"]}
        for row in part["runs"]:
            steps = part["seconds"] / part["step_seconds"][row["variant"]]
            samples = steps * sizes.get(row["variant"], part["recipe"]["retrain_batch"])
            assert row["epochs"] * row["images"] == pytest.approx(samples, rel=0.03)
