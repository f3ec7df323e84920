"""Convolutions by the kernels against torch's: values and gradients, alone and with the batch norm behind them."""

import os
import platform
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from litesnn.compconv import CompConv
from litesnn.config import Recipe
from litesnn.convolution import convolve, convolve_and_spread
from litesnn.edge_norm import EdgeNorm
from litesnn.network import Network
from tests.litesnn.kernels import built, compare, gradients, plainly

WINOGRAD = 1e-4  # of the largest value: its sums cancel more than those of a direct convolution
ROUNDED = 0.03  # of the root of the mean square, where 16-bit numbers are multiplied: 0.0233 at most at these sizes
KEPT_IN_HALF = 2e-3  # what the backward pass reads of the normalised values has 11 bits
SHAPES = [
    # images, inputs, outputs, height, width
    (1, 1, 1, 1, 1),
    (2, 3, 5, 7, 9),
    (1, 17, 33, 4, 5),
    (3, 12, 36, 16, 16),
    (2, 20, 50, 8, 6),
    (5, 48, 96, 12, 3),
    (1, 2, 70, 1, 13),
]


def spikes(*shape: int) -> Tensor:
    return (torch.rand(shape) < 0.3).float().requires_grad_()


def operands(shape: tuple[int, int, int, int, int], kernel: int) -> tuple[Tensor, Tensor]:
    images, inputs, outputs, height, width = shape
    return spikes(images, inputs, height, width), torch.randn(outputs, inputs, kernel, kernel, requires_grad=True)


@built
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("shape", SHAPES)
def test_three_by_three(shape: tuple[int, int, int, int, int], stride: int, threads: int) -> None:
    """Against torch in double precision, which has another path altogether."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    x, weight = operands(shape, 3)
    got, grads = gradients(lambda: convolve(x, weight, stride, spikes=True), [x, weight])
    exact = [x.detach().double().requires_grad_(), weight.detach().double().requires_grad_()]
    expected, expected_grads = gradients(lambda: F.conv2d(*exact, stride=stride, padding=1), exact)
    for one, other in zip([*got, *grads], [*expected, *expected_grads], strict=True):
        assert one.shape == other.shape and one.dtype == torch.float32
        assert (one - other).abs().max() <= WINOGRAD * other.abs().max().clamp_min(1e-2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("kernel", "stride"), [(1, 1), (1, 2), (5, 1), (3, 3)])
def test_what_has_no_kernel_is_torchs(kernel: int, stride: int, dtype: torch.dtype) -> None:
    x, weight = (t.detach().to(dtype).requires_grad_() for t in operands((2, 3, 4, 7, 6), kernel))
    got, grads = gradients(lambda: convolve(x, weight, stride, spikes=True), [x, weight])
    expected, expected_grads = gradients(lambda: F.conv2d(x, weight, stride=stride, padding=kernel // 2), [x, weight])
    for one, other in zip([*got, *grads], [*expected, *expected_grads], strict=True):
        assert torch.allclose(one, other, atol=1e-5)


@pytest.mark.parametrize("stride", [1, 2])
def test_inputs_that_are_not_spikes(stride: int) -> None:
    x = torch.randn(2, 3, 9, 8, requires_grad=True)
    weight = torch.randn(6, 3, 3, 3, requires_grad=True)
    got, grads = gradients(lambda: convolve(x, weight, stride, spikes=False), [x, weight])
    expected, expected_grads = gradients(lambda: F.conv2d(x, weight, stride=stride, padding=1), [x, weight])
    for one, other in zip([*got, *grads], [*expected, *expected_grads], strict=True):
        assert torch.allclose(one, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("wanted", [0, 1])
def test_a_gradient_that_nobody_wants_is_not_made(wanted: int) -> None:
    leaves = operands((2, 3, 4, 8, 8), 3)
    leaves[1 - wanted].requires_grad_(False)
    x, weight = leaves
    (grad,) = torch.autograd.grad(convolve(x, weight, 1, spikes=True).square().sum(), leaves[wanted])
    (expected,) = torch.autograd.grad(F.conv2d(x, weight, padding=1).square().sum(), leaves[wanted])
    assert torch.allclose(grad, expected, rtol=1e-3, atol=1e-3)


def block(rounds: int, targets: int, width: int, inputs: int, kernel: int) -> tuple[EdgeNorm, Tensor]:
    torch.manual_seed(0)
    members = rounds * targets
    norm = EdgeNorm(rounds, targets, width, list(reversed(range(members))))
    torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(norm.bias)
    return norm, torch.randn(members * width, inputs, kernel, kernel, requires_grad=True)


def running(norm: EdgeNorm, convolution: Callable[[], tuple[Tensor, ...]]) -> Callable[[], tuple[Tensor, ...]]:
    """The convolution from the same running statistics at every call; they are results too."""
    start = {name: value.clone() for name, value in norm.state_dict().items()}

    def run() -> tuple[Tensor, ...]:
        norm.load_state_dict(start)
        return *convolution(), norm.running_mean.clone(), norm.running_var.clone()

    return run


@built
@pytest.mark.parametrize(("rounds", "targets", "width"), [(1, 1, 1), (2, 4, 12), (3, 2, 5), (1, 3, 16)])
@pytest.mark.parametrize("with_shares", [False, True])
@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (1, 1), (1, 2)])
def test_with_the_norm_behind(
    monkeypatch: pytest.MonkeyPatch,
    rounds: int,
    targets: int,
    width: int,
    with_shares: bool,
    kernel: int,
    stride: int,
) -> None:
    norm, weight = block(rounds, targets, width, 7, kernel)
    x = spikes(6, 7, 9, 11)
    shares = torch.rand(rounds * targets, 1, requires_grad=True) if with_shares else None
    leaves = [x, weight, norm.weight, norm.bias] + ([] if shares is None else [shares])
    run = running(norm, lambda: convolve_and_spread(x, weight, stride, norm, shares))
    plain = running(norm, lambda: norm.spread(convolve(x, weight, stride, spikes=True), shares))
    compare(monkeypatch, run, leaves, KEPT_IN_HALF, plain)
    values, expected = run(), plainly(monkeypatch, plain)
    assert isinstance(expected, tuple)
    for one, other in zip(values, expected, strict=True):  # the forward pass itself is in single precision
        assert (one - other).abs().max() <= WINOGRAD * other.abs().max()
    assert not torch.equal(norm.running_mean, torch.zeros_like(norm.running_mean))


@built
def test_more_images_than_fit_the_cache_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    norm, weight = block(2, 4, 24, 16, 3)
    x = spikes(9, 16, 32, 32)  # 9 x 192 x 32 x 32 numbers between convolution and norm
    run = running(norm, lambda: convolve_and_spread(x, weight, 1, norm, None))
    plain = running(norm, lambda: norm.spread(convolve(x, weight, 1, spikes=True), None))
    compare(monkeypatch, run, [x, weight, norm.weight, norm.bias], KEPT_IN_HALF, plain)


@built
def test_a_channel_far_from_zero() -> None:
    """A mean a thousand times the deviation: summing squares around zero would lose every digit of the variance."""
    norm = EdgeNorm(1, 1, 3, [0])
    x = torch.ones(8, 2, 16, 16)
    x[:, 1] = (torch.rand(8, 16, 16) < 0.5).float()
    weight = torch.zeros(3, 2, 1, 1)
    weight[:, 0], weight[:, 1] = 1000, 2
    (out,) = convolve_and_spread(x, weight, 1, norm, None)
    exact = F.conv2d(x.double(), weight.double())
    exact = (exact - exact.mean((0, 2, 3), keepdim=True)) / exact.std((0, 2, 3), unbiased=False, keepdim=True)
    assert (out - exact).abs().max() < 1e-3


@built
def test_equal_calls_give_equal_bits_with_two_threads() -> None:
    torch.set_num_threads(2)
    norm, weight = block(2, 4, 12, 24, 3)
    x, shares = spikes(12, 24, 16, 16), torch.rand(8, 1, requires_grad=True)
    leaves = [x, weight, shares]
    first, *others = (gradients(lambda: convolve_and_spread(x, weight, 1, norm, shares), leaves) for _ in range(5))
    assert all(torch.equal(a, b) for other in others for a, b in zip(sum(first, []), sum(other, []), strict=True))


@built
def test_what_is_kept_for_the_backward_pass_is_small() -> None:
    norm, weight = block(2, 4, 12, 24, 3)
    x = spikes(12, 24, 16, 16)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        convolve_and_spread(x, weight, 1, norm, None)
    by_type = {dtype: sum(t.numel() for t in kept if t.dtype == dtype) for dtype in {t.dtype for t in kept}}
    assert by_type[torch.uint8] == x.numel()
    assert by_type[torch.float16] == 12 * 96 * 16 * 16
    assert by_type[torch.float32] <= weight.numel() + 4 * 96


@built
def test_a_single_value_per_channel_cannot_be_normalised() -> None:
    norm, weight = block(1, 1, 2, 3, 3)
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        convolve_and_spread(spikes(1, 3, 1, 1), weight, 1, norm, None)


def off(got: Tensor, expected: Tensor) -> float:
    """The error's root of the mean square, as a share of that of ``expected``."""
    assert got.shape == expected.shape and got.dtype == torch.float32
    return float(
        ((got.detach() - expected.detach()).square().mean() / expected.detach().square().mean().clamp_min(1e-12)).sqrt()
    )


@built
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("shape", SHAPES)
def test_three_by_three_in_16_bits(
    monkeypatch: pytest.MonkeyPatch, shape: tuple[int, int, int, int, int], stride: int, threads: int
) -> None:
    """Against exact results and against torch's own convolution of 16-bit numbers, which is the path without kernels."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    x, weight = operands(shape, 3)
    with torch.no_grad():
        x[0, 0] = 1  # no result is 0 throughout

    def run() -> tuple[list[Tensor], list[Tensor]]:
        return gradients(lambda: convolve(x, weight, stride, spikes=True, precision="bf16"), [x, weight])

    values, grads = run()
    exact = [x.detach().double().requires_grad_(), weight.detach().double().requires_grad_()]
    for expected in (
        gradients(lambda: F.conv2d(*exact, stride=stride, padding=1), exact),
        plainly(monkeypatch, run),
    ):
        assert isinstance(expected, tuple)
        for one, other in zip([*values, *grads], sum(expected, []), strict=True):
            assert off(one, other) <= ROUNDED
    in_32_bits = convolve(x, weight, stride, spikes=True)
    assert not torch.equal(values[0], in_32_bits)  # the kernels of 16 bits were at work


@built
@pytest.mark.parametrize("stride", [1, 2])
def test_inputs_that_are_not_spikes_in_16_bits(stride: int) -> None:
    torch.manual_seed(0)
    x, weight = torch.randn(2, 24, 9, 8, requires_grad=True), torch.randn(6, 24, 3, 3, requires_grad=True)
    got = gradients(lambda: convolve(x, weight, stride, spikes=False, precision="bf16"), [x, weight])
    expected = gradients(lambda: F.conv2d(x, weight, stride=stride, padding=1), [x, weight])
    assert all(off(one, other) <= ROUNDED for one, other in zip(sum(got, []), sum(expected, []), strict=True))


@pytest.mark.parametrize(("kernel", "stride"), [(1, 1), (1, 2), (5, 1)])
def test_what_has_no_kernel_multiplies_16_bit_numbers_too(kernel: int, stride: int) -> None:
    x = torch.full((1, 1, 6, 6), 1 + 2**-8, requires_grad=True)  # rounded to even: to 1
    weight = torch.zeros(1, 1, kernel, kernel)
    weight[..., kernel // 2, kernel // 2] = 1 + 3 * 2**-8  # to 1 + 4 / 256
    weight.requires_grad_()
    values = convolve(x, weight, stride, spikes=False, precision="bf16")
    assert values.dtype == torch.float32 and torch.all(values == 1 + 2**-6)
    assert torch.all(convolve(x, weight, stride, spikes=False) == (1 + 2**-8) * (1 + 3 * 2**-8))
    of_x, of_weight = torch.autograd.grad(values.sum(), [x, weight])
    assert of_x.dtype == of_weight.dtype == torch.float32 and of_x.max() == 1 + 2**-6
    assert of_weight[..., kernel // 2, kernel // 2] == values.numel()


def test_double_precision_is_never_rounded() -> None:
    x, weight = (t.detach().double().requires_grad_() for t in operands((2, 3, 4, 7, 6), 3))
    got = gradients(lambda: convolve(x, weight, 1, spikes=True, precision="bf16"), [x, weight])
    expected = gradients(lambda: convolve(x, weight, 1, spikes=True), [x, weight])
    assert all(torch.equal(one, other) for one, other in zip(sum(got, []), sum(expected, []), strict=True))


@built
@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (1, 1)])
def test_with_the_norm_behind_in_16_bits(monkeypatch: pytest.MonkeyPatch, kernel: int, stride: int) -> None:
    norm, weight = block(2, 3, 5, 7, kernel)
    x, shares = spikes(6, 7, 9, 11), torch.rand(6, 1, requires_grad=True)
    leaves = [x, weight, norm.weight, norm.bias, shares]
    run = running(norm, lambda: convolve_and_spread(x, weight, stride, norm, shares, "bf16"))
    exact = running(norm, lambda: norm.spread(convolve(x, weight, stride, spikes=True), shares))
    got, expected = gradients(run, leaves), plainly(monkeypatch, lambda: gradients(exact, leaves))
    assert isinstance(expected, tuple)
    for one, other in zip(sum(got, []), sum(expected, []), strict=True):
        assert off(one, other) <= ROUNDED


@built
def test_equal_calls_give_equal_bits_in_16_bits_with_two_threads() -> None:
    torch.set_num_threads(2)
    norm, weight = block(2, 4, 12, 24, 3)
    x, leaves = spikes(12, 24, 16, 16), [weight, norm.weight, norm.bias]
    first, *others = (
        gradients(lambda: convolve_and_spread(x, weight, 1, norm, None, "bf16"), [x, *leaves]) for _ in range(5)
    )
    assert all(torch.equal(a, b) for other in others for a, b in zip(sum(first, []), sum(other, []), strict=True))


PROGRAM = """
import torch
from litesnn.convolution import convolve
torch.manual_seed(0)
x, weight = (torch.rand(2, 17, 9, 8) < 0.3).float(), torch.randn(33, 17, 3, 3)
print(*(convolve(x, weight, stride, spikes=True, precision="bf16").sum((0, 2, 3)).tolist() for stride in (1, 2)))
"""


@built
@pytest.mark.slow
@pytest.mark.skipif(platform.machine() != "x86_64", reason="the option of the compiler is x86-64's")
def test_a_processor_that_cannot_multiply_16_bit_numbers_gets_the_same(tmp_path: Path) -> None:
    def sums(**environment: str) -> Tensor:
        command = [sys.executable, "-c", PROGRAM]
        done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        return torch.tensor([float(word.strip("[],")) for word in done.stdout.split()])

    without = sums(CC="cc -mno-avx512bf16", XDG_CACHE_HOME=str(tmp_path))
    assert len(list(tmp_path.rglob("*.so"))) == 1
    assert torch.allclose(sums(), without, rtol=1e-3, atol=1e-2)


def test_the_recipes_precision_reaches_every_convolution_of_the_cells() -> None:
    recipe = Recipe.preset("digits", precision="bf16", input_skip="conv1x1")
    network = Network(recipe, recipe.search_channels, recipe.classes, 50, None)
    inside = [module for module in network.cells.modules() if isinstance(module, CompConv)]
    assert inside and {module.precision for module in inside} == {"bf16"}
    assert {network.stem.precision, network.classifier.precision} == {"fp32"}
