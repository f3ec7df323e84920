"""Synaptic additions counted exactly: for each spike, the kept weights that it meets.

Eq. 12 takes mean rates: it has every kept weight work at every output position as often as the layer's inputs spike on
average. A spike at the border of a map meets fewer weights, some taps see other pixels than others where the stride is 2,
and busy channels have other shares of kept weights than idle ones. Here nothing is averaged.

Summed over a layer's outputs, the additions of a spike follow from how many kept weights its channel has at each tap.
That is linear in the spikes, so those of all samples and timesteps are summed first: one small convolution per layer.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from litesnn.evaluate import Evaluation
from litesnn.export.convert import conv_layers
from litesnn.export.plan import Layer, Plan
from litesnn.network import Network


@torch.no_grad()
def count_additions(network: Network, plan: Plan, spikes: Sequence[Tensor]) -> dict[str, int]:
    """Additions of cells and classifier for these spikes.

    An addition is one spike meeting one weight that is not zero. The quantiser has no level at zero, so these are the
    kept weights; a layer of a packed file lacks those of removed channels too, and they are not counted. The classifier
    adds each spike of the last cell's output, as the reference runtime does, where Eq. 12 counts the mean of a channel's
    pixels once.

    Args:
        network: derived, on any device.
        plan: of the same network.
        spikes: per row how often each neuron fired, ``[C, H, W]``, summed over whatever is counted.

    Returns:
        Additions by the layer's name; the stem sees no spikes and is left out.
    """
    counts = {}
    for layer, (conv, _, part, parts) in zip(plan.layers, conv_layers(network), strict=True):
        if not layer.reads:
            continue
        weight = conv.compressed_weight(None).chunk(parts)[part]
        counts[layer.name] = layer_additions(layer, weight, torch.cat([spikes[row] for row in layer.reads]))
    return counts


def layer_additions(layer: Layer, weight: Tensor, spikes: Tensor) -> int:
    """Additions of one layer, see ``count_additions``.

    Args:
        layer: its stride and padding.
        weight: compressed, ``[O, I, K, K]``.
        spikes: how often each of its inputs fired, ``[I, H, W]``.
    """
    # On the CPU in double precision sums of integers are exact; another device may transform them.
    per_tap = (weight != 0).sum(0, keepdim=True).cpu().double()  # [1, I, K, K]
    met = F.conv2d(spikes.cpu().double()[None], per_tap, stride=layer.stride, padding=layer.kernel // 2)
    return round(met.sum().item())


def additions_per_sample(network: Network, plan: Plan, result: Evaluation) -> dict[str, float] | None:
    """Mean additions of a sample, by layer; None where the evaluation counted no spikes.

    Args:
        network: what was evaluated.
        plan: of the same network.
        result: from ``evaluate``.
    """
    if result.spikes is None:
        return None
    return {name: count / result.samples for name, count in count_additions(network, plan, result.spikes).items()}
