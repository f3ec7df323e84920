"""A derived network as a flat list of convolutions and nodes: what a runtime walks over. Loads no torch.

Every LIF population is a *row*: row 0 is the stem's output, row 1 + cell * nodes + j is node j of that cell. A
convolution reads one or more rows, concatenated; a node adds up its convolutions and the rows that skip to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from litesnn.checks import InputError, check_choice, check_integer, check_integers, check_number, fail
from litesnn.config import KNOWN_BIT_WIDTHS, Recipe
from litesnn.operations import group_count, kernel_side

LARGEST_SAMPLE = 2**26  # values in all states of one sample, far above any network of the search space


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One convolution, padded by ``kernel // 2``: ``reads`` holds rows, none for the stem; sizes are (H, W).

    ``mask_n`` is N of N:M masks, see ``litesnn.kept.mask_groups``. Of ``groups`` of inputs and of outputs each output reads
    those inputs alone that are in its own.
    """

    name: str
    kernel: int
    stride: int
    bits: int
    reads: tuple[int, ...]
    inputs: int
    outputs: int
    in_size: tuple[int, int]
    out_size: tuple[int, int]
    mask_n: int = 0
    groups: int = 1

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """``[outputs, inputs, kernel, kernel]``, with the weights between groups, which are 0."""
        return self.outputs, self.inputs, self.kernel, self.kernel

    @property
    def weights(self) -> int:
        """Weights before pruning, those within groups."""
        return self.dense_weights // self.groups

    @property
    def dense_weights(self) -> int:
        """Weights of its shape, those between groups among them."""
        return self.outputs * self.inputs * self.kernel * self.kernel

    @property
    def positions(self) -> int:
        """Output positions H * W."""
        return self.out_size[0] * self.out_size[1]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One LIF population: indices of the layers and the rows that it adds up; channels and (H, W)."""

    layers: tuple[int, ...]
    skips: tuple[int, ...]
    channels: int
    size: tuple[int, int]

    @property
    def neurons(self) -> int:
        """How many neurons it has."""
        return self.channels * self.size[0] * self.size[1]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All layers, stem first and classifier last, and all rows in the order in which they can be computed."""

    layers: tuple[Layer, ...]
    rows: tuple[Row, ...]
    timesteps: int
    tau: float
    v_threshold: float

    @property
    def weights(self) -> int:
        """Weights before pruning of all layers."""
        return sum(layer.weights for layer in self.layers)

    @property
    def values(self) -> int:
        """Values in all states of one sample, over all timesteps."""
        return self.timesteps * sum(row.neurons for row in self.rows)


def make_plan(recipe: Recipe, genotype: Mapping[str, Any]) -> Plan:
    """The derived network at its retraining width.

    Args:
        recipe: shapes and neuron constants.
        genotype: ``nodes``, ``bits``, ``timesteps`` and ``p`` as plain values, see ``litesnn.genotype.Genotype``.

    Raises:
        InputError: the genotype is none or does not fit, or the network is larger than any that this program makes.
    """
    nodes = _checked_nodes(genotype, recipe)
    bits = check_integers("genotype.bits", genotype.get("bits"), minimum=1, length=recipe.cells)
    for b in bits:
        check_choice("genotype.bits", b, KNOWN_BIT_WIDTHS)
    timesteps = check_integer("genotype.timesteps", genotype.get("timesteps"), minimum=1, maximum=recipe.timesteps)
    check_number("genotype.p", genotype.get("p"), minimum=0, below=100)
    builder = _Builder(recipe)
    for cell in range(recipe.cells):
        builder.add_cell(cell, nodes, bits[cell])
    plan = Plan(
        layers=(*builder.layers, builder.classifier()),
        rows=tuple(builder.rows),
        timesteps=timesteps,
        tau=recipe.tau,
        v_threshold=recipe.v_threshold,
    )
    values = plan.values + timesteps * recipe.classes
    if values + plan.layers[0].inputs * plan.layers[0].in_size[0] * plan.layers[0].in_size[1] > LARGEST_SAMPLE:
        raise fail("network", f"at most {LARGEST_SAMPLE} values in its states", values)
    return plan


class _Builder:
    """Layers and rows as they are added; states are the stem's output and the cells', each as rows and a size."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        channels, height, width = recipe.input_shape
        self.down = self.factor = 1
        self.layers = [
            Layer(
                name="stem",
                kernel=3,
                stride=1,
                bits=recipe.stem_bits,
                reads=(),
                inputs=channels,
                outputs=recipe.retrain_channels,
                in_size=(height, width),
                out_size=(height, width),
                mask_n=recipe.mask_n,
            )
        ]
        self.rows = [Row(layers=(0,), skips=(), channels=recipe.retrain_channels, size=(height, width))]
        self.states: list[tuple[tuple[int, ...], int]] = [((0,), 1), ((0,), 1)]  # rows and downsampling

    def add_cell(self, cell: int, nodes: tuple[tuple[tuple[int, str], ...], ...], bits: int) -> None:
        """A cell of which every node reads two states: the two before the cell, or nodes of its own (Eq. 2)."""
        recipe = self.recipe
        if recipe.widths[cell] != self.factor:
            self.factor, self.down = recipe.widths[cell], self.down * 2
        size = self._size(self.down)
        sources = [*self.states[-2:]]
        channels = recipe.retrain_channels * self.factor // recipe.nodes
        own: list[int] = []
        for node, pairs in enumerate(nodes):
            layers, skips = [], []
            for source, op in pairs:
                kernel = kernel_side(op, source, recipe.input_skip)
                if not kernel:
                    skips.append(own[source - 2])
                    continue
                reads, down = sources[source] if source < 2 else ((own[source - 2],), self.down)
                inputs = sum(self.rows[row].channels for row in reads)
                layers.append(len(self.layers))
                self.layers.append(
                    Layer(
                        name=f"cell{cell + 1}.node{node}.input{source}.{op}",
                        kernel=kernel,
                        stride=self.down // down,
                        bits=bits,
                        reads=reads,
                        inputs=inputs,
                        outputs=channels,
                        in_size=self._size(down),
                        out_size=size,
                        mask_n=recipe.mask_n,
                        groups=group_count(op, inputs, channels),
                    )
                )
            own.append(len(self.rows))
            self.rows.append(Row(layers=tuple(layers), skips=tuple(skips), channels=channels, size=size))
        self.states.append((tuple(own), self.down))

    def classifier(self) -> Layer:
        """The last layer: it reads the means over H and W of the last cell's output."""
        reads, down = self.states[-1]
        return Layer(
            name="classifier",
            kernel=1,
            stride=1,
            bits=self.recipe.classifier_bits,
            reads=reads,
            inputs=sum(self.rows[row].channels for row in reads),
            outputs=self.recipe.classes,
            in_size=self._size(down),
            out_size=(1, 1),
            mask_n=self.recipe.mask_n,
        )

    def _size(self, down: int) -> tuple[int, int]:
        _, height, width = self.recipe.input_shape
        return -(-height // down), -(-width // down)


def _checked_nodes(genotype: Mapping[str, Any], recipe: Recipe) -> tuple[tuple[tuple[int, str], ...], ...]:
    """Per node its two ``(input, op)`` pairs in the order of their inputs."""
    nodes = genotype.get("nodes")
    if not isinstance(nodes, list | tuple) or len(nodes) != recipe.nodes:
        raise InputError(f"genotype.nodes: expected a list of {recipe.nodes} nodes, got another")
    for node, pairs in enumerate(nodes):
        sources = []
        if not isinstance(pairs, list | tuple) or len(pairs) != 2:
            raise InputError(f"genotype.nodes[{node}]: expected two (input, op) pairs, got another")
        for pair in pairs:
            if not isinstance(pair, list | tuple) or len(pair) != 2:
                raise InputError(f"genotype.nodes[{node}]: expected two (input, op) pairs, got another")
            sources.append(check_integer(f"genotype.nodes[{node}] input", pair[0], minimum=0, maximum=node + 1))
            check_choice(f"genotype.nodes[{node}] op", pair[1], recipe.operations)
        if sources[0] == sources[1]:
            raise fail(f"genotype.nodes[{node}]", "two different inputs", sources)
    return tuple(tuple(sorted((source, op) for source, op in pairs)) for pairs in nodes)
