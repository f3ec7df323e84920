"""The neuron against hand-computed voltages, scalar loops, plain autograd, SpikingJelly and snnTorch."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from litesnn.neuron import dspike, lif


def primitive(membrane: Tensor, v_threshold: float, b: float) -> Tensor:
    """The function whose derivative is Dspike: rises from 0 to 1 over one unit around the threshold."""
    z = (membrane - v_threshold).clamp(-0.5, 0.5)
    return 0.5 + torch.tanh(b * z) / (2 * math.tanh(b / 2))


def spike(membrane: Tensor, v_threshold: float, b: float) -> Tensor:
    """A hard spike with the gradient of the smooth one, for plain autograd."""
    hard = (membrane > v_threshold).to(membrane.dtype)
    soft = primitive(membrane, v_threshold, b)
    return (hard - soft).detach() + soft


def autograd_lif(current: Tensor, tau: float = 0.2, v_threshold: float = 0.5, b: float = 3.0) -> Tensor:
    """Eq. 1 written with tensor operations only, nothing detached."""
    membrane = torch.zeros_like(current[0])
    fired = torch.zeros_like(current[0])
    spikes = []
    for step in current:
        membrane = tau * membrane * (1 - fired) + step
        fired = spike(membrane, v_threshold, b)
        spikes.append(fired)
    return torch.stack(spikes)


def gradient(function: Callable[[Tensor], Tensor], current: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Spikes, and the gradient of their weighted sum with respect to ``current``."""
    leaf = current.detach().clone(memory_format=torch.preserve_format).requires_grad_()
    spikes = function(leaf)
    (spikes * weights).sum().backward()
    assert leaf.grad is not None
    return spikes.detach(), leaf.grad


# t          1     2      3      4     5        6 (exactly at the threshold)  7
# I          0.4   0.3    0.5    0.4   0.45     0.5                           0.45
# u          0.4   0.38   0.576  0.4   0.53     0.5                           0.55
# y          0     0      1      0     1        0                             1
# Without the reset u_4 would be 0.5152, a spike; a spike at u_6 = V_th would reset and leave u_7 = 0.45, no spike.
CURRENTS = [0.4, 0.3, 0.5, 0.4, 0.45, 0.5, 0.45]
VOLTAGES = [0.4, 0.38, 0.576, 0.4, 0.53, 0.5, 0.55]
SPIKES = [0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0]


def test_hand_computed_spikes() -> None:
    current = torch.tensor(CURRENTS, dtype=torch.float64)
    assert lif(current).tolist() == SPIKES


def test_hand_computed_voltages() -> None:
    # dy_t/dI_t is the surrogate at u_t, which tells the voltage that the forward pass had.
    current = torch.tensor(CURRENTS, dtype=torch.float64, requires_grad=True)
    spikes = lif(current)
    for t, voltage in enumerate(VOLTAGES):
        (grad,) = torch.autograd.grad(spikes[t], current, retain_graph=True)
        expected = 1.5 * (1 - math.tanh(3 * (voltage - 0.5)) ** 2) / math.tanh(1.5)
        assert grad[t].item() == pytest.approx(expected, abs=1e-12)


def test_hand_computed_gradient_through_the_reset() -> None:
    # u_1 = 0.6 fires, so u_2 = 0.4 comes from I_2 alone; yet y_1 depends on u_1 and gates the decay:
    # du_2/du_1 = tau * (1 - y_1 - u_1 * dy_1/du_1) = 0.2 * (0 - 0.6 * slope(0.6)).
    current = torch.tensor([0.6, 0.4], dtype=torch.float64, requires_grad=True)
    lif(current)[1].backward()

    def slope(u: float) -> float:
        return 1.5 * (1 - math.tanh(3 * (u - 0.5)) ** 2) / math.tanh(1.5)

    assert current.grad is not None
    assert current.grad.tolist() == pytest.approx([slope(0.4) * 0.2 * (-0.6 * slope(0.6)), slope(0.4)], abs=1e-12)


def test_forward_equals_a_loop_over_scalars() -> None:
    current = torch.randn(5, 3, 2, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    spikes = lif(current, 0.7, 0.3, 2.0)
    for place in [(b, c, x) for b in range(3) for c in range(2) for x in range(3)]:
        u, y = 0.0, 0
        for t in range(5):
            u = 0.7 * u * (1 - y) + current[(t, *place)].item()
            y = int(u > 0.3)
            assert spikes[(t, *place)].item() == y
    assert 0 < spikes.mean() < 1


def _seeded(*shape: int) -> Tensor:
    return 0.3 + torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=torch.float64)


@pytest.mark.parametrize("tau,v_threshold,b", [(0.2, 0.5, 3.0), (1.0, 0.5, 3.0), (0.0, 0.2, 1.0), (0.5, 1.0, 6.0)])
@pytest.mark.parametrize("shape", [(1, 4), (2, 3), (5, 3, 2, 7, 5), (6,)])
def test_gradient_equals_plain_autograd(shape: tuple[int, ...], tau: float, v_threshold: float, b: float) -> None:
    current = _seeded(*shape)
    weights = torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    spikes, grad = gradient(lambda x: lif(x, tau, v_threshold, b), current, weights)
    expected_spikes, expected = gradient(lambda x: autograd_lif(x, tau, v_threshold, b), current, weights)
    assert torch.equal(spikes, expected_spikes.round())
    torch.testing.assert_close(grad, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("layout", ["transposed", "every second", "channels last"])
def test_memory_layout_does_not_matter(layout: str) -> None:
    current = _seeded(4, 2, 3, 5, 5)
    if layout == "transposed":
        laid_out = current.transpose(0, 4).contiguous().transpose(0, 4)
    elif layout == "every second":
        laid_out = current.repeat_interleave(2, dim=0)[::2]
    else:
        laid_out = current.flatten(0, 1).contiguous(memory_format=torch.channels_last).unflatten(0, (4, 2))
    assert torch.equal(laid_out, current) and not laid_out.is_contiguous()
    weights = torch.randn(current.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    leaf = laid_out.requires_grad_()
    spikes = lif(leaf)
    (spikes * weights).sum().backward()
    expected_spikes, expected = gradient(autograd_lif, current, weights)
    assert torch.equal(spikes, expected_spikes.round())
    torch.testing.assert_close(leaf.grad, expected, rtol=1e-12, atol=1e-12)


def test_a_frame_expanded_over_time_gets_the_sum_of_the_gradients() -> None:
    # What direct encoding does: the stem's current is computed once and seen at every timestep.
    frame = _seeded(2, 3, 5, 5)
    weights = torch.randn(4, *frame.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    spikes, grad = gradient(lambda x: lif(x.expand(4, *x.shape)), frame, weights)
    expected_spikes, expected = gradient(lambda x: autograd_lif(torch.stack([x, x, x, x])), frame, weights)
    assert torch.equal(spikes, expected_spikes.round())
    torch.testing.assert_close(grad, expected, rtol=1e-12, atol=1e-12)


def test_a_frame_that_fires_at_none_or_all_timesteps() -> None:
    assert lif(torch.full((4, 1), 0.1)).sum() == 0
    assert lif(torch.full((4, 1), 0.6)).sum() == 4


def test_no_state_survives_a_call_and_the_input_stays() -> None:
    first, second = torch.full((3, 4), 0.45), torch.full((3, 4), 0.45)
    alone = lif(second)
    lif(torch.full((5, 4), 0.49))
    assert torch.equal(lif(first), alone)
    assert torch.equal(first, torch.full((3, 4), 0.45))


def test_dtype_and_shape_are_kept() -> None:
    spikes = lif(torch.rand(2, 3, dtype=torch.float32))
    assert spikes.dtype == torch.float32 and spikes.shape == (2, 3)


@pytest.mark.parametrize("b", [0.5, 3.0, 8.0])
@pytest.mark.parametrize("v_threshold", [0.5, 1.3])
def test_dspike_integrates_to_one_and_ends(b: float, v_threshold: float) -> None:
    steps = 200_000
    u = v_threshold - 1 + 2 * (torch.arange(steps, dtype=torch.float64) + 0.5) / steps  # midpoints
    assert (dspike(u, v_threshold, b).sum() * 2 / steps).item() == pytest.approx(1, abs=1e-8)
    outside = torch.tensor([-9.0, v_threshold - 0.501, v_threshold + 0.501, 9.0], dtype=torch.float64)
    assert dspike(outside, v_threshold, b).tolist() == [0, 0, 0, 0]


def test_dspike_at_points() -> None:
    # b = 3: peak b/2 / tanh(b/2) = 1.5 / 0.9051483 = 1.657187; 0.25 away, times 1 - tanh(0.75)^2 = 0.596586.
    values = dspike(torch.tensor([0.5, 0.25, 0.75], dtype=torch.float64))
    assert values.tolist() == pytest.approx([1.657187, 0.988655, 0.988655], abs=1e-6)


def test_equals_spikingjelly() -> None:
    neuron = pytest.importorskip("spikingjelly.activation_based.neuron")
    surrogate = pytest.importorskip("spikingjelly.activation_based.surrogate")

    class Dspike(surrogate.SurrogateFunctionBase):  # type: ignore[misc,name-defined]
        @staticmethod
        def spiking_function(x: Tensor) -> Tensor:
            return spike(x, 0.0, 3.0)

    # v - (v - 0) / tau = 0.2 v for tau = 1.25; the reset to 0 stays in the graph.
    node = neuron.LIFNode(
        tau=1.25,
        decay_input=False,
        v_threshold=0.5,
        v_reset=0.0,
        surrogate_function=Dspike(),
        detach_reset=False,
        step_mode="m",
    )
    current = _seeded(7, 3, 5)
    weights = torch.randn(7, 3, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    spikes, grad = gradient(lif, current, weights)
    expected_spikes, expected = gradient(node, current, weights)
    assert torch.equal(spikes, expected_spikes.round())
    torch.testing.assert_close(grad, expected, rtol=1e-10, atol=1e-10)


def test_equals_snntorch() -> None:
    snntorch = pytest.importorskip("snntorch")

    # reset_delay=False zeroes the membrane in the step of the spike and keeps that in the graph. With the default the
    # next step zeroes it by a detached spike: equal spikes, but no gradient through the reset.
    def leaky(current: Tensor) -> Tensor:
        node = snntorch.Leaky(
            beta=torch.tensor(0.2, dtype=torch.float64),
            threshold=torch.tensor(0.5, dtype=torch.float64),
            spike_grad=lambda shifted: spike(shifted, 0.0, 3.0),
            reset_mechanism="zero",
            reset_delay=False,
        )
        membrane, spikes = torch.zeros_like(current[0]), []
        for step in current:
            fired, membrane = node(step, membrane)
            spikes.append(fired)
        return torch.stack(spikes)

    current = _seeded(7, 3, 5)
    weights = torch.randn(7, 3, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    spikes, grad = gradient(lif, current, weights)
    expected_spikes, expected = gradient(leaky, current, weights)
    assert torch.equal(spikes, expected_spikes.round())
    torch.testing.assert_close(grad, expected, rtol=1e-10, atol=1e-10)
