"""A cell of the supernet or of a derived network: the same class, built from other candidate operations."""

from collections import Counter, defaultdict
from collections.abc import Sequence

from torch import Tensor, nn

from litesnn import gpu, native
from litesnn.compconv import CompConv
from litesnn.config import Recipe
from litesnn.convolution import convolve, convolve_and_spread
from litesnn.edge_norm import EdgeNorm
from litesnn.layout import Candidate, CellShape
from litesnn.neuron import lif_of_sum
from litesnn.operations import group_count
from litesnn.spike_bytes import side_by_side

Arrival = tuple[Tensor, Tensor | None]
"""What reaches a node along one edge, and the share that it still has to be multiplied by."""


class EdgeConvs(nn.Module):
    """The convolutions of one cell that read the same state by equal kernels, with their batch norm, as one convolution.

    Output channels are ordered by round, then node: where every node gets equally many, as in the supernet, the rounds
    are summed in one go before they are handed out.

    Args:
        members: the candidates.
        in_channels: channels of the state.
        node_channels: output channels of each member.
        kernel: kernel side.
        stride: stride.
        groups: of channels, see ``CompConv``.
        bits: candidate bit-widths.
        p: percent pruned.
        recipe: how many operations an edge may choose from, N of N:M masks and the precision.
    """

    def __init__(
        self,
        members: list[Candidate],
        in_channels: int,
        node_channels: int,
        kernel: int,
        stride: int,
        groups: int,
        bits: tuple[int, ...],
        p: float,
        recipe: Recipe,
    ) -> None:
        super().__init__()
        per_node = Counter(m.node for m in members)
        seen: Counter[int] = Counter()
        ranked = []
        for member in sorted(members, key=lambda m: (m.source, m.op, m.node)):
            ranked.append((seen[member.node], member.node, member))
            seen[member.node] += 1
        self.members = members = [member for _, _, member in sorted(ranked, key=lambda r: r[:2])]
        rounds = seen[members[0].node] if len(set(per_node.values())) == 1 else 1
        self.targets = [m.node for m in members[: len(members) // rounds]]
        self.conv = CompConv(
            len(members),
            in_channels,
            node_channels,
            kernel,
            stride,
            bits,
            p,
            groups=groups,
            mask_n=recipe.mask_n,
            precision=recipe.precision,
        )
        places = [m.edge * len(recipe.operations) + m.op for m in members]
        self.norm = EdgeNorm(rounds, len(self.targets), node_channels, places)

    def forward(
        self, x: Tensor, op_shares: Tensor | None, bit_shares: Tensor | None, weight: Tensor | None = None
    ) -> list[tuple[int, Tensor]]:
        """What arrives at each node, ``[T*B, node_channels, H, W]``, weighted by the operations' shares (Eq. 3).

        ``weight`` is the compressed one where it has been made already.
        """
        if self.norm.training and native.usable(x, self.norm.weight, op_shares):
            weight = self.conv.compressed_weight(bit_shares)
            spread = convolve_and_spread(x, weight, self.conv.stride, self.norm, op_shares, self.conv.precision)
        elif self.norm.training and gpu.usable(x, self.norm.weight, op_shares):
            from litesnn.gpu.convolve import convolve_and_spread as on_gpu  # needs Triton

            weight = self.conv.compressed_weight(bit_shares) if weight is None else weight
            spread = on_gpu(x, weight, self.conv.stride, self.norm, op_shares, self.conv.precision)
        else:
            conv = self.conv
            if weight is None:
                out = conv(x, bit_shares)
            else:
                out = convolve(x, weight, conv.stride, spikes=True, precision=conv.precision)
            spread = self.norm.spread(out, op_shares)
        return list(zip(self.targets, spread, strict=True))


class Cell(nn.Module):
    """N nodes; each sums its incoming edges and passes one LIF; the output concatenates the nodes (Eq. 2, 3).

    Args:
        shape: channels, strides and size.
        members: candidate operations: all of them in the supernet, the genotype's in a derived network.
        recipe: neuron constants, the meaning of skip and the precision.
        bits: candidate bit-widths, a single one in a derived network.
        p: percent pruned.
    """

    def __init__(
        self, shape: CellShape, members: list[Candidate], recipe: Recipe, bits: tuple[int, ...], p: float
    ) -> None:
        super().__init__()
        self.nodes = recipe.nodes
        self.mixes_bits = len(bits) > 1
        self.neuron = recipe.tau, recipe.v_threshold, recipe.dspike_b
        self.skips = [m for m in members if m.kernel(recipe) == 0]
        grouped: dict[tuple[int, int, int], list[Candidate]] = defaultdict(list)
        for member in members:
            if kernel := member.kernel(recipe):
                # The first cell takes the stem as both inputs: one state, so one convolution.
                source = 0 if shape.same_inputs and member.source == 1 else member.source
                in_channels = shape.in_channels[source] if source < 2 else shape.node_channels
                groups = group_count(member.operation, in_channels, shape.node_channels)
                grouped[source, kernel, groups].append(member)
        self.convs = nn.ModuleList()
        self.reads: list[int] = []
        for (source, kernel, groups), group in sorted(grouped.items()):
            in_channels = shape.in_channels[source] if source < 2 else shape.node_channels
            stride = shape.strides[source] if source < 2 else 1
            sizes = in_channels, shape.node_channels, kernel, stride, groups
            self.convs.append(EdgeConvs(group, *sizes, bits, p, recipe))
            self.reads.append(source)

    def forward(
        self,
        s0: Tensor,
        s1: Tensor,
        timesteps: int,
        op_shares: Tensor | None,
        bit_shares: Tensor | None,
        weights: Sequence[Tensor] = (),
    ) -> tuple[Tensor, list[Tensor]]:
        """Runs all timesteps at once.

        Args:
            s0: output of the cell before the last, ``[T*B, C0, H0, W0]``.
            s1: output of the last cell, ``[T*B, C1, H1, W1]``.
            timesteps: T.
            op_shares: softmax(alpha), ``[edges, ops]``; None in a derived network.
            bit_shares: softmax(beta) of this cell, ``[bit-widths]``; None in a derived network.
            weights: compressed weights of ``convs`` where they have been made already.

        Returns:
            The cell's output ``[T*B, N*c, H, W]`` and the spikes of its nodes, ``[T*B, c, H, W]`` each.
        """
        states = [s0, s1]
        arriving: list[list[Arrival]] = [[] for _ in range(self.nodes)]
        self._spread(0, s0, op_shares, bit_shares, weights, arriving)
        self._spread(1, s1, op_shares, bit_shares, weights, arriving)
        for node in range(self.nodes):
            inputs, shares = zip(*arriving[node], strict=True)
            spikes = lif_of_sum(inputs, shares, timesteps, self.neuron)
            states.append(spikes)
            self._spread(node + 2, spikes, op_shares, bit_shares, weights, arriving)
        return side_by_side(states[2:]), states[2:]

    def _spread(
        self,
        source: int,
        state: Tensor,
        op_shares: Tensor | None,
        bit_shares: Tensor | None,
        weights: Sequence[Tensor],
        arriving: list[list[Arrival]],
    ) -> None:
        """Adds what ``state`` sends along its edges to the nodes that they lead to."""
        for i, (reads, convs) in enumerate(zip(self.reads, self.convs, strict=True)):
            if reads == source:
                for node, output in convs(state, op_shares, bit_shares, weights[i] if weights else None):
                    arriving[node].append((output, None))
        for member in self.skips:
            if member.source == source:
                share = None if op_shares is None else op_shares[member.edge, member.op]
                arriving[member.node].append((state, share))
