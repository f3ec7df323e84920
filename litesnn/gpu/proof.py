"""Whether the kernels compute on this device what plain PyTorch does: tried on a few numbers before they are used."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from litesnn.compconv import _Compress
from litesnn.edge_norm import EdgeNorm
from litesnn.gpu.compress import compress_all
from litesnn.gpu.lif import lif_of_sum
from litesnn.gpu.norm import spread_in_training
from litesnn.neuron import _Lif

_TOLERANCE = 1e-3
"""Of the largest value; a kernel that is wrong is off by far more, rounding by far less."""

Made = Callable[[], Sequence[Tensor]]


class DisagreementError(RuntimeError):
    """A kernel that computes something else."""


def prove(device: torch.device) -> None:
    """Compares values and gradients of neurons, norm and compression with the plain ones.

    Args:
        device: where to.

    Raises:
        DisagreementError: they differ.
        Exception: whatever Triton raises where it cannot compile or run a kernel.
    """
    with torch.inference_mode(False), torch.enable_grad():
        for name, (kernels, plain, leaves) in _cases(device).items():
            _compare(name, kernels, plain, leaves)


def _cases(device: torch.device) -> dict[str, tuple[Made, Made, list[Tensor]]]:
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator).to(device).requires_grad_()

    def image(*shape: int) -> Tensor:
        made = torch.randn(shape, generator=generator).contiguous(memory_format=torch.channels_last)
        return made.to(device).requires_grad_()

    neuron, share = (0.2, 0.5, 3.0), torch.tensor(0.7, device=device, requires_grad=True)
    current, spikes = image(6, 10, 11, 11), (image(6, 10, 11, 11) > 0).float().requires_grad_()

    def plain_lif() -> list[Tensor]:
        return [_Lif.apply((current + spikes * share).unflatten(0, (3, 2)), *neuron).flatten(0, 1)]

    x, op_shares = image(3, 30, 7, 9), draw(4, 2)
    norms = [EdgeNorm(2, 3, 5, [0, 3, 1, 2, 7, 6]).to(device) for _ in range(2)]
    weight, scores, bit_shares = draw(2, 12, 30, 3, 3), draw(2, 12, 30, 3, 3), draw(1, 3)
    bits = (1, 2, 4)

    def plain_compress() -> list[Tensor]:
        return [_Compress.apply(weight, scores, bit_shares[0], bits, 80.0, 0).flatten(0, 1)]

    return {
        "neurons": (
            lambda: [lif_of_sum([current, spikes], [None, share], 3, neuron)],
            plain_lif,
            [current, spikes, share],
        ),
        "norm": (
            lambda: spread_in_training(x, norms[0], op_shares),
            lambda: norms[1].spread(x, op_shares),
            [x, op_shares],
        ),
        "compression": (
            lambda: compress_all([weight], [scores], [bits], [0], bit_shares, 80.0, 0),
            plain_compress,
            [weight, scores, bit_shares],
        ),
    }


def _compare(name: str, kernels: Made, plain: Made, leaves: list[Tensor]) -> None:
    found = []
    for run in (kernels, plain):
        values = list(run())
        weighted = sum((value * torch.linspace(-1, 1, value[0].numel(), device=value.device).view_as(value[0])).sum() for value in values)  # fmt: skip
        assert isinstance(weighted, Tensor)
        found.append([*values, *torch.autograd.grad(weighted, leaves)])
    for got, other in zip(*found, strict=True):
        largest = other.detach().abs().max()
        if not bool((got.detach() - other.detach()).abs().max() <= _TOLERANCE * largest):
            raise DisagreementError(f"the kernels for {name} compute something else than PyTorch")
