"""The kernels of ``litesnn.native`` against plain PyTorch: what their tests share."""

from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor

from litesnn import native

built = pytest.mark.skipif(native.kernels() is None, reason="no C compiler: the plain path is all there is")


def gradients(
    function: Callable[[], Tensor | Sequence[Tensor]], leaves: Sequence[Tensor]
) -> tuple[list[Tensor], list[Tensor]]:
    """Outputs of ``function``, and the gradients of a random weighting of them."""
    outputs = function()
    outputs = [outputs] if isinstance(outputs, Tensor) else list(outputs)
    generator = torch.Generator().manual_seed(7)
    loss = sum((o * torch.randn(o.shape, generator=generator)).sum() for o in outputs)
    assert isinstance(loss, Tensor)
    return outputs, list(torch.autograd.grad(loss, leaves))


def plainly(monkeypatch: pytest.MonkeyPatch, function: Callable[[], object]) -> object:
    with monkeypatch.context() as patch:
        patch.setattr(native, "kernels", lambda: None)
        return function()


def compare(
    monkeypatch: pytest.MonkeyPatch,
    function: Callable[[], Tensor | Sequence[Tensor]],
    leaves: Sequence[Tensor],
    tolerance: float = 2e-5,
    plain: Callable[[], Tensor | Sequence[Tensor]] | None = None,
) -> None:
    """Asserts that values and gradients differ from those without kernels by at most ``tolerance`` of the largest."""
    values, grads = gradients(function, leaves)
    expected = plainly(monkeypatch, lambda: gradients(plain or function, leaves))
    expected_values, expected_grads = expected  # type: ignore[misc]
    for got, other in zip([*values, *grads], [*expected_values, *expected_grads], strict=True):
        assert got.shape == other.shape
        assert (got - other).abs().max() <= tolerance * other.abs().max().clamp_min(1e-3)
