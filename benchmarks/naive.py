"""The same networks executed naively: timestep by timestep, edge by edge, operation by operation.

This is how research code commonly runs such a supernet, and at once an independent oracle for ``litesnn``: it takes the
parameters of an existing ``Network`` and nothing else from it, derives the wiring from recipe and genotype, and calls
no forward function of ``litesnn``. What it does on purpose, and ``litesnn`` avoids:

* one convolution per edge, operation and timestep, the stem's among them although its frame never changes;
* every convolution quantises its weight to every bit-width and sorts its scores at every timestep;
* neurons step through plain autograd, one timestep after the other.

Not among them is anything that only the sharing of parameters would make slow: grouped tensors are taken apart once
per forward, because a gradient through one slice per timestep would fill the whole group with zeros each time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from litesnn.compconv import CompConv
from litesnn.config import Recipe
from litesnn.genotype import Genotype
from litesnn.network import Network, Output, Shares

_STEPS = {1: 1.596, 2: 0.996, 3: 0.586, 4: 0.336}
"""Quantisation step over standard deviation, per bit-width (Eq. 8)."""


def quantize(weight: Tensor, bits: int) -> Tensor:
    """Q_b(W) of one layer (Eq. 8): 2^b levels without zero; straight through backwards.

    Args:
        weight: any shape.
        bits: b, 1 to 4.
    """
    frozen = weight.detach()
    spread = frozen.std() if frozen.numel() > 1 else frozen.new_zeros(())
    step = torch.clamp(_STEPS[bits] * spread, min=torch.finfo(weight.dtype).tiny)
    below = torch.floor(frozen / step)
    quantized = (torch.clamp(below, -(2 ** (bits - 1)), 2 ** (bits - 1) - 1) + 0.5) * step
    return quantized + (weight - frozen)  # the difference is exactly 0


def mask(scores: Tensor, p: float) -> Tensor:
    """1 where |score| is among the largest (1 - p/100) share of the layer, else 0; straight through to |score|.

    Args:
        scores: any shape.
        p: percent pruned.
    """
    size = scores.abs()
    share = (100 - Decimal(str(float(p)))) / 100
    kept = int((share * scores.numel()).to_integral_value(ROUND_HALF_UP))
    order = torch.sort(size.detach().flatten(), descending=True, stable=True).indices
    binary = torch.zeros_like(scores).flatten()
    binary[order[:kept]] = 1
    return binary.view_as(scores) + (size - size.detach())


class _Spike(torch.autograd.Function):
    """Heaviside forwards, Dspike backwards: b / (2 tanh(b/2) cosh(bz)^2) where |z| < 1/2, z = u - V_th."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, b: float) -> Tensor:
        ctx.save_for_backward(z)
        ctx.b = b
        return (z > 0).to(z.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (z,) = ctx.saved_tensors
        slope = ctx.b / (2 * math.tanh(ctx.b / 2) * torch.cosh(ctx.b * z) ** 2)
        return grads[0] * torch.where(z.abs() < 0.5, slope, torch.zeros_like(z)), None


def lif_steps(currents: list[Tensor], tau: float, v_threshold: float, dspike_b: float) -> list[Tensor]:
    """Spikes of LIF neurons (Eq. 1), one entry per timestep, from one input current of any shape per timestep."""
    u = y = torch.zeros_like(currents[0])
    spikes = []
    for current in currents:
        u = tau * u * (1 - y) + current
        y = _Spike.apply(u - v_threshold, dspike_b)
        spikes.append(y)
    return spikes


@dataclass(frozen=True, kw_only=True)
class Norm:
    """One layer's batch norm: affine parameters and running statistics, ``[C]`` each.

    ``library`` runs torch's kernel instead of the formula: the same result, and what a comparison of speed should use.
    """

    weight: Tensor
    bias: Tensor
    mean: Tensor
    var: Tensor
    training: bool
    library: bool
    momentum: float = 0.1
    eps: float = 1e-5

    def __call__(self, outputs: list[Tensor], copies: int = 1) -> list[Tensor]:
        """Normalises over time, batch, height and width together.

        Args:
            outputs: one ``[B, C, H, W]`` per timestep.
            copies: how often every value is repeated; only the others count in the unbiased variance.

        Returns:
            One ``[B, C, H, W]`` per timestep.
        """
        x = torch.stack(outputs)
        if self.library:
            out = F.batch_norm(
                x.flatten(0, 1), self.mean, self.var, self.weight, self.bias, self.training, self.momentum, self.eps
            )
            return list(out.view_as(x).unbind(0))
        mean, var = self.mean, self.var
        if self.training:
            mean = x.mean((0, 1, 3, 4))
            var = ((x - mean[:, None, None]) ** 2).mean((0, 1, 3, 4))
            count = x[:, :, 0].numel() // copies
            with torch.no_grad():
                self.mean.copy_((1 - self.momentum) * self.mean + self.momentum * mean)
                self.var.copy_((1 - self.momentum) * self.var + self.momentum * var * (count / (count - 1)))
        normal = (x - mean[:, None, None]) / torch.sqrt(var[:, None, None] + self.eps)
        return list((normal * self.weight[:, None, None] + self.bias[:, None, None]).unbind(0))


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One compressed layer: ``weight`` and ``scores`` ``[O, I / groups, K, K]``, candidate bit-widths, percent pruned."""

    weight: Tensor
    scores: Tensor
    bits: tuple[int, ...]
    p: float

    def compressed(self, bit_shares: Tensor | None) -> Tensor:
        """Quantised to each bit-width, mixed by the shares ``[bit-widths]`` and masked (Eq. 10, 11)."""
        if bit_shares is None:
            (bits,) = self.bits
            mixed = quantize(self.weight, bits)
        else:
            mixed = torch.zeros_like(self.weight)
            for bits, share in zip(self.bits, bit_shares.unbind(), strict=True):
                mixed = mixed + share * quantize(self.weight, bits)
        return mixed * mask(self.scores, self.p) if self.p else mixed

    def convolve(self, states: list[Tensor], stride: int, bit_shares: Tensor | None) -> list[Tensor]:
        """One convolution per timestep; the weight is compressed anew for each."""
        padding, groups = self.weight.shape[-1] // 2, states[0].shape[1] // self.weight.shape[1]
        return [F.conv2d(x, self.compressed(bit_shares), None, stride, padding, groups=groups) for x in states]


class NaiveNetwork:
    """Runs an existing network naively; parameters and running statistics stay the network's own.

    The auxiliary head of retraining is left out.

    Args:
        network: the network; its ``training`` flag decides which statistics batch norm uses.
        recipe: the recipe that it was built from.
        genotype: the genotype that it was built from; None for the supernet.
        library_norm: batch norm by torch's kernel instead of by its formula.
    """

    def __init__(
        self, network: Network, recipe: Recipe, genotype: Genotype | None, *, library_norm: bool = False
    ) -> None:
        self.network, self.recipe, self.genotype, self.library_norm = network, recipe, genotype, library_norm
        self.neuron = recipe.tau, recipe.v_threshold, recipe.dspike_b

    def __call__(
        self, x: Tensor, timesteps: int, shares: Shares | None = None, *, measure_rates: bool = False
    ) -> Output:
        """As ``Network.forward``: ``[B, C, H, W]`` to logits ``[T, B, K]`` and rates ``[rows, T]``."""
        net = self.network
        (stem,), (classifier,) = _layers(net.stem), _layers(net.classifier)
        (stem_norm,) = self._norms(net.stem_norm, 1)
        frames = stem.convolve([x] * timesteps, 1, None)
        spikes = lif_steps(stem_norm(frames, copies=timesteps), *self.neuron)
        active = [spikes]
        outputs = [spikes, spikes]  # of the stem, twice, then of every cell
        factors = [1, 1, *self.recipe.widths]  # width factor of each, which is also by how much H and W have shrunk
        for i in range(self.recipe.cells):
            strides = factors[i + 2] // factors[i], factors[i + 2] // factors[i + 1]
            nodes = self._cell(i, outputs[i], outputs[i + 1], strides, shares)
            active.extend(nodes)
            outputs.append([torch.cat(at_t, dim=1) for at_t in zip(*nodes, strict=True)])
        logits = [y.mean((2, 3)) @ classifier.compressed(None)[:, :, 0, 0].T for y in outputs[-1]]
        rates = [torch.stack([y.mean() for y in state]) for state in active] if measure_rates else []
        return Output(logits=torch.stack(logits), rates=torch.stack(rates) if measure_rates else None)

    def _cell(
        self, index: int, s0: list[Tensor], s1: list[Tensor], strides: tuple[int, int], shares: Shares | None
    ) -> list[list[Tensor]]:
        """Spikes of every node of a cell (Eq. 2, 3), one ``[B, c, H, W]`` per node and timestep."""
        layers = self._edge_layers(index)
        bit_shares = shares.bits[index] if shares else None
        states = [s0, s1]
        edge = -1
        for node in range(self.recipe.nodes):
            arriving: list[list[Tensor]] = []
            for source in range(node + 2):
                edge += 1
                for op, name in enumerate(self.recipe.operations):
                    if self.genotype and (source, name) not in self.genotype.nodes[node]:
                        continue
                    out = states[source]
                    if name != "skip" or source < 2:
                        layer, norm = layers.pop((edge, op))
                        out = norm(layer.convolve(out, strides[source] if source < 2 else 1, bit_shares))
                    if shares:
                        out = [shares.ops[edge, op] * at_t for at_t in out]
                    arriving.append(out)
            currents = []
            for at_t in zip(*arriving, strict=True):
                current = at_t[0]
                for term in at_t[1:]:
                    current = current + term
                currents.append(current)
            states.append(lif_steps(currents, *self.neuron))
        assert not layers, f"layers of the network that the wiring does not use: {sorted(layers)}"
        return states[2:]

    def _edge_layers(self, index: int) -> dict[tuple[int, int], tuple[Layer, Norm]]:
        """Layer and batch norm of a cell per (edge, op), out of the network's groups."""
        found = {}
        for group in self.network.cells[index].convs:  # type: ignore[union-attr]
            norms = self._norms(group.norm, len(group.members))
            for member, layer, norm in zip(group.members, _layers(group.conv), norms, strict=True):
                found[member.edge, member.op] = layer, norm
        return found

    def _norms(self, norm: nn.BatchNorm2d, count: int) -> list[Norm]:
        """A grouped batch norm taken apart; running statistics are views, so updates reach the network."""
        assert norm.running_mean is not None and norm.running_var is not None
        parts = [v.view(count, -1).unbind(0) for v in (norm.weight, norm.bias, norm.running_mean, norm.running_var)]
        return [
            Norm(weight=w, bias=b, mean=m, var=v, training=self.network.training, library=self.library_norm)
            for w, b, m, v in zip(*parts, strict=True)
        ]


def _layers(conv: CompConv) -> list[Layer]:
    """A group of CompConvs taken apart."""
    pairs = zip(conv.weight.unbind(0), conv.importance.unbind(0), strict=True)
    return [Layer(weight=w, scores=s, bits=conv.bits, p=conv.p) for w, s in pairs]
