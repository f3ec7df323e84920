"""A trained network made ready for evaluation: everything that no longer changes is computed once.

Weights are compressed when the network is frozen, batch norm is folded into weight and bias of its convolution, all edges
that read the same state are one convolution, and edges of a node that read the same state, in the first cell its two
inputs, are one edge whose weight is their sum.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from litesnn.cell import Cell, EdgeConvs
from litesnn.convolution import convolve
from litesnn.network import Network, Output
from litesnn.neuron import lif_of_sum


@dataclass(frozen=True)
class _Convolution:
    """What ``source`` sends by convolution to ``targets``: weight ``[nodes * c, in, K, K]``, bias ``[nodes * c]``."""

    source: int
    targets: tuple[int, ...]
    weight: Tensor
    bias: Tensor
    stride: int

    def __call__(self, x: Tensor) -> tuple[Tensor, ...]:
        """``[T*B, in, H, W]`` to one ``[T*B, c, H, W]`` per target."""
        out, bias = convolve(x, self.weight, self.stride, spikes=True), self.bias[:, None, None]
        count = len(self.targets)
        if count == 1:
            return (out.add_(bias),)
        # The neurons read whole pixels: a dense copy of each part costs less than walking over a part of them.
        dense = [torch.empty_like(part, memory_format=torch.channels_last) for part in out.chunk(count, 1)]
        for to, part, added in zip(dense, out.chunk(count, 1), bias.chunk(count), strict=True):
            torch.add(part, added, out=to)
        return tuple(dense)


@dataclass(frozen=True)
class _Cell:
    """Convolutions by the state that they read, and for each node the states that reach it unchanged."""

    nodes: int
    convolutions: tuple[tuple[_Convolution, ...], ...]
    skips: tuple[tuple[int, ...], ...]

    def __call__(
        self, s0: Tensor, s1: Tensor, timesteps: int, neuron: tuple[float, float, float]
    ) -> tuple[Tensor, list[Tensor]]:
        """As ``Cell.forward``."""
        states = [s0, s1]
        arriving: list[list[Tensor]] = [[] for _ in range(self.nodes)]
        for source in range(self.nodes + 2):
            if source >= 2:
                terms = arriving[source - 2] + [states[skipped] for skipped in self.skips[source - 2]]
                states.append(lif_of_sum(terms, [None] * len(terms), timesteps, neuron))
            for convolution in self.convolutions[source]:
                for node, part in zip(convolution.targets, convolution(states[source]), strict=True):
                    arriving[node].append(part)
        return torch.cat(states[2:], dim=1), states[2:]


class FrozenNetwork:
    """A derived network that only answers; see ``freeze``.

    Logits agree with ``network.eval()`` to rounding: 1e-10 of their size in double precision. In single precision a
    membrane within rounding of the threshold, one in some hundred thousand, may fire in one of the two and not in the
    other.
    """

    def __init__(
        self,
        stem: tuple[Tensor, Tensor],
        cells: list[_Cell],
        classifier: Tensor,
        neuron: tuple[float, float, float],
    ) -> None:
        self._stem, self._cells, self._classifier, self._neuron = stem, cells, classifier, neuron

    @torch.no_grad()
    def __call__(self, x: Tensor, timesteps: int, *, measure_rates: bool = False, count_spikes: bool = False) -> Output:
        """Runs a batch, as ``Network.forward`` in evaluation.

        Args:
            x: normalised input, ``[B, C, H, W]``, on the network's device.
            timesteps: T.
            measure_rates: whether to measure spike rates.
            count_spikes: whether to count the spikes of each neuron.
        """
        x = x.contiguous(memory_format=torch.channels_last)
        weight, bias = self._stem
        current = F.conv2d(x, weight, bias, padding=weight.shape[-1] // 2)  # once: the frame does not change
        spikes = lif_of_sum([torch.cat([current] * timesteps)], [None], timesteps, self._neuron)
        active = [spikes]
        s0 = s1 = spikes
        for cell in self._cells:
            out, nodes = cell(s0, s1, timesteps, self._neuron)
            s0, s1 = s1, out
            active.extend(nodes)
        logits = F.linear(s1.mean((2, 3)), self._classifier).unflatten(0, (timesteps, -1))
        rates = [state.unflatten(0, (timesteps, -1)).mean((1, 2, 3, 4)) for state in active] if measure_rates else []
        return Output(
            logits=logits,
            rates=torch.stack(rates) if measure_rates else None,
            spikes=tuple(_times_fired(state) for state in active) if count_spikes else None,
        )


def _times_fired(spikes: Tensor) -> Tensor:
    """Sum of ``[N, C, H, W]`` over N: a product with ones, since torch's own sum strides through this layout, 20 times slower."""
    pixels = spikes.permute(0, 2, 3, 1)  # [N, H, W, C], as they lie in memory
    return (spikes.new_ones(len(spikes)) @ pixels.flatten(1)).view(pixels.shape[1:]).permute(2, 0, 1)


@torch.no_grad()
def freeze(network: Network) -> FrozenNetwork:
    """Freezes a derived network as it is now; later changes of its parameters do not reach the frozen one.

    Args:
        network: built from a genotype, with running statistics of batch norm; in training or evaluation mode.

    Returns:
        The same network for evaluation, on the same device and in the same precision.
    """
    stem = network.stem.compressed_weight(None)
    return FrozenNetwork(
        stem=_folded(stem, network.stem_norm),
        cells=[_frozen_cell(cell) for cell in network.cells],  # type: ignore[arg-type]
        classifier=network.classifier.compressed_weight(None).flatten(1),
        neuron=network.neuron,
    )


def _folded(weight: Tensor, norm: torch.nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Weight and bias of one convolution that does what ``weight`` and then ``norm`` do."""
    assert norm.running_mean is not None and norm.running_var is not None
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    folded = (weight * scale[:, None, None, None]).contiguous(memory_format=torch.channels_last)
    return folded, norm.bias - norm.running_mean * scale


def _frozen_cell(cell: Cell) -> _Cell:
    by_source: list[list[_Convolution]] = [[] for _ in range(cell.nodes + 2)]
    for source, convs in zip(cell.reads, cell.convs, strict=True):
        assert isinstance(convs, EdgeConvs)
        by_source[source].append(_frozen_convolution(source, convs))
    skips = tuple(tuple(m.source for m in cell.skips if m.node == node) for node in range(cell.nodes))
    return _Cell(cell.nodes, tuple(map(tuple, by_source)), skips)


def _frozen_convolution(source: int, convs: EdgeConvs) -> _Convolution:
    weight, bias = _folded(convs.conv.compressed_weight(None), convs.norm)
    summed: dict[int, tuple[Tensor, Tensor]] = {}
    parts = len(convs.members)
    for member, w, b in zip(convs.members, weight.chunk(parts), bias.chunk(parts), strict=True):
        before = summed.get(member.node)
        summed[member.node] = (w, b) if before is None else (before[0] + w, before[1] + b)
    weights, biases = zip(*summed.values(), strict=True)
    joined = torch.cat(weights).contiguous(memory_format=torch.channels_last)
    return _Convolution(source, tuple(summed), joined, torch.cat(biases), convs.conv.stride)
