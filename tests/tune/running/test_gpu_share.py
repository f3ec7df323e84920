"""How much of a GPU a trial gets where nobody says it; a cluster may claim a GPU that is not there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from litesnn import InputError, Recipe
from tests.tune.clusters import PARETO, RECIPE, Cluster
from tune.running.cluster import resources, with_gpus
from tune.running.gpu_share import MOST, gpu_share, trials_per_gpu
from tune.running.settings import Settings
from tune.trials.trial import device_of

WANTED = {"digits": 8, "cifar10-small": 3, "gsc-small": 2, "cifar10": 1, "cifar100": 1, "gsc": 1}


@pytest.mark.parametrize(("preset", "wanted"), WANTED.items())
def test_so_many_trials_of_each_preset_share_a_gpu(preset: str, wanted: int) -> None:
    assert trials_per_gpu(Recipe.preset(preset)) == wanted


def test_wider_networks_share_with_fewer() -> None:
    recipes = [Recipe.preset("cifar10-small", retrain_channels=channels) for channels in (8, 16, 32, 64)]
    counts = [trials_per_gpu(recipe) for recipe in recipes]
    assert counts == sorted(counts, reverse=True) and counts[0] > 3 and counts[-1] == 1


@pytest.mark.parametrize(
    ("nodes", "cpus_per_trial", "share"),
    [
        ([{"CPU": 16.0, "GPU": 1.0}], 1, 1 / 8),
        ([{"CPU": 2.0, "GPU": 1.0}], 1, 1 / 2),  # each trial needs a CPU of its own
        ([{"CPU": 16.0, "GPU": 1.0}], 4, 1 / 4),
        ([{"CPU": 16.0, "GPU": 4.0}], 1, 1 / 4),
        ([{"CPU": 1.0, "GPU": 2.0}], 1, 1),
        ([{"CPU": 64.0}, {"CPU": 4.0, "GPU": 1.0}], 1, 1 / 4),
        ([{"CPU": 2.0, "GPU": 1.0}, {"CPU": 5.0, "GPU": 1.0}], 1, 1 / 5),
        ([{"CPU": 64.0}], 1, 0),
        ([], 1, 0),
    ],
)
def test_no_more_trials_than_cpus_beside_the_gpus(
    nodes: list[dict[str, float]], cpus_per_trial: int, share: float
) -> None:
    assert gpu_share(Recipe.preset("digits"), nodes, cpus_per_trial) == share


@pytest.mark.parametrize("cpus", range(1, MOST + 1))
def test_all_trials_fit_as_ray_counts(cpus: int) -> None:
    share = gpu_share(Recipe.preset("digits"), [{"CPU": cpus, "GPU": 1}], 1)
    assert round(share * 10_000) * cpus <= 10_000 and int(1 / share) == cpus


def test_a_gpu_that_torch_cannot_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device_of(0, False).type == device_of(0.5, True).type == "cpu"
    with pytest.raises(InputError, match="gpus-per-trial: expected a GPU that torch can use on .*, got none"):
        device_of(0.5, False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert device_of(0.5, True).type == device_of(1, False).type == "cuda" and device_of(0, True).type == "cpu"


def test_what_is_given_stays() -> None:
    for gpus in (0.0, 0.25, 2.0):
        settings = Settings(gpus_per_trial=gpus)
        assert with_gpus(settings, Recipe.preset("digits")) is settings and resources(settings)["gpu"] == gpus
    assert resources(Settings())["gpu"] == 0


@pytest.mark.cluster
@pytest.mark.skipif(torch.cuda.is_available(), reason="the GPU that the cluster claims is there")
def test_a_cluster_with_a_gpu_shares_it_by_itself(tmp_path: Path) -> None:
    with Cluster() as cluster:
        cluster.start_head(cpus=2, gpus=1)
        command = [*PARETO, "--storage", str(tmp_path), "--address", cluster.address, *RECIPE, "--retrain-epochs", "2"]
        output = cluster.run([*command, "--name", "shared", "--points", "0,0,0 0,0,50"], tmp_path)
        assert "there are GPUs, each trial gets 0.5 of one (--gpus-per-trial)" in output
        results = [json.loads(file.read_text()) for file in (tmp_path / "shared" / "trials").glob("*/result.json")]
        assert [(result["status"], result["device"]) for result in results] == [("finished", "cpu")] * 2
