"""Model size, Bit-SynOps and energy: expectations during the search, exact counts for a derived network.

Units: model size in bits of kept weights; SynOps in operations and Bit-SynOps in bit-operations, both per input sample.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from litesnn.checks import check_number, fail
from litesnn.config import Recipe
from litesnn.energy import Energy, energy_with_bits
from litesnn.export.plan import make_plan
from litesnn.file_size import estimated_file_bits, side_bits
from litesnn.genotype import Genotype
from litesnn.kept import kept_count, position_bits
from litesnn.layout import ConvShape, conv_shapes
from litesnn.network import Shares

PICOJOULE_PER_ADDITION = 0.9  # 45 nm CMOS, 32-bit floating point (Horowitz, ISSCC 2014), Sec. 4.5
PICOJOULE_PER_MULTIPLICATION = 3.7


@dataclass(frozen=True)
class ExpectedCost:
    """Scalar tensors: expected model size in bits, what lambda1 presses of it, and Bit-SynOps per input sample."""

    model_size_bits: Tensor
    pressed_bits: Tensor
    bit_synops: Tensor


@dataclass(frozen=True, kw_only=True)
class DerivedCost:
    """Counts of a derived network, per input sample where they depend on activity.

    Args:
        model_size_bits: kept weights of stem, cells and classifier at their bit-widths (Eq. 18).
        file_bits: of the packed file, about; known exactly when it is written.
        side_bits: what Eq. 18 leaves out, at 32 bits: per output channel the scale and shift that its batch norm comes
            to (the classifier has none), and one quantisation step per layer.
        bit_synops: SynOps weighted by bit-width, the stem's included (Eq. 20).
        additions: SynOps of cells and classifier (Eq. 12).
        multiplications: operations of the stem, which sees real values, over T timesteps.
        ann_operations: additions, and as many multiplications, of the ANN counterpart: the same layers, dense in
            activations, one pass, one of each per kept weight and position.
        additions_exact: of cells and classifier, counted spike by spike; None where only rates are known.
        energy_bits: energy by the model that knows bits, memory and neurons (``litesnn.energy``), of the exact additions
            or, where only rates are known, of those by Eq. 12.
    """

    model_size_bits: int
    file_bits: int
    side_bits: int
    bit_synops: float
    additions: float
    multiplications: float
    ann_operations: int
    additions_exact: float | None = None
    energy_bits: Energy | None = None

    @property
    def energy_mj(self) -> float:
        """Energy of classifying one sample in millijoule (Sec. 4.5)."""
        return energy_mj(self.additions, self.multiplications)

    @property
    def energy_bits_mj(self) -> float | None:
        """The whole of ``energy_bits``."""
        return None if self.energy_bits is None else self.energy_bits.total_mj

    @property
    def ann_energy_mj(self) -> float:
        """Energy of the ANN counterpart in millijoule."""
        return energy_mj(self.ann_operations, self.ann_operations)


def energy_mj(additions: float, multiplications: float) -> float:
    """Energy in millijoule of so many operations (Sec. 4.5, Table 5)."""
    check_number("additions", additions, minimum=0)
    check_number("multiplications", multiplications, minimum=0)
    picojoule = additions * PICOJOULE_PER_ADDITION + multiplications * PICOJOULE_PER_MULTIPLICATION
    return picojoule * 1e-9


def dense_operations(genotype: Genotype, recipe: Recipe) -> int:
    """Operations of one timestep of the retrained network at p = 0, stem and classifier included.

    Raises:
        InputError: the genotype does not fit the recipe.
    """
    genotype.check_fits(recipe)
    layers = conv_shapes(recipe, recipe.retrain_channels, recipe.classes, genotype)
    return sum(layer.weights * layer.positions for layer in layers)


class CostModel(nn.Module):
    """Expected costs of the supernet, differentiable in alpha, beta and psi (Eq. 12, 14, 18-20).

    Args:
        recipe: the recipe.
        channels: C of the supernet.
        classes: K.
        p: percent pruned.
    """

    edge: Tensor
    op: Tensor
    cell: Tensor
    candidate_bits: Tensor
    fixed_bits: Tensor
    weights: Tensor
    operations: Tensor
    reads: Tensor
    real_input: Tensor
    beside: Tensor

    def __init__(self, recipe: Recipe, channels: int, classes: int, p: float) -> None:
        super().__init__()
        layers = conv_shapes(recipe, channels, classes, None)
        in_cells = [layer for layer in layers if layer.cell is not None]
        fixed = [layer for layer in layers if layer.cell is None]
        self.kept_share = 1 - p / 100

        def buffer(name: str, values: Sequence[object], dtype: torch.dtype) -> None:
            self.register_buffer(name, torch.tensor(values, dtype=dtype), persistent=False)

        ordered = in_cells + fixed
        buffer("edge", [layer.edge for layer in in_cells], torch.long)
        buffer("op", [layer.op for layer in in_cells], torch.long)
        buffer("cell", [layer.cell for layer in in_cells], torch.long)
        buffer("candidate_bits", recipe.bit_widths, torch.float32)
        buffer("fixed_bits", [layer.bits for layer in fixed], torch.float32)
        buffer("weights", [layer.weights for layer in ordered], torch.float32)
        buffer("operations", [layer.weights * layer.positions for layer in ordered], torch.float32)
        rows = 1 + recipe.cells * recipe.nodes
        buffer("reads", [_read_weights(layer, rows) for layer in ordered], torch.float32)
        buffer("real_input", [[not layer.reads] for layer in ordered], torch.float32)
        in_file = recipe.size == "file"
        positions = [position_bits(layer.weights, kept_count(layer.weights, p), recipe.mask_n) for layer in ordered]
        beside = [where + side_bits(layer) for where, layer in zip(positions, ordered, strict=True)]
        buffer("beside", beside if in_file else [0.0] * len(beside), torch.float32)

    def forward(self, shares: Shares, rates: Tensor) -> ExpectedCost:
        """Expected costs.

        Args:
            shares: softmax of alpha, beta and psi.
            rates: spike rates, ``[rows, T]``.
        """
        bits = torch.cat([(shares.bits @ self.candidate_bits)[self.cell], self.fixed_bits])  # Eq. 19  # [L]
        share = torch.cat([shares.ops[self.edge, self.op], torch.ones_like(self.fixed_bits)])  # [L]
        # Timestep t' counts for every choice t >= t': sum_t psi_t sum_{t'<=t} s(t') = sum_t' s(t') sum_{t>=t'} psi_t.
        reached = shares.timesteps.flip(0).cumsum(0).flip(0)  # [T]
        spikes = (self.reads @ rates + self.real_input) @ reached  # Eq. 14  # [L]
        kept_bits = share * bits * self.kept_share
        size = (kept_bits * self.weights).sum()  # Eq. 18
        return ExpectedCost(
            model_size_bits=size,
            pressed_bits=size + share @ self.beside,
            bit_synops=(kept_bits * self.operations * spikes).sum(),  # Eq. 12, 20
        )


def derived_cost(
    genotype: Genotype, recipe: Recipe, rates: Tensor, counted: Mapping[str, float] | None = None
) -> DerivedCost:
    """Exact counts of the retrained network.

    Args:
        genotype: the network.
        recipe: its recipe; C is ``retrain_channels``.
        rates: measured spike rates ``[rows, T]`` with T at least the genotype's; a supernet's rates do for an estimate.
        counted: additions per sample by layer, from ``litesnn.additions``; None where only rates are known.

    Raises:
        InputError: the genotype does not fit the recipe, or too few timesteps were measured.
    """
    genotype.check_fits(recipe)
    timesteps = genotype.timesteps
    rows = 1 + recipe.cells * recipe.nodes
    if rates.shape[0] != rows or rates.shape[1] < timesteps:
        raise fail("rates", f"a tensor [{rows}, at least {timesteps}]", tuple(rates.shape))
    spikes_per_row = rates[:, :timesteps].double().sum(1).tolist()  # Eq. 13
    size = side = ann = 0
    bit_synops = additions = multiplications = 0.0
    by_layer: dict[str, float] = {}
    for layer in conv_shapes(recipe, recipe.retrain_channels, recipe.classes, genotype):
        assert layer.bits is not None
        kept = kept_count(layer.weights, genotype.p)
        size += kept * layer.bits
        side += 32 * (1 + (0 if layer.name == "classifier" else 2 * layer.out_channels))
        ann += kept * layer.positions
        if layer.reads:
            synops = kept * layer.positions * sum(spikes_per_row[r] for r in layer.reads) / len(layer.reads)
            additions += synops
            by_layer[layer.name] = synops
        else:
            synops = float(kept * layer.positions * timesteps)
            multiplications += synops
        bit_synops += layer.bits * synops
    return DerivedCost(
        model_size_bits=size,
        file_bits=estimated_file_bits(genotype, recipe),
        side_bits=side,
        bit_synops=bit_synops,
        additions=additions,
        multiplications=multiplications,
        ann_operations=ann,
        additions_exact=None if counted is None else sum(counted.values()),
        energy_bits=energy_with_bits(
            make_plan(recipe, json.loads(genotype.to_json())), genotype.p, by_layer if counted is None else counted
        ),
    )


def _read_weights(layer: ConvShape, rows: int) -> list[float]:
    """Row of the matrix that turns state rates into a layer's input rate: the mean over the rows that it reads."""
    return [1 / len(layer.reads) if row in layer.reads else 0.0 for row in range(rows)]
