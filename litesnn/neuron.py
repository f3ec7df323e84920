"""Leaky integrate-and-fire neurons with the Dspike surrogate gradient.

Eq. 1, over all timesteps of one call, from u_0 = 0:

    u_t = tau * u_{t-1} * (1 - y_{t-1}) + I_t        y_t = [u_t > V_th]

The spike's derivative is replaced by Dspike (Li et al., NeurIPS 2021), centred on the threshold; with z = u - V_th

    dy/du = b/2 * (1 - tanh(b z)^2) / tanh(b/2)   for |z| < 1/2,   0 elsewhere
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from litesnn import gpu, native
from litesnn.spike_bytes import in_bytes, keep_bytes


def dspike(membrane: Tensor, v_threshold: float = 0.5, b: float = 3.0) -> Tensor:
    """Surrogate derivative dy/du of a spike.

    Args:
        membrane: membrane potential u, any shape.
        v_threshold: firing threshold V_th; the surrogate is symmetric around it and 1 wide.
        b: temperature, above 0; larger is steeper.

    Returns:
        dy/du, the shape of ``membrane``; its integral over u is 1.
    """
    z = membrane - v_threshold
    # 1 - tanh(x)^2 = 4 s (1 - s) with s = sigmoid(2 x), which torch computes several times faster on a CPU.
    sigmoid = (z * (2 * b)).sigmoid_()
    bump = torch.addcmul(sigmoid, sigmoid, sigmoid, value=-1)
    inside = z.abs_().lt_(0.5)  # in place as 0 or 1
    return bump.mul_(inside).mul_(2 * b / math.tanh(b / 2))


class _Lif(torch.autograd.Function):
    """Keeps only the membrane for the backward pass; spikes and surrogate follow from it."""

    @staticmethod
    def forward(ctx: Any, current: Tensor, tau: float, v_threshold: float, b: float) -> Tensor:
        membrane = torch.empty_like(current)
        membrane[0] = current[0]
        for before, now, arriving in zip(membrane, membrane[1:], current[1:], strict=False):
            fired = F.threshold(before, v_threshold, 0.0)  # u where it spiked, else 0
            torch.add(arriving, torch.sub(before, fired, out=fired), alpha=tau, out=now)
        ctx.save_for_backward(membrane)
        ctx.constants = tau, v_threshold, b
        return (membrane > v_threshold).to(current.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_spikes: Tensor) -> tuple[Tensor, None, None, None]:
        (membrane,) = ctx.saved_tensors
        tau, v_threshold, b = ctx.constants
        slope = dspike(membrane, v_threshold, b)
        grad = grad_spikes * slope  # dL/du_t through y_t alone
        # du_{t+1}/du_t = tau * (1 - y_t - u_t * dy/du): the reset is part of the graph.
        carry = (membrane <= v_threshold).to(slope.dtype).addcmul_(membrane, slope, value=-1)
        for t in range(len(grad) - 2, -1, -1):
            grad[t].addcmul_(grad[t + 1], carry[t], value=tau)
        return grad, None, None, None


Spikes = tuple[Tensor, Tensor | None]
"""Spikes, and the same in bytes."""


class _NativeLif(torch.autograd.Function):
    """LIF on a weighted sum of inputs by the kernels of ``litesnn.native``: one pass over memory each way.

    Keeps the summed current, and in bytes the inputs that have a share: those are spikes. Gives the spikes twice, the second
    time in bytes if there is to be a gradient, else None.
    """

    @staticmethod
    def forward(ctx: Any, timesteps: int, constants: tuple[float, float, float], count: int, *terms: Any) -> Spikes:
        inputs, shares = terms[:count], terms[count:]
        assert all(x.shape == inputs[0].shape for x in inputs) and inputs[0].numel() % timesteps == 0
        spikes = torch.empty_like(inputs[0])
        current = narrow = None
        if any(ctx.needs_input_grad):
            narrow = torch.empty_like(spikes, dtype=torch.uint8)  # what reads the spikes will keep them so
            if count > 1 or shares[0] is not None:
                current = torch.empty_like(spikes)
        tau, v_threshold, _ = constants
        sizes = timesteps, spikes.numel() // timesteps, count
        native.call("lif_forward", *sizes, inputs, shares, float(tau), float(v_threshold), current, spikes, narrow)
        ctx.set_materialize_grads(False)  # there is none of the bytes
        ctx.sizes, ctx.constants = sizes, constants
        shared = [in_bytes(x) if share is not None else None for x, share in zip(inputs, shares, strict=True)]
        ctx.save_for_backward(inputs[0] if current is None else current, *shared, *shares)
        return spikes, narrow

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_spikes: Tensor, _: None) -> tuple[Tensor | None, ...]:
        current, *terms = ctx.saved_tensors
        count = len(terms) // 2
        inputs, shares = terms[:count], terms[count:]
        rows = _rows(grad_spikes, current)
        if rows is None:
            grad_spikes, rows = torch.empty_like(current).copy_(grad_spikes), (1, 1)
        grad = torch.empty_like(current)
        grad_inputs = [None if x is None else torch.empty_like(grad) for x in inputs]
        grad_shares = [None if share is None else torch.empty_like(share) for share in shares]
        neuron = [float(constant) for constant in ctx.constants]
        gradients = grad, grad_inputs, grad_shares
        native.call("lif_backward", *ctx.sizes, inputs, shares, *neuron, current, grad_spikes, *rows, *gradients)
        return None, None, None, *(grad if g is None else g for g in grad_inputs), *grad_shares


def _kept(found: Spikes) -> Tensor:
    spikes, narrow = found
    if narrow is not None:
        keep_bytes(spikes, narrow)
    return spikes


def _rows(grad: Tensor, like: Tensor) -> tuple[int, int] | None:
    """How many values of ``grad`` lie side by side, and how far the next are: of channels of a wider, dense tensor.

    Returns:
        (1, 1) if it lies as ``like``; None if it is to be copied.
    """
    if grad.stride() == like.stride():
        return 1, 1
    if grad.dim() == 4:
        _, channels, height, width = grad.shape
        step = grad.stride(3)
        if grad.stride() == (height * width * step, 1, width * step, step) and channels % 16 == 0 and step > channels:
            return (channels, step) if like.is_contiguous(memory_format=torch.channels_last) else None
    return None


def lif(current: Tensor, tau: float = 0.2, v_threshold: float = 0.5, dspike_b: float = 3.0) -> Tensor:
    """Spikes of a population of LIF neurons; no state outlives the call (Eq. 1).

    Args:
        current: input current I, ``[T, ...]``, time first.
        tau: membrane decay per timestep, 0 to 1.
        v_threshold: firing threshold V_th, above 0.
        dspike_b: temperature of the surrogate gradient, above 0.

    Returns:
        Spikes y, 0 or 1, of ``current``'s shape and dtype. The gradient flows through the reset as well.
    """
    if native.usable(current) and current.is_contiguous() and current.numel():
        return _kept(_NativeLif.apply(len(current), (tau, v_threshold, dspike_b), 1, current, None))
    if gpu.usable(current) and current.is_contiguous() and current.numel():
        from litesnn.gpu.lif import lif_of_sum as on_gpu  # needs Triton

        return on_gpu([current], [None], len(current), (tau, v_threshold, dspike_b))
    return _Lif.apply(current, tau, v_threshold, dspike_b)


def lif_of_sum(
    inputs: Sequence[Tensor], shares: Sequence[Tensor | None], timesteps: int, neuron: tuple[float, float, float]
) -> Tensor:
    """``lif`` of the weighted sum of what arrives at a node (Eq. 2, 3).

    Args:
        inputs: one or more of ``[T*B, C, H, W]``, time slowest; those with a share are spikes, 0 or 1.
        shares: the weight of each input, a scalar tensor; None for 1.
        timesteps: T.
        neuron: tau, V_th and b, see ``lif``.

    Returns:
        Spikes ``[T*B, C, H, W]``.
    """
    if all(x.is_contiguous(memory_format=torch.channels_last) for x in inputs):
        if native.usable(*inputs, *shares):
            return _kept(_NativeLif.apply(timesteps, neuron, len(inputs), *inputs, *shares))
        if gpu.usable(*inputs, *shares):
            from litesnn.gpu.lif import lif_of_sum as on_gpu  # needs Triton

            return on_gpu(inputs, shares, timesteps, neuron)
    terms = [x if share is None else x * share for x, share in zip(inputs, shares, strict=True)]
    current = terms[0]
    for term in terms[1:]:
        current = current + term
    return lif(current.unflatten(0, (timesteps, -1)), *neuron).flatten(0, 1)
