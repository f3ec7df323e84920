"""Quantisation against levels written out, and its constants against the integral that they minimise."""

import math
import statistics

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from litesnn.checks import InputError
from litesnn.quantize import fake_quantize, layer_std
from litesnn.steps import STEP_PER_STD

STEPS = {1: 1.596, 2: 0.996, 3: 0.586, 4: 0.336}  # method decision: s_b, in standard deviations


def levels(bits: int, step: float) -> list[float]:
    """±(i + 1/2) * step, 2^bits of them."""
    positive = [(i + 0.5) * step for i in range(2 ** (bits - 1))]
    return [-level for level in reversed(positive)] + positive


def gaussian(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


@pytest.mark.parametrize("bits", [1, 2, 3, 4])
def test_all_levels_and_no_others_are_used(bits: int) -> None:
    weight = 0.07 * gaussian(5000)
    used = fake_quantize(weight, bits).unique().tolist()
    assert used == pytest.approx(levels(bits, STEPS[bits] * statistics.stdev(weight.tolist())), rel=1e-9)
    assert len(used) == 2**bits


@settings(max_examples=60)
@given(
    weights=st.lists(st.integers(-300, 300), min_size=2, max_size=12).filter(lambda w: len(set(w)) > 1),
    bits=st.sampled_from([1, 2, 3, 4]),
)
def test_every_weight_goes_to_a_nearest_level(weights: list[int], bits: int) -> None:
    values = [w / 100 for w in weights]
    quantised = fake_quantize(torch.tensor(values, dtype=torch.float64), bits).tolist()
    allowed = levels(bits, STEPS[bits] * statistics.stdev(values))
    for value, got in zip(values, quantised, strict=True):
        assert min(abs(got - level) for level in allowed) < 1e-9
        assert abs(value - got) <= min(abs(value - level) for level in allowed) + 1e-9


def gaussian_error(bits: int, step: float) -> float:
    """Mean squared error of the mid-rise quantiser on a unit Gaussian, by the midpoint rule on [0, 10]."""
    u = (torch.arange(400_000, dtype=torch.float64) + 0.5) * (10 / 400_000)
    largest = (2 ** (bits - 1) - 0.5) * step
    nearest = (torch.floor(u / step) + 0.5).mul(step).clamp(max=largest)
    density = torch.exp(-u * u / 2) / math.sqrt(2 * math.pi)
    return 2 * ((u - nearest) ** 2 * density).sum().item() * (10 / 400_000)


@pytest.mark.parametrize("bits", [1, 2, 3, 4])
def test_steps_minimise_the_error_on_a_unit_gaussian(bits: int) -> None:
    low, high = 0.5 * STEP_PER_STD[bits], 2 * STEP_PER_STD[bits]
    for _ in range(40):  # ternary search; the error has one minimum
        left, right = low + (high - low) / 3, high - (high - low) / 3
        if gaussian_error(bits, left) < gaussian_error(bits, right):
            high = right
        else:
            low = left
    # To the three digits given; for 4 bits the decided 0.336 is one digit off the optimum, 0.3352, at hardly any cost.
    assert STEP_PER_STD[bits] == pytest.approx((low + high) / 2, abs=0.0009 if bits == 4 else 0.0005)
    assert gaussian_error(bits, STEP_PER_STD[bits]) <= 1.0001 * gaussian_error(bits, (low + high) / 2)


@pytest.mark.parametrize("bits", [1, 2, 3, 4])
def test_gradient_is_the_identity(bits: int) -> None:
    # Exactly the identity: nothing is clipped, and none of it flows through the standard deviation.
    weight = (5 * gaussian(40)).requires_grad_()
    upstream = torch.randn(40, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    fake_quantize(weight, bits).backward(upstream)
    assert weight.grad is not None and torch.equal(weight.grad, upstream)
    assert not layer_std(weight).requires_grad


@pytest.mark.parametrize("bits", [1, 4])
def test_stacked_layers_are_quantised_each_alone(bits: int) -> None:
    layers = gaussian(3, 4, 2, 3, 3) * torch.tensor([1.0, 10.0, 0.01], dtype=torch.float64)[:, None, None, None, None]
    together = fake_quantize(layers, bits, start_dim=1)
    for layer, quantised in zip(layers, together, strict=True):
        torch.testing.assert_close(quantised, fake_quantize(layer, bits), rtol=1e-12, atol=0)
    assert layer_std(layers, 1).shape == (3, 1, 1, 1, 1)


@pytest.mark.parametrize(
    "weight", [torch.full((4, 5), 0.3), torch.zeros(3), torch.tensor([[2.0]]), torch.full((2,), -1e30)]
)
@pytest.mark.parametrize("bits", [1, 2, 4])
def test_constant_weights_stay_finite(weight: Tensor, bits: int) -> None:
    assert layer_std(weight).min() > 0
    assert fake_quantize(weight, bits).isfinite().all()


@pytest.mark.parametrize("bits", [0, 5, 8, -1])
def test_unknown_bits_are_refused(bits: int) -> None:
    with pytest.raises(InputError, match=r"^bits: expected one of 1, 2, 3, 4, got -?\d$"):
        fake_quantize(torch.ones(3), bits)
