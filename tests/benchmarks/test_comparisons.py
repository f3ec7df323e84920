"""The paper's comparisons: their parts by hand, and their commands on real digits with tiny budgets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from benchmarks.comparisons import ablation, additions, compconv, distributions, energy
from benchmarks.comparisons.compconv import BranchedCompConv, BranchedSearch
from benchmarks.comparisons.repeats import Row, mean_text, paired
from benchmarks.record import RESULTS
from benchmarks.sides import random_data
from litesnn import Recipe, SearchPoint, retrain
from litesnn.cell import EdgeConvs
from litesnn.compconv import CompConv
from litesnn.genotype import Genotype
from litesnn.joint_search import Search
from litesnn.network import ArchParameters, Network

NETWORK: dict[str, Any] = {"widths": (1, 2), "search_channels": 4, "retrain_channels": 4, "timesteps": 2}
TINY = Recipe.preset("digits", **NETWORK)
OPTIONS = (
    "digits --seeds 2 --threads 1 --widths 1,2 --search-channels 4 --retrain-channels 4 --timesteps 2 --search-epochs 1 "
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
def test_compconv_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "compconv.json"
    options = [*OPTIONS, "--repeats", "1", "--sizes", "--work", str(tmp_path / "work"), "--out", str(out)]
    one = options.index("2")
    assert compconv.main([*options[:one], "1", *options[one + 1 :]]) == 0
    first = read(out)["presets"]["digits"]
    assert [(row["variant"], row["seed"]) for row in first["runs"]] == [("shared", 0), ("naive", 0)]
    (step,) = first["steps"]
    shared, naive = step["sides"]["shared"], step["sides"]["naive"]
    assert naive["trained_numbers"] > 2 * shared["trained_numbers"]
    assert all(0 < side["step_memory_mib"] < side["peak_memory_mib"] for side in (shared, naive))
    ratio = naive["processor_seconds"]["median"] / shared["processor_seconds"]["median"]
    assert step["naive_over_shared"]["processor_seconds"] == pytest.approx(ratio)

    assert compconv.main(options) == 0  # goes on: what there is stays, two runs more
    again = read(out)["presets"]["digits"]
    assert again["runs"][:2] == first["runs"] and len(again["runs"]) == 4 and again["steps"] == first["steps"]
    printed, said = capsys.readouterr()
    assert "digits naive" in printed and "naive takes" in printed and said.count("seed 0") == 2

    content = out.read_bytes()
    assert compconv.main([*options, "--tau", "0.5"]) == 2
    assert "out: expected runs of the same recipe" in capsys.readouterr().err
    assert ablation.main([*OPTIONS, "--out", str(out)]) == 2
    assert "out: expected a record of ablation" in capsys.readouterr().err
    assert out.read_bytes() == content


@pytest.mark.parametrize("comparison", [compconv, distributions, ablation, energy])
def test_bad_input_is_one_line(comparison: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "x.json"
    for bad, line in (
        ("--seeds 0", "seeds: expected"),
        ("--threads 0", "threads: expected"),
        ("--nodes 0", "nodes: expected"),
    ):
        assert comparison.main([*OPTIONS, *bad.split(), "--out", str(out)]) == 2
        error = capsys.readouterr().err
        assert line in error and error.count("\n") == 1
    assert not out.exists()
    with pytest.raises(SystemExit):
        comparison.main(["mnist"])


def test_histograms_by_hand() -> None:
    """Eight weights of standard deviation 1: the three smallest and one large one pruned."""
    weight = torch.tensor([-2.0, -1.0, -0.1, 0.0, 0.1, 1.0, 2.0, 0.0])
    weight = weight / weight.std()
    mask = torch.tensor([1.0, 1, 0, 0, 0, 1, 0, 1])
    mixed = weight.sign() + (weight == 0)
    (shape,) = (s for s in distributions.conv_shapes(TINY, 4, 10, None) if s.name == "classifier")
    layer = distributions.Trained(shape=shape, weight=weight, mixed=mixed, mask=mask)
    found = distributions.histograms(layer)
    assert sum(found["weights"]) == 8 and sum(found["pruned"]) == 4 and len(found["edges"]) == distributions.BINS + 1
    middle = distributions.BINS // 2
    assert found["weights"][middle] == 2 and found["pruned"][middle] == 1  # the zeros
    assert found["mixed"] == {"values": [-1, 1], "counts": [3, 5]}
    assert found["output"] == {"values": [-1, 0, 1], "counts": [2, 4, 2]}
    summary = distributions.summary(layer)
    assert (summary["pruned"], summary["kept"], summary["levels"]) == (50, 4, 2)
    assert summary["skewness"] == pytest.approx(0, abs=1e-6)


def test_the_described_layers_are_those_that_the_network_uses() -> None:
    search = Search(
        SearchPoint(lambda1=0, lambda2=0, p=50), TINY, random_data(TINY, 10), seed=0, device=torch.device("cpu")
    )
    layers = {layer.shape.name: layer for layer in distributions.trained_layers(search)}
    assert len(layers) == len(distributions.conv_shapes(TINY, 4, 10, None))
    for index, cell in enumerate(search.network.cells):
        shares = search.arch.shares().bits[index]
        for group in cell.convs:
            used = group.conv.compressed_weight(shares).detach()
            for member, weight in zip(group.members, used.reshape(len(group.members), -1), strict=True):
                op = ("conv3x3", "skip")[member.op]
                found = layers[f"cell{index + 1}.node{member.node}.input{member.source}.{op}"]
                torch.testing.assert_close(found.mixed * found.mask, weight, rtol=0, atol=1e-6)


@pytest.mark.slow
def test_distributions_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, image = tmp_path / "x.json", tmp_path / "x.png"
    files = ["--work", str(tmp_path / "work"), "--out", str(out), "--image", str(image)]
    assert distributions.main([*OPTIONS, *files]) == 0
    found = read(out)["presets"]["digits"]
    count = found["shape"][0] * found["shape"][1] * found["shape"][2] ** 2
    assert sum(found["weights"]) == sum(found["mixed"]["counts"]) == sum(found["output"]["counts"]) == count
    assert sum(found["pruned"]) == count // 2 and sum(found["bit_shares"].values()) == pytest.approx(1)
    assert len(found["mixed"]["values"]) <= 18  # 2 + 4 + 16 levels have 19 borders, of which 0 is in all three
    with Image.open(image) as picture:
        assert picture.format == "PNG" and len(set(picture.convert("RGB").get_flattened_data())) > 50
    assert found["layer"] in capsys.readouterr().out


def test_the_ablation_varies_one_lambda_at_a_time() -> None:
    points = [ablation.point("cifar10", variant) for variant in ablation.VARIANTS]
    assert [(at.lambda1, at.lambda2, at.p) for at in points] == [
        (0, 0, 90),
        (1e-9, 0, 90),
        (1e-9, 1e-13, 90),
        (5e-9, 1e-13, 90),
    ]


def run(variant: str, seed: int, size: float, count: float) -> Row:
    return {"variant": variant, "seed": seed, "model_size_bits": size, "bit_synops": count}


def test_a_direction_holds_only_if_the_figures_say_so() -> None:
    runs = [run("λ1", 0, 10, 1), run("λ1", 1, 10, 4), run("λ1 and λ2", 1, 5, 3), run("λ1 and λ2", 0, 5, 1.5)]
    assert paired(runs, "λ1", "λ1 and λ2", "bit_synops") == [0.5, -1]
    size = ablation.verdict(runs, "λ1", "λ1 and λ2", "model_size_bits")
    assert "model size -50 %" in size and "holds with every seed" in size
    assert "Bit-SynOps -10 %" in (count := ablation.verdict(runs, "λ1", "λ1 and λ2", "bit_synops"))
    assert "holds on average, with 1 of 2 seeds" in count
    back = ablation.verdict(runs, "λ1 and λ2", "λ1", "model_size_bits")
    assert "model size +100 %" in back and "does NOT hold: lower with 0 of 2 seeds" in back
    assert mean_text([1.0, 2.0, 6.0], ".2f") == "3.00 ± 2.65" and mean_text([1.0], ".1f") == "1.0"


@pytest.mark.slow
def test_ablation_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, image = tmp_path / "x.json", tmp_path / "x.png"
    files = ["--work", str(tmp_path / "work"), "--out", str(out), "--image", str(image)]
    assert ablation.main([*OPTIONS, *files]) == 0
    runs = read(out)["presets"]["digits"]["runs"]
    assert len(runs) == 2 * len(ablation.VARIANTS)
    # The genotype's T, bits and kept weights make the size: p = 90 in all of them.
    assert {row["genotype"]["p"] for row in runs} == {90}
    printed = capsys.readouterr().out
    assert printed.count("the paper's direction") == len(ablation.CLAIMS)
    with Image.open(image) as picture:
        assert picture.format == "PNG"


def test_differences_and_factors_by_hand() -> None:
    parts = {"synapses_mj": 1e-6, "memory_mj": 2e-6, "scales_mj": 0.0, "neurons_mj": 4e-6, "stem_mj": 1e-6}
    row = {"additions": 1.2e6, "additions_exact": 1e6, "multiplications": 0.0, "energy_bits": parts}
    assert additions.difference(row) == pytest.approx(20)
    paper = 0.9e-9 * 1.2e6  # millijoule
    assert additions.factor(row) == pytest.approx(8e-6 / paper)
    assert additions.factor(row, "neurons") == pytest.approx(4e-6 / paper)


def test_the_stored_record_of_additions_is_what_the_code_reads() -> None:
    result = read(RESULTS / "additions.json")
    printed = additions.report(result)
    assert printed.count(", seed ") == 9 and printed.count("times the paper's energy") == 3
    for row in result["presets"]["digits"]["runs"]:
        assert row["additions_exact"] > 0 and sum(row["energy_bits"].values()) > 0
        # The classifier is in both totals and in none of the causes.
        assert 0.98 * row["additions"] < row["causes"]["eq_12"] < row["additions"]
        assert 0.98 * row["additions_exact"] < row["causes"]["counted"] < row["additions_exact"]


@pytest.mark.slow
def test_additions_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "x.json"
    assert additions.main([*OPTIONS, "--work", str(tmp_path / "work"), "--out", str(out)]) == 0
    runs = read(out)["presets"]["digits"]["runs"]
    assert sorted({row["genotype"]["p"] for row in runs}) == [50, 80, 95] and len(runs) == 6
    assert capsys.readouterr().out.count("Eq. 12 differs by") == 3


def test_published_energies_follow_from_their_counts() -> None:
    rows = {row["model"]: row for row in energy.read_published()}
    assert len(rows) == 8 and all("Table 5" in row["source"] for row in rows.values())
    found = {name: energy.derive(row) for name, row in rows.items()}
    assert all(row["energy_agrees"] for row in found.values())
    assert found["LitE-SNN large"]["energy_mj"] == pytest.approx(0.9e-3 * 705.01 + 3.7e-3 * 11.94)
    # 3 x 3 kernels, 3 colours, 144 channels, 32 x 32 positions, half of the weights, six timesteps
    assert found["LitE-SNN large"]["multiplications_m"] == pytest.approx(27 * 144 * 1024 * 0.5 * 6 / 1e6)
    for name in ("large", "medium", "small"):
        assert round(found[f"LitE-SNN {name}"]["timesteps_needed"], 2) == pytest.approx(6, abs=0.01)
    assert [found[f"LitE-SNN {name}"]["timesteps_agree"] for name in ("large", "medium", "small")] == [
        True,
        False,
        False,
    ]
    # N = 3, C = 144: 2212.288 M dense, the stem's 3.981 M once more, a tenth of it kept
    assert found["ANN small"]["additions_m"] == pytest.approx((2212.288128 + 3.981312) * 0.1)
    assert all(found[f"ANN {name}"]["additions_agree"] for name in ("large", "medium", "small"))
    assert found["Na et al. 2022 (AutoSNN)"]["additions_m"] == pytest.approx(18739 / 32)
    assert 1 < found["LitE-SNN small"]["mean_bits"] < found["LitE-SNN large"]["mean_bits"] < 4


def test_what_is_printed_otherwise_is_noticed() -> None:
    row = next(row for row in energy.read_published() if row["model"] == "LitE-SNN large")
    assert not energy.derive({**row, "energy_mj": 0.69})["energy_agrees"]
    assert not energy.derive({**row, "multiplications_m": 11.90})["multiplications_agree"]
    ann = next(row for row in energy.read_published() if row["model"] == "ANN large")
    assert not energy.derive({**ann, "additions_m": 970.20})["additions_agree"]


@pytest.mark.slow
def test_energy_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pairs = (((0, "conv3x3"), (1, "skip")), ((1, "conv3x3"), (2, "skip")))
    genotype = Genotype(nodes=pairs, bits=(2, 4), timesteps=2, p=50)
    recipe = Recipe.preset("digits", **NETWORK, retrain_epochs=1, retrain_batch=200)
    trained = retrain(genotype, recipe)
    trained.model.save(tmp_path / "model.safetensors")
    out = tmp_path / "x.json"
    files = ["--work", str(tmp_path / "work"), "--out", str(out), "--model", str(tmp_path / "model.safetensors")]
    assert energy.main([*OPTIONS, "--seeds", "1", *files]) == 0
    result = read(out)
    (model,) = result["models"]
    assert model["additions"] == pytest.approx(trained.cost.additions)
    assert model["multiplications"] == trained.cost.multiplications == 18 * 64 * 2  # half of 9 x 4 weights, T = 2
    assert [row["variant"] for row in result["presets"]["digits"]["runs"]] == ["large", "medium", "small"]
    line = next(line for line in capsys.readouterr().out.splitlines() if "model.safetensors" in line)
    ratio = trained.cost.ann_energy_mj / trained.cost.energy_mj
    assert line.split()[-1] == f"{ratio:.2f}"
    assert energy.main([*OPTIONS, *files[:-1], str(tmp_path / "none")]) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("energy: model: expected a readable file")


@pytest.mark.parametrize("comparison", [compconv, distributions, ablation, energy])
def test_stored_results_are_what_the_code_reads(comparison: Any) -> None:
    name = comparison.__name__.rpartition(".")[2]
    result = read(RESULTS / f"{name}.json")
    assert result["machine"]["cpu"] in comparison.report(result)
    # The preset has learnt to train better since; what was compared are still networks of its space.
    stored, now = Recipe.from_dict(result["presets"]["digits"]["recipe"]), Recipe.preset("digits")
    space = "widths nodes bit_widths timesteps search_channels retrain_channels".split()
    assert [getattr(stored, name) for name in space] == [getattr(now, name) for name in space]
