"""The work of a training step, counted from the network: floating-point operations and bytes.

Operations are those of all convolutions, two per multiplication and addition, as a direct convolution does them, border
included: an algorithm that gets by with fewer can so exceed the machine's convolution rate. What a step needs:

* every pass: each convolution forwards, the stem on one frame instead of T;
* backwards: the gradient of its weight, and that of its input unless it reads the data;
* the second pass of a search learns scores, alpha, beta and psi; without pruning nothing is to be learned in stem and
  classifier, so they need no weight gradient, and what reads the stem needs no input gradient.

Bytes are the least that a step moves when nothing stays in the cache from one layer to the next, all edges that read a
state run as one convolution, and batch norm must have seen all of a layer before it passes any of it on. Forwards, a
state is written and read once, a convolution's output likewise. Backwards, outputs of convolutions are read for batch
norm and their gradients written and read, states are read for the weight gradients and their gradients written and read.
A weight is read in both directions and its gradient written.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from litesnn.config import Recipe
from litesnn.genotype import Genotype
from litesnn.layout import candidates, cell_shapes

KINDS = ("forward", "input_grad", "weight_grad")
BYTES = {"fp32": 4, "bf16": 2}


@dataclass(frozen=True, kw_only=True)
class Conv:
    """All convolutions that read the same state, as one: ``images`` x ``inputs`` to ``outputs`` channels.

    ``height`` and ``width`` are those of the output; the input has ``stride`` times as much.
    """

    images: int
    inputs: int
    outputs: int
    height: int
    width: int
    in_height: int
    in_width: int
    kernel: int = 3
    stride: int = 1

    @property
    def flops(self) -> int:
        """Operations of one direction; forwards, to the input and to the weight they are the same."""
        return 2 * self.images * self.height * self.width * self.weights

    @property
    def weights(self) -> int:
        """Number of weights."""
        return self.kernel * self.kernel * self.inputs * self.outputs

    @property
    def output_values(self) -> int:
        """Number of values that it writes."""
        return self.images * self.outputs * self.height * self.width

    def __str__(self) -> str:
        stride = f" stride {self.stride}" if self.stride > 1 else ""
        size = f"{self.kernel}x{self.kernel} {self.inputs}->{self.outputs}"
        return f"{size}{stride} at {self.images}x{self.height}x{self.width}"


@dataclass(frozen=True)
class Work:
    """What a step computes.

    Args:
        times: how often each convolution runs in each of ``KINDS``.
        state_values: values of all states, spikes of stem and cells, of one pass.
        passes: how many passes, each forwards and backwards.
    """

    times: Counter[tuple[Conv, str]]
    state_values: int
    passes: int

    @property
    def flops(self) -> int:
        """Floating-point operations of all convolutions."""
        return sum(conv.flops * count for (conv, _), count in self.times.items())

    def least_bytes(self, dtype: str = "fp32") -> int:
        """Least bytes moved; see the head of this module."""
        values = 5 * self.passes * self.state_values
        for (conv, kind), count in self.times.items():
            # Outputs: two movements forwards, three backwards, whichever of the gradients is wanted.
            each = {"forward": 5 * conv.output_values + 2 * conv.weights, "weight_grad": conv.weights, "input_grad": 0}
            values += count * each[kind]
        return BYTES[dtype] * values


def search_work(recipe: Recipe, p: float) -> Work:
    """One ``Search.step`` with p percent pruned."""
    return _work(recipe, recipe.search_channels, None, recipe.search_batch, recipe.timesteps, p, passes=2)


def retrain_work(recipe: Recipe, genotype: Genotype) -> Work:
    """One ``Retrain.step`` without the auxiliary head."""
    batch, timesteps = recipe.retrain_batch, genotype.timesteps
    return _work(recipe, recipe.retrain_channels, genotype, batch, timesteps, genotype.p, passes=1)


def _work(
    recipe: Recipe, channels: int, genotype: Genotype | None, batch: int, timesteps: int, p: float, *, passes: int
) -> Work:
    times: Counter[tuple[Conv, str]] = Counter()
    for conv, role in convolutions(recipe, channels, genotype, batch, timesteps):
        # Without pruning the second pass of a search has nothing to learn in stem and classifier.
        learned = passes if p or role in ("first", "inner") else 1
        passed_on = passes if p or role != "first" else 1
        times[conv, "forward"] += passes
        times[conv, "weight_grad"] += learned
        if role != "stem":
            times[conv, "input_grad"] += passed_on
    stem = batch * timesteps * channels * recipe.input_shape[1] * recipe.input_shape[2]
    cells = sum(
        batch * timesteps * shape.node_channels * recipe.nodes * shape.height * shape.width
        for shape in cell_shapes(recipe, channels)
    )
    return Work(times, stem + cells, passes)


def convolutions(
    recipe: Recipe, channels: int, genotype: Genotype | None, batch: int, timesteps: int
) -> Iterator[tuple[Conv, str]]:
    """The convolutions of one forward pass.

    Args:
        recipe: the recipe.
        channels: C.
        genotype: the network; None for the supernet.
        batch: samples.
        timesteps: T.

    Yields:
        Each with its role: ``stem``; ``first``, which reads the stem's spikes; ``inner``; ``classifier``.
    """
    planes, height, width = recipe.input_shape
    frame = {"height": height, "width": width, "in_height": height, "in_width": width}
    yield Conv(images=batch, inputs=planes, outputs=channels, **frame), "stem"
    sizes = [(height, width), (height, width)]  # of the two states that the next cell reads
    for shape in cell_shapes(recipe, channels):
        convs: Counter[tuple[int, int]] = Counter()
        for candidate in candidates(recipe, genotype):
            if kernel := candidate.kernel(recipe):
                source = 0 if shape.same_inputs and candidate.source == 1 else candidate.source
                convs[source, kernel] += 1
        here = shape.height, shape.width
        for (source, kernel), count in sorted(convs.items()):
            from_input = source < 2
            in_height, in_width = sizes[source] if from_input else here
            conv = Conv(
                images=batch * timesteps,
                inputs=shape.in_channels[source] if from_input else shape.node_channels,
                outputs=count * shape.node_channels,
                height=shape.height,
                width=shape.width,
                in_height=in_height,
                in_width=in_width,
                kernel=kernel,
                stride=shape.strides[source] if from_input else 1,
            )
            # The stem is both inputs of the first cell and the older one of the second.
            yield conv, "first" if from_input and shape.index + source < 2 else "inner"
        sizes = [sizes[1], here]
    pixel = {"height": 1, "width": 1, "in_height": 1, "in_width": 1, "kernel": 1}
    inputs, classes = channels * recipe.widths[-1], recipe.classes if genotype else recipe.searched_classes
    yield Conv(images=batch * timesteps, inputs=inputs, outputs=classes, **pixel), "classifier"
