"""The paper's comparisons: their parts by hand, and their commands on real digits with tiny budgets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.comparisons import compconv, sequential
from benchmarks.comparisons.compconv import BranchedCompConv, BranchedSearch
from benchmarks.comparisons.repeats import mean_text, paired, run
from benchmarks.sides import random_data
from litesnn import Recipe, SearchPoint
from litesnn.cell import EdgeConvs
from litesnn.compconv import CompConv
from litesnn.joint_search import Search
from litesnn.network import ArchParameters, Network

NETWORK: dict[str, Any] = {"widths": (1, 2), "search_channels": 4, "retrain_channels": 4, "timesteps": 2}
TINY = Recipe.preset("digits", **NETWORK)
OPTIONS = (
    "digits --threads 1 --widths 1,2 --search-channels 4 --retrain-channels 4 --timesteps 2 --search-epochs 1 "
    "--retrain-epochs 1 --search-batch 100 --retrain-batch 100 --psi-warmup-epochs 0"
).split()


def read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def branched_like(shared: CompConv) -> BranchedCompConv:
    """A naive one whose branches all hold the shared one's weights and scores."""
    made = BranchedCompConv(shared)
    for branch in made.branches:
        branch.load_state_dict(shared.state_dict())
    return made.to(shared.weight.dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_with_equal_weights_and_masks_the_naive_compconv_is_the_shared_one(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    shared = CompConv(2, 8, 4, 3, 1, (1, 2, 4), 60).to(dtype)
    with torch.no_grad():
        shared.scores.normal_()
    naive = branched_like(shared)
    shares = [torch.tensor([0.5, 0.3, 0.2], dtype=dtype, requires_grad=True) for _ in range(2)]
    x = (torch.rand(3, 8, 5, 5) < 0.3).to(dtype).contiguous(memory_format=torch.channels_last)
    outputs = [conv(x, share) for conv, share in zip((shared, naive), shares, strict=True)]
    close = {"rtol": 0, "atol": 1e-5 if dtype == torch.float32 else 1e-13}
    torch.testing.assert_close(outputs[1], outputs[0], **close)
    for output in outputs:
        output.square().sum().backward()
    close["atol"] *= 100
    torch.testing.assert_close(shares[1].grad, shares[0].grad, **close)
    for name in ("weight", "scores"):  # what the shared ones learn is what all branches learn together
        parts = [getattr(branch, name).grad for branch in naive.branches]
        torch.testing.assert_close(sum(parts), getattr(shared, name).grad, **close)


def test_branches_that_differ_are_mixed_after_quantiser_and_mask() -> None:
    """By hand: one-bit and two-bit branches of four weights each, half of them pruned."""
    naive = BranchedCompConv(CompConv(1, 4, 1, 1, 1, (1, 2), 50))
    one, two = naive.branches
    with torch.no_grad():
        one.weight.copy_(torch.tensor([1.0, -1.0, 1.0, -1.0]).view(1, 1, 4, 1, 1))
        one.scores.copy_(torch.tensor([3.0, -2.0, 1.0, 0.5]).view(1, 1, 4, 1, 1))
        two.weight.copy_(torch.tensor([1.0, 3.0, -1.0, -3.0]).view(1, 1, 4, 1, 1))
        two.scores.copy_(torch.tensor([0.0, 1.0, 2.0, -4.0]).view(1, 1, 4, 1, 1))
    std_one, std_two = (4 / 3) ** 0.5, (20 / 3) ** 0.5  # the second step is 2.572: levels ±1.286, ±3.858
    expected = [
        0.75 * 0.5 * 1.596 * std_one,
        -0.75 * 0.5 * 1.596 * std_one,
        -0.25 * 0.5 * 0.996 * std_two,
        -0.25 * 1.5 * 0.996 * std_two,
    ]
    found = naive.compressed_weight(torch.tensor([0.75, 0.25])).flatten()
    assert found.tolist() == pytest.approx(expected, rel=1e-5)


def test_a_whole_supernet_of_equal_branches_gives_the_same_logits_and_rates() -> None:
    torch.manual_seed(0)
    network = Network(TINY, 4, 10, 50, None).double()
    shares = ArchParameters(TINY).double().shares()
    x = torch.randn(5, 1, 8, 8, dtype=torch.float64)
    before = network(x, 2, shares, measure_rates=True)
    for group in [module for module in network.modules() if isinstance(module, EdgeConvs)]:
        group.add_module("conv", branched_like(group.conv))
    after = network(x, 2, shares, measure_rates=True)
    torch.testing.assert_close(after.logits, before.logits, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(after.rates, before.rates, rtol=0, atol=1e-12)


@pytest.mark.parametrize("p", [0, 50])
def test_a_search_learns_every_branch(p: float) -> None:
    data = random_data(TINY, 20)
    settings: dict[str, Any] = {"seed": 3, "device": torch.device("cpu")}
    point = SearchPoint(lambda1=1e-6, lambda2=1e-9, p=p)
    search, shared = BranchedSearch(point, TINY, data, **settings), Search(point, TINY, data, **settings)
    branches = [module for name, module in search.network.named_modules() if ".branches." in name]
    assert len(branches) == 3 * sum(isinstance(module, EdgeConvs) for module in search.network.modules())
    assert len({branch.weight.flatten()[0].item() for branch in branches}) == len(branches)
    in_cells = sum(branch.weight.numel() for branch in branches[::3])
    assert sum(w.numel() for w in search.weights) - sum(w.numel() for w in shared.weights) == 2 * in_cells
    before = [(branch.weight.detach().clone(), branch.scores.detach().clone()) for branch in branches]
    x, labels = data.normalise(data.train.inputs), data.train.labels
    search.network.train()
    assert torch.isfinite(search.step(x, labels, x, labels))
    for branch, (weight, scores) in zip(branches, before, strict=True):
        assert not torch.equal(branch.weight, weight)
        assert torch.equal(branch.scores, scores) == (p == 0)


@pytest.mark.slow
def test_a_command_keeps_every_run_and_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "compconv.json"
    files = ["--out", str(out)]
    assert run(compconv, [*OPTIONS, "--seeds", "1", *files]) == 0
    first = read(out)["presets"]["digits"]["runs"]
    assert [(row["variant"], row["seed"]) for row in first] == [("shared", 0), ("naive", 0)]
    assert run(compconv, [*OPTIONS, "--seeds", "2", *files]) == 0  # what there is stays, two runs more
    again = read(out)["presets"]["digits"]["runs"]
    assert again[:2] == first and len(again) == 4
    printed, said = capsys.readouterr()
    assert "| digits naive |" in printed and "naive less shared, by seed" in printed and said.count("seed 0") == 2

    content = out.read_bytes()
    assert run(compconv, [*OPTIONS, *files, "--tau", "0.5"]) == 2
    assert "out: expected runs of the same recipe" in capsys.readouterr().err
    assert run(sequential, [*OPTIONS, *files]) == 2
    assert "out: expected a record of sequential" in capsys.readouterr().err
    assert out.read_bytes() == content


@pytest.mark.parametrize("comparison", [compconv, sequential])
def test_bad_input_is_one_line(comparison: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "x.json"
    for bad in ("--seeds 0", "--threads 0", "--nodes 0"):
        assert run(comparison, [*OPTIONS, *bad.split(), "--out", str(out)]) == 2
        error = capsys.readouterr().err
        assert f"{bad.split()[0].strip('-')}: expected" in error and error.count("\n") == 1
    assert not out.exists()


def test_means_and_differences_by_hand() -> None:
    runs = [
        {"variant": v, "seed": s, "x": x}
        for v, s, x in (("a", 0, 1), ("a", 1, 4), ("b", 1, 3), ("b", 0, 1.5), ("b", 2, 9))
    ]
    assert paired(runs, "a", "b", "x") == [0.5, -1]
    assert mean_text([1.0, 2.0, 6.0], ".2f") == "3.00 ± 2.65" and mean_text([1.0], ".1f") == "1.0"
    assert mean_text([1.0, 2.0], "+.1f") == "+1.5 ± 0.7"
