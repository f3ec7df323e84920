"""Sharing a network through huggingface_hub, without a network connection; and the package without that library."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml

import litesnn
from litesnn import TrainedNetwork
from litesnn.config import Recipe
from litesnn.data.dataset import Dataset
from litesnn.genotype import Genotype

pytest.importorskip("huggingface_hub")


@pytest.fixture
def net(
    tiny_recipe: Callable[..., Recipe], tiny_dataset: Dataset, tiny_genotype: Genotype, tmp_path: Path
) -> TrainedNetwork:
    """As loaded from a trial's folder."""
    result = litesnn.retrain(tiny_genotype, tiny_recipe(retrain_epochs=1), dataset=tiny_dataset)
    folder = tmp_path / "trial"
    result.model.save(folder / "model.safetensors")
    (folder / "result.json").write_text(json.dumps({"test_accuracy": 62.5, "val_accuracy": 50.0, "seed": 7}))
    return litesnn.load(folder)


def front_of(card: Path) -> dict[str, object]:
    _, front, rest = card.read_text(encoding="utf-8").split("---\n", 2)
    assert "# model.lsnn" in rest
    found: dict[str, object] = yaml.safe_load(front)
    return found


def test_there_and_back(net: TrainedNetwork, tmp_path: Path) -> None:
    net.save_pretrained(tmp_path / "shared")
    assert sorted(path.name for path in (tmp_path / "shared").iterdir()) == [
        "README.md",
        "config.json",
        "model.lsnn",
        "model.safetensors",
    ]
    again = TrainedNetwork.from_pretrained(tmp_path / "shared")
    x = torch.rand(4, 1, 6, 6)
    assert torch.equal(net(x), again(x)) and again.recipe == net.recipe
    assert json.loads((tmp_path / "shared" / "config.json").read_text())["classes"] == ["a", "b", "c"]
    packed = litesnn.load(tmp_path / "shared" / "model.lsnn")
    assert (packed.predict(x[0]).scores == net.predict(x[0]).scores).all()


def test_nobody_is_told_where_the_data_lie(net: TrainedNetwork, tmp_path: Path) -> None:
    net.recipe = dataclasses.replace(net.recipe, dataset="folder:/home/someone/photos")
    net.save_pretrained(tmp_path / "shared")
    assert all(b"someone" not in path.read_bytes() for path in (tmp_path / "shared").iterdir())
    assert TrainedNetwork.from_pretrained(tmp_path / "shared").recipe.dataset == "folder:photos"


def test_the_card_has_the_accuracies_of_the_result(net: TrainedNetwork, tmp_path: Path) -> None:
    net.save_pretrained(tmp_path / "shared")
    front = front_of(tmp_path / "shared" / "README.md")
    assert front["library_name"] == "litesnn" and front["pipeline_tag"] == "image-classification"
    (index,) = front["model-index"]  # type: ignore[misc]
    assert [(r["dataset"]["split"], r["metrics"][0]["value"]) for r in index["results"]] == [
        ("test", 0.625),
        ("validation", 0.5),
    ]
    from huggingface_hub import ModelCard

    data = ModelCard.load(tmp_path / "shared" / "README.md").data
    assert [result.metric_value for result in data.eval_results] == [0.625, 0.5]


def test_a_changed_network_does_not_claim_old_accuracies(net: TrainedNetwork, tmp_path: Path) -> None:
    with torch.no_grad():
        net.network.classifier.weight.mul_(-1)
    net.save_pretrained(tmp_path / "shared")
    assert "model-index" not in front_of(tmp_path / "shared" / "README.md")


def test_what_is_no_network(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "config.json").write_text("[")
    options = {"local_files_only": True, "cache_dir": tmp_path / "cache"}
    for name in (tmp_path / "empty", tmp_path / "broken", "nobody/nothing", "a b c/../x"):
        with pytest.raises(litesnn.InputError, match=r"\Amodel: expected [^\n]+\Z"):
            TrainedNetwork.from_pretrained(name, **options)


def test_a_place_that_cannot_be_written(net: TrainedNetwork, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(litesnn.InputError, match=r"\Afolder: expected a path that can be written, got [^\n]+\Z"):
        net.save_pretrained(tmp_path / "file" / "below")


def test_without_the_library_all_else_works() -> None:
    code = (
        "import sys; sys.modules['huggingface_hub'] = None\n"
        "import litesnn\n"
        "try: litesnn.TrainedNetwork.from_pretrained('x')\n"
        "except litesnn.InputError as error: print(error)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout == "hub: expected huggingface_hub to be installed, got none; try: pip install 'litesnn[hub]'\n"
