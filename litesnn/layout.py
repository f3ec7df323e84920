"""The shapes of a network without its tensors: what the modules are built from and what the costs are counted on.

Activity is kept per *state row*: row 0 is the stem's output, row 1 + cell * nodes + j is node j of that cell. Inputs of
a cell are outputs of the stem or of earlier cells; such an output concatenates equally many channels of each node, so its
spike rate is the mean of its nodes' rates.
"""

from __future__ import annotations

from dataclasses import dataclass

from litesnn.config import Recipe
from litesnn.genotype import Genotype, cell_edges
from litesnn.operations import group_count, kernel_side


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """An operation on an edge: row and column of alpha, where it reads, which node it feeds, and its name."""

    edge: int
    op: int
    source: int
    node: int
    operation: str

    def kernel(self, recipe: Recipe) -> int:
        """Side of its convolution kernel; 0 where it is the identity."""
        return kernel_side(self.operation, self.source, recipe.input_skip)


@dataclass(frozen=True, kw_only=True)
class CellShape:
    """Shapes of one cell: channels of its two inputs, channels of a node, strides on its inputs, output H and W."""

    index: int
    in_channels: tuple[int, int]
    node_channels: int
    strides: tuple[int, int]
    height: int
    width: int
    same_inputs: bool


@dataclass(frozen=True, kw_only=True)
class ConvShape:
    """One CompConv: its size, its place in the search space and the state rows that it reads.

    Of its ``groups`` each output channel reads the input channels of one alone.
    ``cell``, ``edge`` and ``op`` are None for stem and classifier, whose bit-width ``bits`` is fixed. The stem reads real
    values, not spikes: ``reads`` is empty.
    """

    name: str
    kernel: int
    in_channels: int
    out_channels: int
    height: int
    width: int
    reads: tuple[int, ...]
    groups: int = 1
    cell: int | None = None
    edge: int | None = None
    op: int | None = None
    bits: int | None = None

    @property
    def weights(self) -> int:
        """Weights before pruning."""
        return self.kernel * self.kernel * self.in_channels * self.out_channels // self.groups

    @property
    def positions(self) -> int:
        """Output positions H * W; every kept weight works once at each (Eq. 12)."""
        return self.height * self.width


def candidates(recipe: Recipe, genotype: Genotype | None) -> list[Candidate]:
    """Operations of a cell: all of the search space, or those that a genotype keeps."""
    index = {edge: e for e, edge in enumerate(cell_edges(recipe.nodes))}
    if genotype is None:
        return [
            Candidate(edge=e, op=op, source=source, node=node, operation=operation)
            for (source, node), e in index.items()
            for op, operation in enumerate(recipe.operations)
        ]
    return [
        Candidate(
            edge=index[source, node],
            op=recipe.operations.index(operation),
            source=source,
            node=node,
            operation=operation,
        )
        for node, pairs in enumerate(genotype.nodes)
        for source, operation in pairs
    ]


def cell_shapes(recipe: Recipe, channels: int) -> list[CellShape]:
    """Shapes of all cells at stem width ``channels`` (Table 1).

    A cell whose width doubles halves H and W; an input that is still larger is strided down to the cell's size.
    """
    _, height, width = recipe.input_shape
    outputs = [(channels, 1), (channels, 1)]  # (channels, downsampling) of the two states that the next cell reads
    shapes = []
    factor = down = 1
    for index, cell_factor in enumerate(recipe.widths):
        if cell_factor != factor:
            factor, down = cell_factor, down * 2
        (c0, down0), (c1, down1) = outputs[-2:]
        shapes.append(
            CellShape(
                index=index,
                in_channels=(c0, c1),
                node_channels=channels * factor // recipe.nodes,
                strides=(down // down0, down // down1),
                height=-(-height // down),
                width=-(-width // down),
                same_inputs=index == 0,
            )
        )
        outputs.append((channels * factor, down))
    return shapes


def state_rows(recipe: Recipe, state: int) -> tuple[int, ...]:
    """Rows of a state: -1 is the stem's output, 0, 1, … the outputs of the cells."""
    if state < 0:
        return (0,)
    return tuple(1 + state * recipe.nodes + j for j in range(recipe.nodes))


def conv_shapes(recipe: Recipe, channels: int, classes: int, genotype: Genotype | None) -> list[ConvShape]:
    """Every CompConv of the supernet (``genotype`` None) or of a derived network, from stem to classifier."""
    in_channels, height, width = recipe.input_shape
    layers = [
        ConvShape(
            name="stem",
            kernel=3,
            in_channels=in_channels,
            out_channels=channels,
            height=height,
            width=width,
            reads=(),
            bits=recipe.stem_bits,
        )
    ]
    for shape in cell_shapes(recipe, channels):
        for candidate in candidates(recipe, genotype):
            kernel = candidate.kernel(recipe)
            if kernel:
                layers.append(_cell_conv(recipe, shape, candidate, kernel, genotype))
    layers.append(
        ConvShape(
            name="classifier",
            kernel=1,
            in_channels=channels * recipe.widths[-1],
            out_channels=classes,
            height=1,
            width=1,
            reads=state_rows(recipe, recipe.cells - 1),
            bits=recipe.classifier_bits,
        )
    )
    return layers


def _cell_conv(
    recipe: Recipe, shape: CellShape, candidate: Candidate, kernel: int, genotype: Genotype | None
) -> ConvShape:
    from_input = candidate.source < 2
    if from_input:
        reads = state_rows(recipe, max(-1, shape.index - 2 + candidate.source))
    else:
        reads = (1 + shape.index * recipe.nodes + candidate.source - 2,)
    in_channels = shape.in_channels[candidate.source] if from_input else shape.node_channels
    return ConvShape(
        name=f"cell{shape.index + 1}.node{candidate.node}.input{candidate.source}.{candidate.operation}",
        kernel=kernel,
        in_channels=in_channels,
        out_channels=shape.node_channels,
        height=shape.height,
        width=shape.width,
        reads=reads,
        groups=group_count(candidate.operation, in_channels, shape.node_channels),
        cell=shape.index,
        edge=candidate.edge,
        op=candidate.op,
        bits=genotype.bits[shape.index] if genotype else None,
    )
