"""The network: stem, cells, pooling and classifier, as the supernet of the search or as a derived network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from litesnn import gpu, native
from litesnn.auxiliary import AuxiliaryHead
from litesnn.cell import Cell
from litesnn.compconv import CompConv
from litesnn.config import Recipe
from litesnn.convolution import convolve, convolve_and_spread
from litesnn.edge_norm import EdgeNorm
from litesnn.genotype import Genotype, cell_edges, decode
from litesnn.layout import candidates, cell_shapes
from litesnn.neuron import lif_of_sum


class ArchParameters(nn.Module):
    """alpha ``[edges, ops]``, shared by all cells, beta ``[cells, bit-widths]`` and the global psi ``[T]``."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        # A little noise, as in DARTS, so that equal candidates do not stay equal.
        self.alpha = nn.Parameter(1e-3 * torch.randn(len(cell_edges(recipe.nodes)), len(recipe.operations)))
        self.beta = nn.Parameter(1e-3 * torch.randn(recipe.cells, len(recipe.bit_widths)))
        self.psi = nn.Parameter(torch.zeros(recipe.timesteps))

    def shares(self) -> Shares:
        """The softmax of each over its last dimension."""
        return Shares(ops=self.alpha.softmax(-1), bits=self.beta.softmax(-1), timesteps=self.psi.softmax(-1))

    def decode(self, recipe: Recipe, p: float) -> Genotype:
        """The genotype that the parameters stand for now."""
        return decode(
            self.alpha,
            self.beta,
            self.psi,
            nodes=recipe.nodes,
            bit_widths=recipe.bit_widths,
            p=p,
            operations=recipe.operations,
        )


@dataclass(frozen=True)
class Shares:
    """softmax(alpha) ``[edges, ops]``, softmax(beta) ``[cells, bit-widths]``, softmax(psi) ``[T]``."""

    ops: Tensor
    bits: Tensor
    timesteps: Tensor


@dataclass(frozen=True)
class Output:
    """What one forward pass gives.

    Args:
        logits: output O(t) of every timestep, ``[T, B, K]``.
        rates: spike rate per state row and timestep, mean over batch and neurons, ``[rows, T]``; None if not measured.
        aux_logits: the auxiliary head's output, ``[T, B, K]``; None without one and in evaluation.
        spikes: per state row how often each neuron fired over timesteps and batch, ``[C, H, W]``; None if not counted.
    """

    logits: Tensor
    rates: Tensor | None = None
    aux_logits: Tensor | None = None
    spikes: tuple[Tensor, ...] | None = None


class Network(nn.Module):
    """All timesteps of all layers, layer by layer; the membrane lives inside one call.

    Args:
        recipe: the recipe.
        channels: C, width of the stem.
        classes: K.
        p: percent pruned of every layer.
        genotype: what to derive; None builds the supernet.
        auxiliary: add the auxiliary head after ``recipe.aux_cell``.
        nodes: of a supernet whose cell is held: the operations that it has, as ``Genotype.nodes``; None for all.
        bits: of a supernet whose bit-widths are held: one per cell; None for all candidates.
    """

    def __init__(
        self,
        recipe: Recipe,
        channels: int,
        classes: int,
        p: float,
        genotype: Genotype | None,
        auxiliary: bool = False,
        *,
        nodes: tuple[tuple[tuple[int, str], ...], ...] | None = None,
        bits: tuple[int, ...] | None = None,
    ) -> None:
        super().__init__()
        self.neuron = recipe.tau, recipe.v_threshold, recipe.dspike_b
        stem_bits, last_bits, n = (recipe.stem_bits,), (recipe.classifier_bits,), recipe.mask_n
        self.stem = CompConv(1, recipe.input_shape[0], channels, 3, 1, stem_bits, p, mask_n=n, spikes=False)
        self.stem_norm = EdgeNorm(1, 1, channels, [0])
        members = candidates(recipe, genotype)
        if genotype is not None:
            bits = genotype.bits
        elif nodes is not None:
            members = [m for m in members if (m.source, m.operation) in nodes[m.node]]
        shapes = cell_shapes(recipe, channels)
        self.cells = nn.ModuleList(
            Cell(shape, members, recipe, recipe.bit_widths if bits is None else (bits[i],), p)
            for i, shape in enumerate(shapes)
        )
        self.classifier = CompConv(1, channels * recipe.widths[-1], classes, 1, 1, last_bits, p, mask_n=n)
        self.aux_cell = recipe.aux_cell if auxiliary else 0
        if self.aux_cell:
            self.auxiliary = AuxiliaryHead(channels * recipe.widths[self.aux_cell - 1], classes, self.neuron)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.constant_(module.weight, recipe.norm_weight)

    def forward(
        self, x: Tensor, timesteps: int, shares: Shares | None = None, *, measure_rates: bool = False
    ) -> Output:
        """Runs a batch.

        Args:
            x: normalised input, ``[B, C, H, W]``; the same frame at every timestep (direct encoding).
            timesteps: T.
            shares: for the supernet; None for a derived network.
            measure_rates: whether to measure spike rates.
        """
        op_shares = shares.ops if shares else None
        stem_weight, cell_weights, last_weight = self._compressed(x, shares)
        x = x.contiguous(memory_format=torch.channels_last)
        current = self._stem_current(x, stem_weight)  # once: the frame does not change  # [B, C, H, W]
        repeated = current if timesteps == 1 else torch.cat([current] * timesteps)
        spikes = lif_of_sum([repeated], [None], timesteps, self.neuron)  # [T*B, C, H, W]
        rates = [_rate(spikes, timesteps)] if measure_rates else []
        s0 = s1 = spikes
        aux_logits = None
        for i, cell in enumerate(self.cells):
            bit_shares = shares.bits[i] if shares and cell.mixes_bits else None
            out, nodes = cell(s0, s1, timesteps, op_shares, bit_shares, cell_weights[i])
            s0, s1 = s1, out
            if measure_rates:
                rates.extend(_rate(node, timesteps) for node in nodes)
            if i + 1 == self.aux_cell and self.training:
                aux_logits = self.auxiliary(s1, timesteps)
        pooled = s1.mean((2, 3))  # [T*B, C]
        if last_weight is None:
            last_weight = self.classifier.compressed_weight(None)
        logits = F.linear(pooled, last_weight.flatten(1))
        return Output(
            logits=logits.unflatten(0, (timesteps, -1)),
            rates=torch.stack(rates) if measure_rates else None,
            aux_logits=aux_logits,
        )

    def _compressed(
        self, x: Tensor, shares: Shares | None
    ) -> tuple[Tensor | None, list[Sequence[Tensor]], Tensor | None]:
        """Weights of stem, cells and classifier, all made at once on a GPU; None and () are made where used."""
        none: list[Sequence[Tensor]] = [()] * len(self.cells)
        latent = self.stem._parameters.get("weight")  # a shipped network has fixed convolutions instead
        if native.usable(x) or latent is None or not gpu.usable(x, latent):
            return None, none, None
        from litesnn.gpu.compress import compress_all  # needs Triton

        convs, rows = [self.stem], [-1]  # of shares.bits
        parts = [[edges.conv for edges in cell.convs] for cell in self.cells]  # type: ignore[union-attr]
        for i, (cell, own) in enumerate(zip(self.cells, parts, strict=True)):
            convs += own
            rows += [i if cell.mixes_bits else -1] * len(own)
        convs, rows = [*convs, self.classifier], [*rows, -1]
        weights, scores, bits = zip(*((conv.weight, conv.importance, conv.bits) for conv in convs), strict=True)
        bit_shares = shares.bits if shares is not None and max(rows) >= 0 else None
        rounded = [conv.precision == "bf16" for conv in convs]
        made = compress_all(weights, scores, bits, rows, bit_shares, self.stem.p, self.stem.mask_n, rounded)
        stem, *inner, last = (conv.dense(weight) for conv, weight in zip(convs, made, strict=True))
        ends = accumulate(map(len, parts), initial=0)
        return stem, [inner[a:b] for a, b in pairwise(ends)], last

    def _stem_current(self, x: Tensor, weight: Tensor | None) -> Tensor:
        norm = self.stem_norm
        if norm.training and native.usable(x, norm.weight):
            weight = self.stem.compressed_weight(None)
            (current,) = convolve_and_spread(x, weight, self.stem.stride, norm, None, spikes=False)
            return current
        if norm.training and gpu.usable(x, norm.weight):
            from litesnn.gpu.convolve import convolve_and_spread as on_gpu  # needs Triton

            weight = self.stem.compressed_weight(None) if weight is None else weight
            return on_gpu(x, weight, self.stem.stride, norm, None)[0]
        return norm(self.stem(x, None) if weight is None else convolve(x, weight, self.stem.stride, spikes=False))


def _rate(spikes: Tensor, timesteps: int) -> Tensor:
    """Mean spike rate per timestep, ``[T]``, of ``[T*B, C, H, W]``."""
    return spikes.unflatten(0, (timesteps, -1)).mean((1, 2, 3, 4))
