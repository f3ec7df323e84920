"""A trial interrupted anywhere ends as an undisturbed one does."""

import contextlib
import json
import re
from pathlib import Path

import pytest
import torch

from litesnn import InputError, Recipe, SearchPoint
from litesnn.model import Model
from litesnn.run import EpochRecord
from tune.shared_data import Arrays, from_arrays
from tune.store import TrialFolder
from tune.trial import search_and_retrain

POINT = SearchPoint(lambda1=1e-6, lambda2=1e-9, p=80)
CPU = torch.device("cpu")


class Killed(Exception):
    """Stands for a process that dies right after an epoch."""


def run(folder: Path, recipe: Recipe, data: dict[str, Arrays], die_after: int | None = None) -> list[EpochRecord]:
    reported: list[EpochRecord] = []

    def report(record: EpochRecord) -> None:
        reported.append(record)
        if len(reported) == die_after:
            raise Killed

    with contextlib.suppress(Killed):
        search_and_retrain(POINT, recipe, 7, TrialFolder(folder), data, CPU, report)
    return reported


def without_times(records: list[dict[str, object]]) -> list[dict[str, object]]:
    return [{k: v for k, v in record.items() if k != "seconds"} for record in records]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, recipe: Recipe, data: dict[str, Arrays]) -> Path:
    folder = tmp_path_factory.mktemp("trials") / "undisturbed"
    reported = run(folder, recipe, data)
    assert [(r.phase, r.epoch) for r in reported] == [
        ("search", 1),
        ("search", 2),
        ("retrain", 1),
        ("retrain", 2),
        ("retrain", 3),
    ]
    return folder


def test_a_finished_trial_leaves_exactly_its_results(undisturbed: Path) -> None:
    names = {path.name for path in undisturbed.iterdir()}
    assert names == {"point.json", "metrics.jsonl", "genotype.json", "model.safetensors", "recipe.json", "result.json"}


@pytest.mark.parametrize("die_after", [1, 2, 3, 5])
def test_resuming_gives_the_undisturbed_result_and_repeats_nothing(
    tmp_path: Path, undisturbed: Path, recipe: Recipe, data: dict[str, Arrays], die_after: int
) -> None:
    first = run(tmp_path, recipe, data, die_after)
    second = run(tmp_path, recipe, data)
    assert len(first) == die_after and len(first) + len(second) == 5
    here, there = TrialFolder(tmp_path), TrialFolder(undisturbed)
    assert without_times(here.read_metrics()) == without_times(there.read_metrics())
    assert here.genotype.read_text() == there.genotype.read_text()
    assert {**here.read_result(), "written": ""} == {**there.read_result(), "written": ""}
    mine, other = Model.load(here.model, CPU), Model.load(there.model, CPU)
    for name, tensor in mine.network.state_dict().items():
        assert torch.equal(tensor, other.network.state_dict()[name]), name


def test_the_saved_model_has_the_accuracy_that_the_result_says(undisturbed: Path, data: dict[str, Arrays]) -> None:
    folder = TrialFolder(undisturbed)
    model, test = Model.load(folder.model, CPU), from_arrays(data["retrain"]).test
    images = (test.inputs.float() / 255 - model.mean) / model.std
    with torch.no_grad():
        predicted = model.network(images, model.genotype.timesteps).logits.mean(0).argmax(1)
    accuracy = 100 * (predicted == test.labels).double().mean().item()
    assert accuracy == pytest.approx(folder.read_result()["test_accuracy"])


def test_a_trial_with_an_outcome_is_not_run_again(tmp_path: Path, recipe: Recipe, data: dict[str, Arrays]) -> None:
    """Ray repeats a trial whose process died between its result and its end."""
    run(tmp_path, recipe, data)
    (tmp_path / "retrain.pt").touch()
    before = (tmp_path / "result.json").read_bytes()
    assert run(tmp_path, recipe, data) == []
    assert (tmp_path / "result.json").read_bytes() == before and not (tmp_path / "retrain.pt").exists()


def test_an_earlier_failure_is_forgotten(tmp_path: Path, recipe: Recipe, data: dict[str, Arrays]) -> None:
    TrialFolder(tmp_path).write_result("failed", reason="out of luck")
    run(tmp_path, recipe, data, die_after=1)
    assert TrialFolder(tmp_path).read_result() is None


def test_a_diverging_point_is_an_outcome(tmp_path: Path, recipe: Recipe, data: dict[str, Arrays]) -> None:
    point = SearchPoint(lambda1=1e300, lambda2=0, p=50)  # times any number of bits: infinite in single precision
    search_and_retrain(point, recipe, 0, TrialFolder(tmp_path), data, CPU, lambda record: None)
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["status"] == "diverged"
    assert re.fullmatch("the loss became (inf|nan) in search epoch 1", result["reason"])


def test_a_checkpoint_of_another_recipe_is_refused(tmp_path: Path, recipe: Recipe, data: dict[str, Arrays]) -> None:
    run(tmp_path, recipe, data, die_after=1)
    other = Recipe.from_dict({**recipe.to_dict(), "weight_lr": 0.05})
    with pytest.raises(InputError, match="weight_lr = 0.05, got one with weight_lr = 0.2"):
        run(tmp_path, other, data)
