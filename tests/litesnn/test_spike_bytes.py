"""Spikes in bytes: the same values, made once, and anew when the spikes have changed."""

import torch

from litesnn.config import Recipe
from litesnn.network import ArchParameters, Network
from litesnn.spike_bytes import in_bytes
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
