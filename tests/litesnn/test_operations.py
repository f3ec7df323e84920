"""Operations beyond the paper's, end to end: what they are, what they cost, and that recipes, files and commands know them."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from litesnn import InputError, Recipe, SearchPoint
from litesnn.cli import main
from litesnn.compconv import CompConv
from litesnn.config import PAPER_POINTS
from litesnn.cost import CostModel, derived_cost
from litesnn.data import load
from litesnn.export.convert import pack, unpack
from litesnn.export.latent import trainable
from litesnn.export.packed import read_packed
from litesnn.export.runtime import Runtime
from litesnn.export.trim import trim
from litesnn.genotype import Genotype
from litesnn.held import Held
from litesnn.joint_search import Search
from litesnn.model import Model
from litesnn.network import ArchParameters
from litesnn.operations import OPERATIONS, group_count, kernel_side
from litesnn.retraining import retrain
from litesnn.strategies import unsearched

CPU = torch.device("cpu")
NODES = (((0, "dwconv3x3"), (1, "conv1x1")), ((1, "conv3x3"), (2, "dwconv3x3")), ((0, "skip"), (3, "conv1x1")))
GENOTYPE = Genotype(nodes=NODES, bits=(2, 4, 1), timesteps=2, p=50)


def small(**changes: object) -> Recipe:
    fields = {"nodes": 3, "search_channels": 6, "retrain_channels": 12, "retrain_epochs": 3, "operations": OPERATIONS}
    return Recipe.preset("digits", **{**fields, **changes})


def test_sides_of_kernels() -> None:
    sides = {
        op: [kernel_side(op, source, skip) for source in (0, 2) for skip in ("conv3x3", "conv1x1")] for op in OPERATIONS
    }
    assert sides == {"conv3x3": [3] * 4, "skip": [3, 1, 0, 0], "conv1x1": [1] * 4, "dwconv3x3": [3] * 4}


def test_groups_are_as_many_as_divide_both_ends() -> None:
    assert [group_count("dwconv3x3", *ends) for ends in ((8, 8), (24, 8), (8, 12), (5, 7))] == [8, 8, 4, 1]
    assert {group_count(op, 24, 8) for op in OPERATIONS if op != "dwconv3x3"} == {1}


@pytest.mark.parametrize("double", [False, True], ids=["kernels", "torch"])
def test_a_grouped_convolution_and_its_gradients_are_torch_s_own(double: bool) -> None:
    torch.manual_seed(0)
    conv = CompConv(3, 12, 4, 3, 2, (1, 2, 4), 60, groups=4)
    if double:
        conv.double()
    x = (torch.rand(5, 12, 7, 6) > 0.5).to(conv.weight.dtype)
    shares = torch.tensor([0.2, 0.5, 0.3], dtype=x.dtype)
    one, other = (x.clone().requires_grad_() for _ in range(2))
    got = conv(one, shares)
    plain = CompConv(3, 3, 4, 3, 2, (1, 2, 4), 60)  # the same weights without groups: what is compressed is the same
    plain.to(x.dtype).load_state_dict(conv.state_dict())
    parts = plain.compressed_weight(shares).chunk(3)
    expected = torch.cat([F.conv2d(other, part, stride=2, padding=1, groups=4) for part in parts], 1)
    close = {"rtol": 1e-10, "atol": 1e-10} if double else {"rtol": 1e-4, "atol": 1e-4}
    torch.testing.assert_close(got, expected, **close)
    into = torch.randn_like(expected)
    got.backward(into)
    expected.backward(into)
    pairs = [(one, other), *zip(conv.parameters(), plain.parameters(), strict=True)]
    for a, b in pairs:
        assert a.grad is not None and b.grad is not None and bool(b.grad.any())
        torch.testing.assert_close(a.grad, b.grad, **close)


def test_costs_by_hand() -> None:
    """One cell of two nodes of 4 channels behind a stem of 8, at 8 x 8, one bit, T 1, nothing pruned, all neurons firing."""
    sizes = {
        "nodes": 2,
        "widths": (1,),
        "search_channels": 8,
        "retrain_channels": 8,
        "timesteps": 1,
        "bit_widths": (1,),
    }
    recipe = small(**sizes, stem_bits=1, classifier_bits=1, size="eq18")
    nodes = (((0, "conv1x1"), (1, "dwconv3x3")), ((1, "dwconv3x3"), (2, "dwconv3x3")))
    genotype = Genotype(nodes=nodes, bits=(1,), timesteps=1)
    stem, one, grouped, depthwise, classifier = 9 * 8, 8 * 4, 9 * 2 * 4, 9 * 4, 8 * 10
    weights = one + 2 * grouped + depthwise
    cost = derived_cost(genotype, recipe, torch.ones(3, 1))
    assert cost.model_size_bits == stem + weights + classifier
    assert cost.additions == 64 * weights + classifier
    # The search's expectation, sure of these operations, counts the same.
    shares = dataclasses.replace(ArchParameters(recipe).shares(), timesteps=torch.ones(1))
    certain = Held(nodes=nodes, bits=(1,)).shares(shares, recipe)
    expected = CostModel(recipe, 8, 10, 0)(certain, torch.ones(3, 1))
    assert expected.model_size_bits.item() == cost.model_size_bits
    assert expected.bit_synops.item() == pytest.approx(cost.bit_synops)


def test_a_recipe_without_an_operation_refuses_it() -> None:
    paper = small(operations=("conv3x3", "skip"))
    expected = r"nodes\[0\] op: expected one of conv3x3, skip, got 'dwconv3x3'"
    with pytest.raises(InputError, match=f"^genotype.{expected}"):
        GENOTYPE.check_fits(paper)
    with pytest.raises(InputError, match=f"^held.{expected}"):
        Held(nodes=NODES).check_fits(paper)
    with pytest.raises(InputError, match="^operations: expected conv3x3 and skip among them for strategy fixed"):
        small(operations=("conv3x3", "conv1x1"), strategy="fixed")


def test_chance_draws_all_operations() -> None:
    point = SearchPoint(lambda1=0, lambda2=0, p=0)
    drawn = [unsearched(point, small(strategy="random"), seed) for seed in range(40)]
    assert {op for g in drawn if g is not None for pairs in g.nodes for _, op in pairs} == set(OPERATIONS)


def test_a_search_decodes_any_operation() -> None:
    recipe = small()
    run = Search(PAPER_POINTS["large"], recipe, load(recipe), device=CPU)
    assert run.arch.alpha.shape == (9, 4)
    for op, name in enumerate(OPERATIONS):
        with torch.no_grad():
            run.arch.alpha[:, op] += op + 1
        assert {kept for pairs in run.genotype().nodes for _, kept in pairs} == {name}


def test_a_trained_network_its_file_its_runtime_and_its_latent_weights_agree(tmp_path: Path) -> None:
    recipe = small()
    dataset = load(recipe)
    model = retrain(GENOTYPE, recipe, dataset=dataset).model
    model.save(tmp_path / "m.safetensors")
    again = Model.load(tmp_path / "m.safetensors", CPU)
    x = dataset.normalise(dataset.test.inputs)[:50]
    with torch.no_grad():
        assert torch.equal(again.network(x, 2).logits, model.network.eval()(x, 2).logits)
        pack(model).write(tmp_path / "m.lsnn")
        packed = read_packed(tmp_path / "m.lsnn")
        expected = unpack(packed, CPU, double=True).network(x.double(), 2).logits.mean(0)
        runtime = Runtime(packed)
        for image, logits in zip(x.numpy(), expected.numpy(), strict=True):
            np.testing.assert_allclose(runtime(image).scores, logits, rtol=1e-9, atol=1e-9)
        close = (unpack(packed, CPU).network(x, 2).logits - model.network(x, 2).logits).abs().amax((0, 2)) < 1e-4
    assert close.float().mean() > 0.95  # in single precision a membrane may round to the other side
    assert packed.to_bytes()[4] == 4 and packed.recipe.operations == OPERATIONS
    found = trim(pack(trainable(packed, CPU)))[0]
    assert all(map(np.array_equal, found.codes, packed.codes))


def test_the_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Search, retrain, describe, export and run as they are typed."""
    sizes = ["--nodes", "2", "--widths", "1,2", "--search-channels", "4", "--retrain-channels", "4", "--timesteps", "2"]
    options = ["--operations", "conv1x1,dwconv3x3", *sizes, "--search-epochs", "1", "--retrain-epochs", "1"]
    searched, trained, packed = tmp_path / "searched", tmp_path / "trained", tmp_path / "m.lsnn"
    assert main(["search", *options, "--out", str(searched)]) == 0
    nodes = json.loads((searched / "genotype.json").read_text())["nodes"]
    assert {op for pairs in nodes for _, op in pairs} <= {"conv1x1", "dwconv3x3"}
    assert main(["retrain", str(searched / "genotype.json"), "--out", str(trained)]) == 0
    assert main(["export", str(trained / "model.safetensors"), "-o", str(packed)]) == 0
    capsys.readouterr()
    assert main(["describe", str(packed)]) == 0
    assert nodes[0][0][1] in capsys.readouterr().out
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "zero.png")
    assert main(["run", str(packed), str(tmp_path / "zero.png")]) == 0
    assert "%" in capsys.readouterr().out
