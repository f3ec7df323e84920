"""Convolutions in bf16: the numbers that are multiplied are rounded to 16 bits, nothing else is."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from litesnn.compconv import CompConv
from litesnn.config import Recipe
from litesnn.convolution import convolve, convolve_and_spread
from litesnn.network import Network
from tests.litesnn.kernels import built, gradients, plainly
from tests.litesnn.test_convolution import SHAPES, block, operands, running, spikes

ROUNDED = 0.03  # of the root of the mean square, where 16-bit numbers are multiplied: 0.0233 at most at these sizes


def off(got: Tensor, expected: Tensor) -> float:
    """The error's root of the mean square, as a share of that of ``expected``."""
    assert got.shape == expected.shape and got.dtype == torch.float32
    return float(
        ((got.detach() - expected.detach()).square().mean() / expected.detach().square().mean().clamp_min(1e-12)).sqrt()
    )


@built
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("stride", [1, 2, 4])
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
    others: list[object] = [gradients(lambda: F.conv2d(*exact, stride=stride, padding=1), exact)]
    if stride < 3 and stride <= min(x.shape[2:]):  # beyond, torch's leaves what no output reads without a value
        others.append(plainly(monkeypatch, run))
    for expected in others:
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


PROCESSOR = Path("/proc/cpuinfo")
NAMES = {"avx2": "avx2", "avx512f": "avx512f", "avx512_bf16": "avx512bf16"}  # the system's name, the compiler's
EXTENSIONS = [NAMES[name] for name in NAMES if PROCESSOR.exists() and name in PROCESSOR.read_text().split()]
PROGRAM = """
import sys, torch
from litesnn.convolution import convolve
from litesnn.neuron import lif
torch.manual_seed(0)
found = []
for inputs, stride, size in ((3, 1, 7), (17, 1, 9), (17, 2, 9), (40, 2, 8), (17, 4, 9)):
    x, weight = (torch.rand(3, inputs, size, 8) < 0.3).float().requires_grad_(), torch.randn(33, inputs, 3, 3).requires_grad_()
    for precision in ("fp32", "bf16"):
        out = convolve(x, weight, stride, spikes=True, precision=precision)
        found += [out.detach(), *torch.autograd.grad((out * torch.randn(out.shape)).sum(), [x, weight])]
current = torch.randn(3, 5, 7).requires_grad_()
out = lif(current)
found += [out.detach(), *torch.autograd.grad((out * torch.randn(out.shape)).sum(), [current])]
torch.save(found, sys.argv[1])
"""


def results(file: Path, **environment: str) -> list[Tensor]:
    command = [sys.executable, "-c", PROGRAM, str(file)]
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    found: list[Tensor] = torch.load(file, weights_only=True)
    return found


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> list[Tensor]:
    """What this processor computes."""
    return results(tmp_path_factory.mktemp("here") / "here")


@built
@pytest.mark.slow
@pytest.mark.parametrize("lacking", EXTENSIONS)
def test_processors_of_fewer_and_shorter_registers_get_the_same(
    here: list[Tensor], tmp_path: Path, lacking: str
) -> None:
    """A library built as if this processor lacked what it has: other vectors, other blocks, the same results."""
    without = results(tmp_path / "without", CC=f"cc -mno-{lacking}", XDG_CACHE_HOME=str(tmp_path))
    assert len(list(tmp_path.rglob("*.so"))) == 1
    for index, (one, other) in enumerate(zip(here, without, strict=True)):
        in_16_bits = index < 30 and index % 6 > 2
        assert off(one, other) <= (ROUNDED if in_16_bits else 1e-5), index


def test_the_recipes_precision_reaches_every_convolution_of_the_cells() -> None:
    recipe = Recipe.preset("digits", precision="bf16", input_skip="conv1x1")
    network = Network(recipe, recipe.search_channels, recipe.classes, 50, None)
    inside = [module for module in network.cells.modules() if isinstance(module, CompConv)]
    assert inside and {module.precision for module in inside} == {"bf16"}
    assert {network.stem.precision, network.classifier.precision} == {"fp32"}
