"""The kernels in Triton's interpreter, on a CPU, against plain PyTorch: values and all gradients, at odd sizes too.

Run by ``test_gpu.py`` with ``TRITON_INTERPRET=1``, which must be set before Triton is imported.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from litesnn import gpu, native, prune
from litesnn.compconv import CompConv
from litesnn.config import SearchPoint
from litesnn.edge_norm import EdgeNorm
from litesnn.gpu import compress, lif, norm
from litesnn.gpu.layers import Stack, tables
from litesnn.gpu.proof import DisagreementError, prove
from litesnn.gpu.select import mark_largest
from litesnn.joint_search import Search
from litesnn.network import ArchParameters, Network
from litesnn.neuron import _Lif
from litesnn.prune import keep_largest, prune_mask
from litesnn.quantize import fake_quantize
from litesnn.retraining import Retrain
from litesnn.step_graph import StepGraph
from tests.litesnn.conftest import tiny_dataset, tiny_genotype, tiny_recipe
from tests.litesnn.kernels import gradients
from tests.litesnn.recording import RecordedGraph

NEURON = 0.4, 0.5, 3.0
Run = Callable[[], Tensor | Sequence[Tensor]]


def agree(kernels: Run, plain: Run, leaves: Sequence[Tensor], tolerance: float = 2e-5) -> None:
    """Values and gradients differ from the plain ones by at most ``tolerance`` of the largest."""
    values, grads = gradients(kernels, leaves)
    expected_values, expected_grads = gradients(plain, leaves)
    for got, other in zip([*values, *grads], [*expected_values, *expected_grads], strict=True):
        assert got.shape == other.shape
        assert (got.float() - other.float()).abs().max() <= tolerance * other.float().abs().max().clamp_min(1e-3)


def last(*shape: int) -> Tensor:
    return torch.randn(shape).to(memory_format=torch.channels_last)


def plain_lif(inputs: Sequence[Tensor], shares: Sequence[Tensor | None], timesteps: int) -> Tensor:
    terms = [x.float() if s is None else x.float() * s.float() for x, s in zip(inputs, shares, strict=True)]
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return _Lif.apply(total.unflatten(0, (timesteps, -1)), *NEURON).flatten(0, 1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (1, 3, 5, 7), (2, 24, 8, 8)])
@pytest.mark.parametrize("timesteps", [1, 5])
def test_neurons(shape: tuple[int, ...], timesteps: int, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    currents = [last(timesteps * shape[0], *shape[1:]).to(dtype) for _ in range(4)]
    inputs = [currents[0], currents[1], *((current > 0).to(dtype) for current in currents[2:])]
    shares = [None, None, torch.tensor(0.3, dtype=dtype), torch.tensor(0.8, dtype=dtype)]
    leaves = [*inputs, *(s for s in shares if s is not None)]
    for leaf in leaves:
        leaf.requires_grad_()
    # Of bfloat16 the results are rounded, what leads to them is not.
    tolerance = 2e-5 if dtype == torch.float32 else 2**-6
    spikes = lif.lif_of_sum(inputs, shares, timesteps, NEURON)
    assert spikes.dtype == dtype
    assert torch.equal(spikes.float(), plain_lif(inputs, shares, timesteps).float())
    kernels = lambda: lif.lif_of_sum(inputs, shares, timesteps, NEURON)  # noqa: E731
    agree(kernels, lambda: plain_lif(inputs, shares, timesteps), leaves, tolerance)


def test_neurons_whose_gradient_is_a_part_of_the_channels() -> None:
    x = last(4, 5, 3, 3).requires_grad_()

    def beside(run: Callable[[], Tensor]) -> Run:
        return lambda: torch.cat([run(), torch.zeros(4, 3, 3, 3).contiguous(memory_format=torch.channels_last)], 1)

    kernels = beside(lambda: lif.lif_of_sum([x], [None], 2, NEURON))
    agree(kernels, beside(lambda: plain_lif([x], [None], 2)), [x])
    part = torch.empty(4, 8, 3, 3).to(memory_format=torch.channels_last)[:, 2:7]
    assert lif.side_by_side(part, x) == (5, 8)
    assert lif.side_by_side(part.contiguous(), x) is None  # channels first: copied


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("rounds", "targets", "width"), [(1, 1, 3), (2, 3, 5), (1, 4, 33)])
@pytest.mark.parametrize("shape", [(3, 1, 1), (3, 5, 7)])
def test_norm_and_sum(rounds: int, targets: int, width: int, shape: tuple[int, int, int], dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    members = rounds * targets
    images, height, across = shape
    x = (last(images, members * width, height, across) * 3 + 7).to(dtype).requires_grad_()
    shares = torch.rand(members + 2, 2).requires_grad_()
    places = torch.randperm(2 * members + 4)[:members].tolist()
    norms = [EdgeNorm(rounds, targets, width, places) for _ in range(2)]
    for each in norms:
        torch.nn.init.normal_(each.weight, generator=torch.Generator().manual_seed(1))
        torch.nn.init.normal_(each.bias, generator=torch.Generator().manual_seed(2))
    tolerance = 1e-4 if dtype == torch.float32 else 2**-7
    for op_shares in (shares, None):
        leaves = [x, *([] if op_shares is None else [op_shares])]
        found = [gradients(run, [*leaves, each.weight, each.bias]) for run, each in (
            (lambda s=op_shares: norm.spread_in_training(x, norms[0], s), norms[0]),
            (lambda s=op_shares: norms[1].spread(x.float(), s), norms[1]),
        )]  # fmt: skip
        for got, other in zip(sum(found[0], []), sum(found[1], []), strict=True):
            assert got.shape == other.shape
            assert (got.float() - other.float()).abs().max() <= tolerance * other.float().abs().max().clamp_min(1e-3)
        for name in ("running_mean", "running_var"):
            torch.testing.assert_close(getattr(norms[0], name), getattr(norms[1], name), rtol=1e-4, atol=1e-5)


def test_norm_of_a_single_value_is_refused() -> None:
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        norm.spread_in_training(last(1, 3, 1, 1), EdgeNorm(1, 1, 3, [0]), None)


SIZES = [(1, 1), (7, 3), (2048, 1024), (2049, 2048), (5000, 700), (5000, 0), (5000, 5000)]


@pytest.mark.parametrize("kind", ["different", "tied", "zero", "huge and tiny"])
def test_the_largest_of_every_layer(kind: str) -> None:
    torch.manual_seed(0)
    rows = {
        "different": [torch.randn(count) for count, _ in SIZES],
        "tied": [torch.randint(-2, 3, (count,)).float() for count, _ in SIZES],
        "zero": [torch.zeros(count) for count, _ in SIZES],
        "huge and tiny": [torch.randn(count) * 10.0 ** torch.randint(-44, 38, (count,)) for count, _ in SIZES],
    }[kind]
    stacks = tuple(Stack(1, count, 1, 1, kept, (2,), -1) for count, kept in SIZES)
    mask = mark_largest(torch.cat(rows), tables(stacks, torch.device("cpu")))
    for marks, row, (_, kept) in zip(mask.split([count for count, _ in SIZES]), rows, SIZES, strict=True):
        assert torch.equal(marks.bool(), keep_largest(row.abs()[None], kept)[0])


def plainly(convs: Sequence[CompConv], rows: Sequence[int], shares: Tensor, p: float, n: int) -> list[Tensor]:
    found = []
    for conv, row in zip(convs, rows, strict=True):
        mixed: Any = fake_quantize(conv.weight, conv.bits[0], start_dim=1)
        if row >= 0:
            mixed = sum(shares[row, j] * fake_quantize(conv.weight, b, start_dim=1) for j, b in enumerate(conv.bits))
        if p:
            assert conv.scores is not None
            mixed = mixed * prune_mask(conv.scores, p, start_dim=1, n=n)
        found.append(mixed.flatten(0, 1))
    return found


@pytest.mark.parametrize(("p", "n"), [(0.0, 0), (50.0, 0), (99.9, 0), (80.0, 2)])
def test_compressed_weights(p: float, n: int) -> None:
    torch.manual_seed(0)
    shapes = [(1, 3, 7, 3), (3, 6, 4, 3), (2, 5, 11, 1), (4, 24, 6, 3), (1, 30, 10, 1)]
    rows, bits = [-1, 0, 0, 1, -1], [(4,), (1, 2, 4), (1, 2, 4), (1, 2, 4), (3,)]
    convs = [CompConv(g, i, o, k, 1, b, p, mask_n=n) for (g, i, o, k), b in zip(shapes, bits, strict=True)]
    shares = torch.rand(2, 3).requires_grad_()
    weights, scores = [c.weight for c in convs], [c.importance for c in convs]
    leaves = [*weights, shares, *(scores if p else [])]
    agree(
        lambda: compress.compress_all(weights, scores, bits, rows, shares, p, n),
        lambda: plainly(convs, rows, shares, p, n),
        leaves,
        1e-4,
    )


def test_who_can_use_them(monkeypatch: pytest.MonkeyPatch) -> None:
    assert gpu.usable(torch.zeros(1), None, torch.zeros(1, dtype=torch.bfloat16))
    assert not gpu.usable(torch.zeros(1, dtype=torch.float64)) and not gpu.usable(torch.zeros(1, device="meta"))
    for name, value, expected in (("LITESNN_TRITON", "0", None), ("TRITON_INTERPRET", "", "cuda")):
        with monkeypatch.context() as patch:
            patch.setenv(name, value)
            assert gpu.device_type.__wrapped__() == expected
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert gpu.device_type.__wrapped__() is None


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_network_with_kernels_is_the_network(monkeypatch: pytest.MonkeyPatch, precision: str) -> None:
    """Every parameter's gradient, of supernet and derived network; the plain path has no kernels in C either."""
    monkeypatch.setattr(native, "kernels", lambda: None)
    recipe = tiny_recipe.__wrapped__()(precision=precision)  # type: ignore[attr-defined]
    genotype = tiny_genotype.__wrapped__()  # type: ignore[attr-defined]
    x, labels = torch.randn(4, *recipe.input_shape), torch.tensor([0, 1, 2, 0])
    for chosen in (None, genotype):
        torch.manual_seed(0)
        fresh = Network(recipe, 4, 3, 50, chosen, auxiliary=chosen is not None), ArchParameters(recipe)
        found = []
        for device_type in ("cpu", None):
            monkeypatch.setattr(gpu, "device_type", lambda found=device_type: found)
            network, arch = copy.deepcopy(fresh)  # running statistics move
            shares = arch.shares() if chosen is None else None
            output = network.train()(x, 2, shares, measure_rates=True)
            assert output.rates is not None
            loss = torch.nn.functional.cross_entropy(output.logits.mean(0), labels) + output.rates.sum()
            loss.backward()
            grads = [p.grad for p in [*network.parameters(), *arch.parameters()] if p.grad is not None]
            with torch.no_grad():
                evaluated = network.eval()(x, 2, shares).logits
            found.append([loss.detach(), output.rates.detach(), evaluated, *(grad.clone() for grad in grads)])
        assert len(found[0]) == len(found[1]) > 15
        for got, other in zip(*found, strict=True):
            tolerance = 1e-3 if precision == "fp32" else 0.05
            assert (got - other).abs().max() <= tolerance * other.abs().max().clamp_min(1e-3)


@pytest.mark.parametrize("kind", ["search", "retrain"])
def test_kernels_that_are_replayed_do_what_they_did(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """On other inputs than those of the recording, and with weights that have moved on."""
    monkeypatch.setattr(native, "kernels", lambda: None)
    monkeypatch.setattr(prune, "_on_host", lambda tensor: False)
    recipe = tiny_recipe.__wrapped__()(widths=(1,), psi_warmup_epochs=0, score_lr=2**-7, aux_cell=0)  # type: ignore[attr-defined]
    genotype, dataset = (f.__wrapped__() for f in (tiny_genotype, tiny_dataset))  # type: ignore[attr-defined]
    point, cpu = SearchPoint(lambda1=1e-6, lambda2=1e-9, p=50), torch.device("cpu")
    runs: list[Search | Retrain] = [
        Search(point, recipe, dataset, device=cpu)
        if kind == "search"
        else Retrain(replace(genotype, bits=(2,)), recipe, dataset, device=cpu)
        for _ in range(2)
    ]
    optimizers = [part for part in runs[0]._parts().values() if isinstance(part, torch.optim.Optimizer)]
    graph = RecordedGraph(cpu)
    step = StepGraph(runs[0].step, graph, optimizers, runs[0]._scheduled())  # type: ignore[arg-type]
    for run in runs:
        run.network.train()
    for _ in range(3):
        batch = torch.rand(2, *recipe.input_shape), torch.randint(3, (2,))
        batches = batch * (2 if kind == "search" else 1)
        assert torch.equal(step(*batches), runs[1].step(*batches))
    assert sum(func.__name__ == "_start" for func, *_ in graph.calls) > 15
    for parts in zip(*(run._parts().values() for run in runs), strict=True):
        tensors = [[t for t in tree_leaves(part.state_dict()) if isinstance(t, Tensor)] for part in parts]
        assert all(torch.equal(a, b) for a, b in zip(*tensors, strict=True))


def test_kernels_prove_themselves_first(monkeypatch: pytest.MonkeyPatch) -> None:
    prove(torch.device("cpu"))
    assert gpu._proven.__wrapped__(torch.device("cpu"))
    monkeypatch.setattr(compress, "_STEPS", (1.596, 0.996, 0.586, 0.3))  # 0.336 for 4 bits
    with pytest.raises(DisagreementError, match="compression"):
        prove(torch.device("cpu"))
    with pytest.warns(UserWarning, match="plain PyTorch instead of kernels on cpu: the kernels for compression"):
        assert not gpu._proven.__wrapped__(torch.device("cpu"))
