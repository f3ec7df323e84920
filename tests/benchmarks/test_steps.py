"""Small whole runs of the benchmarks of speed; no time is asserted."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import inference, lif, retrain_step, search_step, sides
from benchmarks.record import load, run
from benchmarks.work import search_work
from litesnn.config import Recipe
from litesnn.neuron import lif as reference

FAST = [way for way in lif.WAYS if "compiled" not in way]
"""Ways that need not be compiled, which takes its time."""
TINY_STEP = "--repeats 1 --batch 2 --channels 8 --timesteps 2 --threads 1 --array 1".split()


def read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    return found


@pytest.mark.slow
@pytest.mark.parametrize("benchmark", [search_step, retrain_step])
def test_a_step_is_measured_on_every_side(benchmark: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "result.json"
    assert run(benchmark, [*TINY_STEP, "--out", str(out)]) == 0
    result = read(out)
    assert [*result["sides"]] == [*benchmark.SIDES]
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
    row = sides.row("fused bf16", runs, work, limits)
    assert row["naive_over_this"] == {"of_medians": 12, "min": 10, "max": 16}
    assert row["step_memory_of_naive"] == pytest.approx(0.1)
    assert row["share_of_convolution_rate"] == pytest.approx(work.flops / 0.75 / 400e9)
    assert row["share_of_bandwidth"] == pytest.approx(work.least_bytes("bf16") / 0.75 / 10e9)


@pytest.mark.parametrize("way", FAST)
def test_all_neurons_give_the_same_spikes(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if not lif.installed(way):
        pytest.skip(f"the package behind {way} is not installed")
    monkeypatch.setenv("LITESNN_NATIVE", os.environ.get("LITESNN_NATIVE", "1"))  # undoes what plain_neurons sets
    current = torch.randn(5, 1000, generator=torch.Generator().manual_seed(3)).requires_grad_()
    spikes = lif.WAYS[way]()(current)
    expected = reference(current, lif.TAU, lif.THRESHOLD, lif.B)
    assert torch.equal(spikes.detach().round(), expected.detach())
    spikes.sum().backward()
    assert current.grad is not None and bool(current.grad.abs().sum() > 0)


def test_in_the_kept_result_all_ways_gave_the_same_spikes() -> None:
    for size in load("lif")["sizes"]:
        counts = [row["spikes"] for row in size["ways"].values()]
        assert max(counts) - min(counts) <= 1e-5 * max(counts)  # rounding at the threshold


@pytest.mark.slow
def test_neurons_are_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "lif.json"
    few = f"--repeats 1 --threads 1 --array 1 --sizes 3x500 1x700 --out {out}".split()
    assert run(lif, [*few, "--ways", *FAST]) == 0
    result = read(out)
    assert [(size["timesteps"], size["neurons"]) for size in result["sizes"]] == [(3, 500), (1, 700)]
    for size in result["sizes"]:
        rows = size["ways"]
        assert {row["spikes"] for row in rows.values()} == {rows["litesnn"]["spikes"]}
        ours = rows["litesnn"]
        assert ours["gb_s"] * ours["seconds"]["median"] * 1e9 == pytest.approx(16 * size["timesteps"] * size["neurons"])
        assert ours["share_of_copy"] >= ours["share_of_bandwidth"]
    assert "SpikingJelly" in capsys.readouterr().out


def test_inference_is_measured_and_all_ways_name_the_same_classes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inference, "PRESETS", ("digits",))
    out = tmp_path / "inference.json"
    assert run(inference, f"--repeats 1 --calls 2 --threads 1 --batches 1 3 --out {out}".split()) == 0
    network = read(out)["networks"]["digits"]
    assert [row["batch"] for row in network["batches"]] == [1, 3]
    assert network["classes_named"] > 1  # or naming the same would mean nothing
    assert min(network["same_class"].values()) >= 0.98
    assert {"frozen", "as trained"} <= set(network["batches"][0]["seconds"])
    assert "digits, batch 3" in capsys.readouterr().out


def test_another_library_s_network_is_ours() -> None:
    jelly = pytest.importorskip("benchmarks.jelly")
    recipe = Recipe.preset("digits", input_shape=(1, 5, 7))
    genotype = retrain_step.drawn_genotype(recipe, 50)
    torch.manual_seed(0)
    network = inference.Network(recipe, recipe.retrain_channels, recipe.classes, 50, genotype)
    x = torch.randn(6, *recipe.input_shape, dtype=torch.float64)
    network.double()(x, genotype.timesteps)  # moves the running statistics
    with torch.no_grad():
        expected = network.eval()(x, genotype.timesteps).logits
        written = jelly.JellyNetwork(network, recipe, genotype).double().eval()
        for way in (written, written.fused()):
            for _ in range(2):  # the second call shows whether membranes were cleared
                torch.testing.assert_close(jelly.logits(way, x).double(), expected, rtol=1e-5, atol=1e-5)


def test_the_drawn_genotype_fits_and_stays() -> None:
    recipe = Recipe.preset("cifar10", timesteps=5)
    random.seed(1)
    genotype = retrain_step.drawn_genotype(recipe)
    genotype.check_fits(recipe)
    assert genotype == retrain_step.drawn_genotype(recipe) and genotype.timesteps == 5


@pytest.mark.parametrize(
    ("benchmark", "wrong"),
    [
        (search_step, "--batch 0"),
        (search_step, "--array 0"),
        (retrain_step, "--repeats 0"),
        (lif, "--sizes 6"),
        (lif, "--sizes 0x5"),
        (lif, "--ways Norse"),
        (inference, "--batches 0"),
        (inference, "--calls 0"),
    ],
)
def test_bad_input_is_one_line(benchmark: Any, wrong: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(benchmark, [*wrong.split(), "--out", str(tmp_path / "result.json")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
