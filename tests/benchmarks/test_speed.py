"""Small whole runs of the benchmarks of speed; no time is asserted."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import inference, lif, loader, retrain_step, scaling, search_step, sides
from benchmarks.record import RESULTS
from benchmarks.work import search_work
from litesnn.config import Recipe
from litesnn.neuron import lif as reference

TINY_STEP = "--repeats 1 --batch 2 --channels 8 --timesteps 2 --threads 1 --array 1".split()


def read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    return found


@pytest.mark.slow
@pytest.mark.parametrize("benchmark", [search_step, retrain_step])
def test_a_step_is_measured_on_every_side(benchmark: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "result.json"
    assert benchmark.main([*TINY_STEP, "--out", str(out)]) == 0
    result = read(out)
    assert [*result["sides"]] == [side.name for side in benchmark.SIDES]
    for row in result["sides"].values():
        assert 0 < row["step_memory_mib"] < row["peak_memory_mib"]
        assert row["gflop_s"] * row["seconds"]["median"] == pytest.approx(result["work"]["flops"] / 1e9)
    naive = result["sides"]["naive"]
    assert naive["naive_over_this"] == {"of_medians": 1, "min": 1, "max": 1}
    assert naive["step_memory_of_naive"] == naive["peak_memory_of_naive"] == 1
    printed = capsys.readouterr().out
    assert printed.rstrip() == sides.report(result) and "convolution rate in fp32" in printed


def test_a_third_side_in_another_precision_is_held_against_its_own_rate() -> None:
    work = search_work(Recipe.preset("cifar10", search_batch=1), 80)
    rates = {"fp32": {"own_shapes": 100.0, "peak": 200.0}, "bf16": {"own_shapes": 400.0, "peak": 500.0}}
    runs = {
        name: [{"seconds": s, "peak_memory_mib": 500.0 + s, "step_memory_mib": 100 * s} for s in seconds]
        for name, seconds in {"naive": [8.0, 10.0], "fused": [1.0, 2.0], "fused bf16": [0.5, 1.0]}.items()
    }
    limits = {**rates, "bandwidth_gb_s": {"best": 10.0}}
    third = sides.Side(name="fused bf16", build=search_step.fused_step, dtype="bf16")
    row = sides._row(third, runs, work, limits)
    assert row["naive_over_this"] == {"of_medians": 12, "min": 10, "max": 16}
    assert row["step_memory_of_naive"] == pytest.approx(0.1)
    assert row["share_of_convolution_rate"] == pytest.approx(work.flops / 0.75 / 400e9)
    assert row["share_of_bandwidth"] == pytest.approx(work.least_bytes("bf16") / 0.75 / 10e9)


@pytest.mark.parametrize("way", [way for way in lif.WAYS if "compiled" not in way])  # compiling takes its time
def test_all_neurons_give_the_same_spikes(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if not lif._installed(way):
        pytest.skip(f"the package behind {way} is not installed")
    monkeypatch.setenv("LITESNN_NATIVE", os.environ.get("LITESNN_NATIVE", "1"))  # undoes what plain_neurons sets
    current = torch.randn(5, 1000, generator=torch.Generator().manual_seed(3)).requires_grad_()
    spikes = lif.WAYS[way]()(current)
    expected = reference(current, lif.TAU, lif.THRESHOLD, lif.B)
    assert torch.equal(spikes.detach().round(), expected.detach())
    spikes.sum().backward()
    assert current.grad is not None and bool(current.grad.abs().sum() > 0)


def test_in_the_kept_result_all_ways_gave_the_same_spikes() -> None:
    for size in read(RESULTS / "lif.json")["sizes"]:
        counts = [row["spikes"] for row in size["ways"].values()]
        assert max(counts) - min(counts) <= 1e-5 * max(counts)  # rounding at the threshold


@pytest.mark.slow
def test_neurons_are_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "lif.json"
    ways = [way for way in lif.WAYS if "compiled" not in way]
    few = f"--repeats 1 --threads 1 --array 1 --sizes 3x500 1x700 --out {out}".split()
    assert lif.main([*few, "--ways", *ways]) == 0
    result = read(out)
    assert [(size["timesteps"], size["neurons"]) for size in result["sizes"]] == [(3, 500), (1, 700)]
    for size in result["sizes"]:
        rows = size["ways"]
        assert {row["spikes"] for row in rows.values()} == {rows["litesnn"]["spikes"]}
        ours = rows["litesnn"]
        assert ours["gb_s"] * ours["seconds"]["median"] * 1e9 == pytest.approx(16 * size["timesteps"] * size["neurons"])
        assert ours["share_of_copy"] >= ours["share_of_bandwidth"]
    assert "SpikingJelly" in capsys.readouterr().out


@pytest.mark.parametrize("kind", loader.PRESETS)
def test_loaders_give_batches_of_equal_form(kind: str) -> None:
    recipe, dataset = loader.data(kind, 12)
    torch.manual_seed(0)
    forms = (True, False) if kind == "images" else (False,)
    passes = [loader.ours(recipe, dataset, 4), *(loader.theirs(recipe, dataset, 4, 0, form) for form in forms)]
    for run in passes:
        batches = list(run())
        assert [(x.shape, x.dtype) for x, _ in batches] == [((4, *recipe.input_shape), torch.float32)] * 3
        labels = torch.cat([y for _, y in batches])
        assert labels.dtype == torch.int64 and sorted(labels.tolist()) == sorted(dataset.train.labels.tolist())
        values = torch.cat([x for x, _ in batches])
        if kind == "speech":
            assert abs(float(values.mean())) < 0.01 and float(values.std()) == pytest.approx(1, abs=0.01)
        else:  # cut out pixels are the mean; the black border lies below it
            assert 0.02 < float((values == 0).float().mean()) < 0.3 and float(values.min()) < -1


def test_loaders_are_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "loader.json"
    assert loader.main(f"--repeats 1 --threads 1 --samples 40 --batch 20 --out {out}".split()) == 0
    for kind, found in read(out)["kinds"].items():
        rates = {way: row["median"] for way, row in found["samples_per_second"].items()}
        assert found["best_other"] == max(rates.keys() - {"litesnn"}, key=rates.__getitem__), kind
        assert found["ratio"] == pytest.approx(rates["litesnn"] / rates[found["best_other"]])
    assert "images, samples per second" in capsys.readouterr().out


def test_inference_is_measured_and_all_ways_name_the_same_classes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inference, "PRESETS", ("digits",))
    out = tmp_path / "inference.json"
    assert inference.main(f"--repeats 1 --calls 2 --threads 1 --batches 1 3 --out {out}".split()) == 0
    network = read(out)["networks"]["digits"]
    assert [row["batch"] for row in network["batches"]] == [1, 3]
    assert network["classes_named"] > 1  # or naming the same would mean nothing
    assert min(network["same_class"].values()) >= 0.98
    assert {"frozen", "as trained"} <= set(network["batches"][0]["seconds"])
    assert "digits: C 24" in capsys.readouterr().out


@pytest.mark.parametrize("library", ["jelly", "torch_snn"])
def test_another_library_s_network_is_ours(library: str) -> None:
    module = pytest.importorskip(f"benchmarks.{library}")
    recipe = Recipe.preset("digits", input_shape=(1, 5, 7))
    genotype = retrain_step.drawn_genotype(recipe, 50)
    torch.manual_seed(0)
    network = inference.Network(recipe, recipe.retrain_channels, recipe.classes, 50, genotype)
    x = torch.randn(6, *recipe.input_shape, dtype=torch.float64)
    network.double()(x, genotype.timesteps)  # moves the running statistics
    with torch.no_grad():
        expected = network.eval()(x, genotype.timesteps).logits
        if library == "jelly":
            written = module.JellyNetwork(network, recipe, genotype).double().eval()
            ways = [written, module.fused(written)]
        else:
            ways = [module.SnnTorchNetwork(network, recipe, genotype).double().eval()]
        for way in ways:
            for _ in range(2):  # the second call shows whether membranes were cleared
                if library == "jelly":
                    module.reset(way)
                torch.testing.assert_close(way(x).double(), expected, rtol=1e-5, atol=1e-5)


def test_exponents_by_hand() -> None:
    found = scaling.fit([1, 2, 4, 8], [3, 12, 48, 192])
    assert found == pytest.approx({"exponent": 2, "error": 0, "factor": 3}, abs=1e-7)
    # log2 values 0, 1, 1: slope 1/2, residuals -1/6, 1/3, -1/6; error sqrt((1/6) / 1 / 2).
    found = scaling.fit([1, 2, 4], [1, 2, 2])
    assert found["exponent"] == pytest.approx(0.5) and found["error"] == pytest.approx((1 / 12) ** 0.5)


@pytest.mark.parametrize("cells", scaling.AXES["cells"])
def test_widths_keep_their_share_of_the_cells(cells: int) -> None:
    widths = scaling.recipe_of({**scaling.DEFAULT, "cells": cells}).widths
    assert len(widths) == cells and set(widths) == {1, 2, 4}
    if cells == 8:
        assert widths == Recipe.preset("cifar10").widths


@pytest.mark.slow
def test_scaling_is_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, picture = tmp_path / "scaling.json", tmp_path / "scaling.png"
    axes = "--timesteps 1 2 --channels 4 8 --batch 1 2 --cells 2 1 --nodes 1 2".split()
    few = [*axes, *"--default 1 4 1 1 1 --steps 1 --threads 1".split()]
    assert scaling.main([*few, "--out", str(out), "--plot", str(picture)]) == 0
    result = read(out)
    assert {axis: [row["value"] for row in found["points"]] for axis, found in result["axes"].items()} == {
        **{"timesteps": [1, 2], "channels": [4, 8], "batch": [1, 2], "cells": [2, 1], "nodes": [1, 2]}
    }
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert "exponent" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("benchmark", "wrong"),
    [
        (search_step, "--batch 0"),
        (search_step, "--array 0"),
        (retrain_step, "--repeats 0"),
        (lif, "--sizes 6"),
        (lif, "--sizes 0x5"),
        (lif, "--ways Norse"),
        (loader, "--samples 10 --batch 20"),
        (inference, "--batches 0"),
        (scaling, "--nodes 5 4"),
        (scaling, "--batch 2"),
    ],
)
def test_bad_input_is_one_line(benchmark: Any, wrong: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert benchmark.main([*wrong.split(), "--out", str(tmp_path / "result.json")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
