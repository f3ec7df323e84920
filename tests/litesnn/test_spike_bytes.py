"""Spikes in bytes: the same values, made once, and anew when the spikes have changed."""

import pytest
import torch

from litesnn.config import Recipe
from litesnn.network import ArchParameters, Network
from litesnn.neuron import lif_of_sum
from litesnn.spike_bytes import in_bfloat16, in_bytes, side_by_side
from tests.litesnn.kernels import built


def spikes() -> torch.Tensor:
    return (torch.rand(4, 3, 5, 5) > 0.7).float().to(memory_format=torch.channels_last)


def test_same_values_in_the_same_layout_made_once() -> None:
    some = spikes()
    narrow = in_bytes(some)
    assert narrow.dtype == torch.uint8 and narrow.stride() == some.stride()
    assert torch.equal(narrow.float(), some)
    assert in_bytes(some) is narrow
    assert in_bytes(some.clone()) is not narrow


def test_made_anew_after_a_change_in_place() -> None:
    some = spikes()
    before = in_bytes(some)
    some.neg_().add_(1)
    assert torch.equal(in_bytes(some).float(), some) and not torch.equal(in_bytes(some), before)


def test_in_inference_mode() -> None:
    """There torch counts no versions."""
    with torch.inference_mode():
        some = spikes()
        assert torch.equal(in_bytes(some).float(), some)
        some.neg_().add_(1)
        assert torch.equal(in_bytes(some).float(), some)


@built
def test_layers_that_read_the_same_spikes_keep_the_same_bytes() -> None:
    """All that a backward pass keeps in bytes: one tensor for each state, not one for each layer that reads it."""
    recipe = Recipe.preset("digits")
    torch.manual_seed(0)
    network, arch = Network(recipe, 8, 10, 50, None), ArchParameters(recipe)
    kept: list[torch.Tensor] = []

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.dtype == torch.uint8:
            kept.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        network(torch.rand(2, *recipe.input_shape), 2, arch.shares())
    states = 1 + recipe.cells * (recipe.nodes + 1)  # the stem's; each cell's nodes and its output
    assert len(kept) > len({tensor.data_ptr() for tensor in kept}) <= states


def currents(channels: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(channels)
    some = [torch.randn(4, channels, 5, 3, generator=generator) for _ in range(3)]
    return [x.to(memory_format=torch.channels_last).requires_grad_() for x in some]


@pytest.mark.parametrize("channels", [3, 16, 20, 32])
@pytest.mark.parametrize("timesteps", [1, 2])
def test_nodes_side_by_side(channels: int, timesteps: int) -> None:
    """Neurons give bytes at once; a gradient of all nodes reaches each as its own part of it."""
    a, b, c = currents(channels)
    neuron = 0.2, 0.5, 3.0
    nodes = [lif_of_sum(terms, [None] * len(terms), timesteps, neuron) for terms in ([a, b], [c])]
    out = side_by_side(nodes)
    for spikes in (*nodes, out):
        narrow = in_bytes(spikes)
        assert torch.equal(narrow.float(), spikes) and narrow.stride() == spikes.stride()
    assert torch.equal(out, torch.cat(nodes, dim=1))
    grad = torch.randn(out.shape).to(memory_format=torch.channels_last)
    parts = [part.contiguous(memory_format=torch.channels_last) for part in grad.chunk(2, dim=1)]
    whole = torch.autograd.grad(out, [a, b, c], grad, retain_graph=True)
    assert all(map(torch.equal, whole, torch.autograd.grad(nodes, [a, b, c], parts)))


def test_rounded_once_until_it_changes() -> None:
    x = torch.tensor([0.0, 1.0, 0.3])
    rounded = in_bfloat16(x)
    assert rounded.dtype == torch.bfloat16 and in_bfloat16(x) is rounded
    x[0] = 2
    assert in_bfloat16(x)[0] == 2
    with torch.inference_mode():
        y = torch.ones(2)
        assert in_bfloat16(y) is not in_bfloat16(y)
