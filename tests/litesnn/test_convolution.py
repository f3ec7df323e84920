"""Convolutions by the kernels against torch's: values and gradients, alone and with the batch norm behind them."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from litesnn.convolution import convolve, convolve_and_spread
from litesnn.edge_norm import EdgeNorm
from tests.litesnn.kernels import built, compare, gradients, plainly

WINOGRAD = 1e-4  # of the largest value: its sums cancel more than those of a direct convolution
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
    (4, 8, 8, 6, 6),
    (3, 70, 18, 5, 7),
    (3, 130, 40, 3, 2),
]


def spikes(*shape: int) -> Tensor:
    return (torch.rand(shape) < 0.3).float().requires_grad_()


def operands(shape: tuple[int, int, int, int, int], kernel: int) -> tuple[Tensor, Tensor]:
    images, inputs, outputs, height, width = shape
    return spikes(images, inputs, height, width), torch.randn(outputs, inputs, kernel, kernel, requires_grad=True)


@built
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("stride", [1, 2, 3, 4])
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
@pytest.mark.parametrize(("kernel", "stride"), [(1, 1), (1, 2), (5, 1), (5, 3)])
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
@pytest.mark.parametrize("stride", [1, 2])
def test_equal_calls_give_equal_bits_with_two_threads(stride: int) -> None:
    torch.set_num_threads(2)
    norm, weight = block(2, 4, 12, 24, 3)
    x, shares = spikes(12, 24, 16, 16), torch.rand(8, 1, requires_grad=True)
    leaves = [x, weight, shares]
    first, *others = (gradients(lambda: convolve_and_spread(x, weight, stride, norm, shares), leaves) for _ in range(5))
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
