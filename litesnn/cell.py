"""A cell of the supernet or of a derived network: the same class, built from other candidate operations."""

from collections import defaultdict

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from litesnn.compconv import CompConv
from litesnn.config import Recipe
from litesnn.layout import Candidate, CellShape
from litesnn.neuron import lif


class EdgeConvs(nn.Module):
    """The convolutions of one cell that read the same state, with their batch norm, as one convolution.

    Args:
        members: the candidates, in the order of the output channels.
        in_channels: channels of the state.
        node_channels: output channels of each member.
        kernel: kernel side.
        stride: stride.
        bits: candidate bit-widths.
        p: percent pruned.
    """

    def __init__(
        self,
        members: list[Candidate],
        in_channels: int,
        node_channels: int,
        kernel: int,
        stride: int,
        bits: tuple[int, ...],
        p: float,
    ) -> None:
        super().__init__()
        self.members = members
        self.conv = CompConv(len(members), in_channels, node_channels, kernel, stride, bits, p)
        self.norm = nn.BatchNorm2d(len(members) * node_channels)
        self.register_buffer("edges", torch.tensor([m.edge for m in members]), persistent=False)
        self.register_buffer("ops", torch.tensor([m.op for m in members]), persistent=False)

    def forward(self, x: Tensor, op_shares: Tensor | None, bit_shares: Tensor | None) -> tuple[Tensor, ...]:
        """Output of every member, ``[T*B, node_channels, H, W]`` each, weighted by its share (Eq. 3).

        The share is folded into the affine part of the batch norm, which is per channel: the same product, one pass over
        the activations less.
        """
        norm, count = self.norm, len(self.members)
        weight, bias = norm.weight, norm.bias
        if op_shares is not None:
            shares = op_shares[self.edges, self.ops].repeat_interleave(len(weight) // count)
            weight, bias = weight * shares, bias * shares
        out = F.batch_norm(
            self.conv(x, bit_shares),
            norm.running_mean,
            norm.running_var,
            weight,
            bias,
            training=self.training,
            momentum=norm.momentum,
            eps=norm.eps,
        )
        return out.unflatten(1, (count, -1)).unbind(1)


class Cell(nn.Module):
    """N nodes; each sums its incoming edges and passes one LIF; the output concatenates the nodes (Eq. 2, 3).

    Args:
        shape: channels, strides and size.
        members: candidate operations: all of them in the supernet, the genotype's in a derived network.
        recipe: neuron constants and the meaning of skip.
        bits: candidate bit-widths, a single one in a derived network.
        p: percent pruned.
    """

    def __init__(
        self, shape: CellShape, members: list[Candidate], recipe: Recipe, bits: tuple[int, ...], p: float
    ) -> None:
        super().__init__()
        self.nodes = recipe.nodes
        self.neuron = recipe.tau, recipe.v_threshold, recipe.dspike_b
        self.skips = [m for m in members if m.kernel(recipe) == 0]
        grouped: dict[tuple[int, int], list[Candidate]] = defaultdict(list)
        for member in members:
            if kernel := member.kernel(recipe):
                # The first cell takes the stem as both inputs: one state, so one convolution.
                source = 0 if shape.same_inputs and member.source == 1 else member.source
                grouped[source, kernel].append(member)
        self.convs = nn.ModuleList()
        self.reads: list[int] = []
        for (source, kernel), group in sorted(grouped.items()):
            in_channels = shape.in_channels[source] if source < 2 else shape.node_channels
            stride = shape.strides[source] if source < 2 else 1
            self.convs.append(EdgeConvs(group, in_channels, shape.node_channels, kernel, stride, bits, p))
            self.reads.append(source)

    def forward(
        self, s0: Tensor, s1: Tensor, timesteps: int, op_shares: Tensor | None, bit_shares: Tensor | None
    ) -> tuple[Tensor, list[Tensor]]:
        """Runs all timesteps at once.

        Args:
            s0: output of the cell before the last, ``[T*B, C0, H0, W0]``.
            s1: output of the last cell, ``[T*B, C1, H1, W1]``.
            timesteps: T.
            op_shares: softmax(alpha), ``[edges, ops]``; None in a derived network.
            bit_shares: softmax(beta) of this cell, ``[bit-widths]``; None in a derived network.

        Returns:
            The cell's output ``[T*B, N*c, H, W]`` and the spikes of its nodes, ``[T*B, c, H, W]`` each.
        """
        states = [s0, s1]
        arriving: list[list[Tensor]] = [[] for _ in range(self.nodes)]
        self._spread(0, s0, op_shares, bit_shares, arriving)
        self._spread(1, s1, op_shares, bit_shares, arriving)
        for node in range(self.nodes):
            current = arriving[node][0]
            for term in arriving[node][1:]:
                current = current + term
            spikes = lif(current.unflatten(0, (timesteps, -1)), *self.neuron).flatten(0, 1)
            states.append(spikes)
            self._spread(node + 2, spikes, op_shares, bit_shares, arriving)
        return torch.cat(states[2:], dim=1), states[2:]

    def _spread(
        self,
        source: int,
        state: Tensor,
        op_shares: Tensor | None,
        bit_shares: Tensor | None,
        arriving: list[list[Tensor]],
    ) -> None:
        """Adds what ``state`` sends along its edges to the nodes that they lead to."""
        for reads, convs in zip(self.reads, self.convs, strict=True):
            if reads == source:
                outputs = convs(state, op_shares, bit_shares)
                for member, output in zip(convs.members, outputs, strict=True):
                    arriving[member.node].append(output)
        for member in self.skips:
            if member.source == source:
                passed = state if op_shares is None else state * op_shares[member.edge, member.op]
                arriving[member.node].append(passed)
