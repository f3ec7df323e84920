"""The fused network against its naive execution: two independent readings of the method must agree to rounding.

Everything runs in float64, where a membrane within rounding of the threshold is too rare to flip a spike.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from benchmarks import naive
from benchmarks.naive import NaiveNetwork
from litesnn.cell import EdgeConvs
from litesnn.compconv import CompConv
from litesnn.config import Recipe, SearchPoint
from litesnn.cost import CostModel
from litesnn.genotype import Genotype
from litesnn.network import ArchParameters, Network
from litesnn.objective import cross_entropy_per_timestep, search_loss
from litesnn.operations import OPERATIONS, PRIMITIVES

BASE: dict[str, Any] = {
    "input_shape": (3, 6, 6),
    "widths": (1, 2),
    "nodes": 2,
    "search_channels": 4,
    "retrain_channels": 4,
    "timesteps": 3,
    "aux_cell": 0,
}

CASES: dict[str, tuple[dict[str, Any], float]] = {
    "two nodes": ({}, 80),
    "odd size": ({"input_shape": (3, 7, 5)}, 50),
    "consecutive reductions": ({"widths": (1, 2, 4), "input_shape": (3, 9, 7)}, 70),
    "reduction first": ({"widths": (2, 4, 4)}, 37.5),
    "one timestep": ({"timesteps": 1}, 80),
    "many timesteps": ({"timesteps": 5, "tau": 0.9, "v_threshold": 0.8, "dspike_b": 2.0}, 80),
    "one node": ({"nodes": 1}, 80),
    "three nodes": ({"nodes": 3, "search_channels": 3, "retrain_channels": 3}, 60),
    "conv1x1 on input edges": ({"input_skip": "conv1x1", "widths": (1, 2, 4)}, 80),
    "one channel per node": ({"input_skip": "conv1x1", "nodes": 2, "search_channels": 2, "retrain_channels": 2}, 50),
    "conv1x1": ({"operations": ("conv3x3", "conv1x1", "skip")}, 80),
    "all operations": ({"operations": OPERATIONS, "widths": (1, 2, 4)}, 60),
    "grouped inputs": ({"operations": OPERATIONS, "nodes": 3, "search_channels": 6, "retrain_channels": 6}, 60),
    "all bit-widths": ({"bit_widths": (1, 2, 3, 4)}, 80),
    "one bit-width": ({"bit_widths": (3,), "stem_bits": 1, "classifier_bits": 2}, 80),
    "unpruned": ({}, 0),
    "strongly pruned": ({}, 90),
    "one input channel, three classes": ({"input_shape": (1, 6, 6), "classes": 3}, 80),
}

POINT = SearchPoint(lambda1=1e-4, lambda2=1e-6, p=50)  # costs large enough to show in the gradients


def case(name: str) -> tuple[Recipe, float]:
    overrides, p = CASES[name]
    return Recipe(**{**BASE, **overrides}), p


def build(recipe: Recipe, p: float, genotype: Genotype | None, *, training: bool) -> Network:
    """A float64 network in which nothing has its initial, symmetric value."""
    network = Network(recipe, 2 * recipe.nodes, recipe.classes, p, genotype)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.5)
                module.bias.uniform_(-0.2, 0.6)
                assert module.running_mean is not None and module.running_var is not None
                module.running_mean.normal_(0, 0.2)
                module.running_var.uniform_(0.5, 1.5)
            elif isinstance(module, CompConv):
                module.scores.normal_()  # signs and ranks other than the weights'
    return network.double().train(training)


def batch(recipe: Recipe, size: int = 3) -> tuple[Tensor, Tensor]:
    return torch.randn(size, *recipe.input_shape, dtype=torch.float64), torch.randint(recipe.classes, (size,))


def genotype_of(recipe: Recipe, p: float) -> Genotype:
    """A genotype with skips and convolutions on edges from inputs and from nodes, or the recipe's other operations."""
    others = [operation for operation in recipe.operations if operation not in PRIMITIVES]
    if others:
        edges = [((0, 1), (1, 2), (2, 3))[node] for node in range(recipe.nodes)]
        kinds = itertools.cycle([*others, "conv3x3"])
        mixed = tuple(tuple((source, next(kinds)) for source in two) for two in edges)
        return Genotype(nodes=mixed, bits=(2,) * recipe.cells, timesteps=recipe.timesteps, p=p)
    nodes = [((0, "conv3x3"), (1, "skip")), ((0, "skip"), (2, "conv3x3")), ((2, "skip"), (3, "skip"))]
    bits = tuple((1, 2, 4)[i % 3] for i in range(recipe.cells))
    return Genotype(nodes=tuple(nodes[: recipe.nodes]), bits=bits, timesteps=recipe.timesteps, p=p)


def named(name: str) -> Callable[[str], str]:
    return lambda message: f"{name}: {message}"


def assert_same_gradients(fused: nn.Module, other: nn.Module) -> None:
    # Batch norm lets gradients cancel to far below the terms that they are sums of: rounding is that of the largest.
    rounding = 1e-13 * max(float(p.grad.abs().max()) for p in other.parameters() if p.grad is not None)
    for (name, a), (_, b) in zip(fused.named_parameters(), other.named_parameters(), strict=True):
        if a.grad is None or b.grad is None:
            assert a.grad is None and b.grad is None, name
            assert name.endswith("scores"), name  # only scores may be without, at p = 0
        else:
            constant = name in ("beta", "psi") and b.shape[-1] == 1  # the softmax of a single logit
            assert constant or rounding < 1e-6 * float(b.grad.abs().max()), f"{name}: gradient too small to compare"
            torch.testing.assert_close(a.grad, b.grad, rtol=1e-8, atol=rounding, msg=named(name))


def assert_same_buffers(fused: nn.Module, other: nn.Module) -> None:
    for (name, a), (_, b) in zip(fused.named_buffers(), other.named_buffers(), strict=True):
        if not name.endswith("num_batches_tracked"):  # unused: the momentum is constant
            torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12, msg=named(name))


def assert_lively(rates: Tensor | None) -> None:
    """The comparison says nothing about neurons that are silent or always fire."""
    assert rates is not None
    assert ((rates > 0.02) & (rates < 0.98)).double().mean() > 0.6


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("name", CASES)
def test_supernet_equals_naive_execution(name: str, training: bool) -> None:
    torch.manual_seed(1)
    recipe, p = case(name)
    fused = build(recipe, p, None, training=training)
    arch = ArchParameters(recipe).double()
    with torch.no_grad():
        for parameter in arch.parameters():
            parameter.normal_()
    cost_model = CostModel(recipe, 2 * recipe.nodes, recipe.classes, p).double()
    other, other_arch = copy.deepcopy((fused, arch))
    x, labels = batch(recipe)
    outputs, losses = [], []
    for run, parameters in ((fused, arch), (NaiveNetwork(other, recipe, None), other_arch)):
        shares = parameters.shares()
        output = run(x, recipe.timesteps, shares, measure_rates=True)
        assert output.rates is not None
        # Rates keep their gradient here: the option that asks the most of both.
        cost = cost_model(shares, output.rates)
        loss = search_loss(output.logits, labels, shares.timesteps, cost, POINT, recipe)
        loss.backward()
        outputs.append(output)
        losses.append(loss)
    torch.testing.assert_close(outputs[0].logits, outputs[1].logits, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(outputs[0].rates, outputs[1].rates, rtol=0, atol=1e-15)
    torch.testing.assert_close(losses[0], losses[1], rtol=1e-10, atol=0)
    assert_lively(outputs[0].rates)
    assert_same_gradients(fused, other)
    assert_same_gradients(arch, other_arch)
    assert_same_buffers(fused, other)


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("name", [n for n, (overrides, _) in CASES.items() if "bit_widths" not in overrides])
def test_derived_network_equals_naive_execution(name: str, training: bool) -> None:
    torch.manual_seed(2)
    recipe, p = case(name)
    genotype = genotype_of(recipe, p)
    fused = build(recipe, p, genotype, training=training)
    other = copy.deepcopy(fused)
    x, labels = batch(recipe)
    outputs = []
    for run in (fused, NaiveNetwork(other, recipe, genotype)):
        output = run(x, recipe.timesteps, measure_rates=True)
        assert output.rates is not None
        (cross_entropy_per_timestep(output.logits, labels, recipe).sum() + output.rates.square().sum()).backward()
        outputs.append(output)
    torch.testing.assert_close(outputs[0].logits, outputs[1].logits, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(outputs[0].rates, outputs[1].rates, rtol=0, atol=1e-15)
    assert_lively(outputs[0].rates)
    assert_same_gradients(fused, other)
    assert_same_buffers(fused, other)


def test_library_norm_equals_formula() -> None:
    torch.manual_seed(3)
    recipe, p = case("two nodes")
    formula = build(recipe, p, None, training=True)
    library = copy.deepcopy(formula)
    shares = ArchParameters(recipe).double().shares()
    x, _ = batch(recipe)
    outputs = []
    for network, library_norm in ((formula, False), (library, True)):
        output = NaiveNetwork(network, recipe, None, library_norm=library_norm)(x, 3, shares)
        output.logits.square().sum().backward(retain_graph=True)
        outputs.append(output)
    torch.testing.assert_close(outputs[0].logits, outputs[1].logits, rtol=1e-10, atol=1e-12)
    assert_same_gradients(formula, library)


def test_one_training_step_moves_running_statistics_by_the_formula() -> None:
    # running <- 0.9 running + 0.1 batch, with the unbiased variance over time, batch, height and width.
    torch.manual_seed(4)
    recipe, p = case("consecutive reductions")
    network = build(recipe, p, None, training=True)
    before = copy.deepcopy(dict(network.named_buffers()))
    seen: dict[str, Tensor] = {}

    def keep(name: str) -> Any:
        return lambda module, args, output: seen.__setitem__(name, output.detach())

    network.stem.register_forward_hook(keep("stem_norm"))
    for name, module in network.named_modules():
        if isinstance(module, EdgeConvs):
            module.conv.register_forward_hook(keep(f"{name}.norm"))
    x, _ = batch(recipe)
    network(x, recipe.timesteps, ArchParameters(recipe).double().shares())
    assert len(seen) == sum(isinstance(module, nn.BatchNorm2d) for module in network.modules())
    for name, out in seen.items():
        frames = 1 if name == "stem_norm" else recipe.timesteps  # the stem's frame is computed once
        assert len(out) == frames * len(x)
        count = out[:, 0].numel()
        mean = out.sum((0, 2, 3)) / count
        var = (out - mean[:, None, None]).square().sum((0, 2, 3)) / (count - 1)
        after = dict(network.named_buffers())
        for key, value in (("running_mean", mean), ("running_var", var)):
            expected = 0.9 * before[f"{name}.{key}"] + 0.1 * value
            torch.testing.assert_close(after[f"{name}.{key}"], expected, rtol=1e-10, atol=1e-12)


def test_evaluation_leaves_running_statistics_alone() -> None:
    recipe, p = case("two nodes")
    network = build(recipe, p, None, training=False)
    before = copy.deepcopy(network)
    x, _ = batch(recipe)
    shares = ArchParameters(recipe).double().shares()
    network(x, 3, shares)
    NaiveNetwork(network, recipe, None)(x, 3, shares)
    assert_same_buffers(network, before)


def test_naive_mask_by_hand() -> None:
    # 90 % of 5 leaves 0.5, rounded up to 1; of the equal sizes 2 and -2 the first is kept.
    scores = torch.tensor([1.0, -2.0, 2.0, 0.5, -0.1], requires_grad=True)
    assert naive.mask(scores, 90).tolist() == [0, 1, 0, 0, 0]
    assert naive.mask(scores, 30).tolist() == [1, 1, 1, 1, 0]  # 3.5 -> 4
    naive.mask(scores, 60).backward(torch.ones(5))
    assert scores.grad is not None and scores.grad.tolist() == [1, -1, 1, 1, -1]


def test_naive_neuron_by_hand() -> None:
    # u: 0.4, 0.2*0.4+0.5 = 0.58 (fires, resets), 0.3 -> y: 0, 1, 0
    currents = [torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (0.4, 0.5, 0.3)]
    spikes = naive.lif_steps(currents, 0.2, 0.5, 3.0)
    assert [y.item() for y in spikes] == [0, 1, 0]
    spikes[1].backward()
    slope = 1.5 * (1 - torch.tanh(torch.tensor(3 * 0.08, dtype=torch.float64)) ** 2) / torch.tanh(torch.tensor(1.5))
    first = 1.5 * (1 - torch.tanh(torch.tensor(-3 * 0.1, dtype=torch.float64)) ** 2) / torch.tanh(torch.tensor(1.5))
    assert currents[1].grad is not None and currents[0].grad is not None
    assert currents[1].grad.item() == pytest.approx(slope.item(), rel=1e-6)
    # u_1 decays, and its rise would have raised y_1 and so reset it: 0.2 * (1 - y_1 - u_1 * dy_1/du_1)
    assert currents[0].grad.item() == pytest.approx((slope * 0.2 * (1 - 0.4 * first)).item(), rel=1e-6)
