"""Writes a packed file: bytes that are the same for equal networks. docs/export.md has the format."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from litesnn.checks import InputError
from litesnn.export.coder import Encoder, Tree
from litesnn.export.file_layout import (
    BEYOND,
    DATASETS,
    FREE,
    GROUPED,
    INPUT_SKIPS,
    LARGEST_LAYER,
    MAGIC,
    PRECISIONS,
    RATE_UNIT,
    RESIZES,
    Marks,
    Numbers,
    alive_ends,
    code_decimal,
    code_text,
    least_bytes,
    read_pairs,
)
from litesnn.export.masks import Masks
from litesnn.export.packed import Packed
from litesnn.export.plan import Plan
from litesnn.export.trim import trim
from litesnn.operations import OPERATIONS, PRIMITIVES


@dataclass(frozen=True, kw_only=True)
class File:
    """A packed file.

    Args:
        content: its bytes.
        parts: bits by part, in the order of the file; fractions of a bit are real, a choice may cost less than one.
        kept: weights per layer that are in it.
        left: weights per layer before pruning, of the channels that are in it.
        channels: how many channels are in it.
    """

    content: bytes
    parts: dict[str, float]
    kept: tuple[int, ...]
    left: tuple[int, ...]
    channels: int


def file_of(packed: Packed) -> File:
    """Packs a network.

    Raises:
        InputError: a number of its recipe has too many digits, or a layer is too large.
    """
    packed, alive = trim(packed)
    plan, coder = packed.plan, Encoder()
    if max(layer.dense_weights for layer in plan.layers) > LARGEST_LAYER:
        raise InputError(f"model: expected layers of at most {LARGEST_LAYER} weights, got larger ones")
    try:
        parts = {"header": _header(coder, packed, plan), "class names": _names(coder, packed)}
    except ValueError as error:
        raise InputError(f"model: expected a recipe of ordinary numbers, got {error}") from None
    parts["input statistics"] = _statistics(coder, packed)
    parts["spike rates"] = _rates(coder, packed)
    for there in alive:
        removed = coder.integer(int((~there).sum()))
        coder.mask(there.tobytes(), len(there) - removed)
    parts["channels"] = coder.bits_written
    ends = alive_ends(plan, alive)
    pairs = [read_pairs(layer, *both) for layer, both in zip(plan.layers, ends, strict=True)]
    codes = [layer[there] for layer, there in zip(packed.codes, pairs, strict=True)]  # [pairs, K, K]
    marks = [(layer != 0).tobytes() for layer in codes]
    masks = Masks(plan, packed.genotype["p"], ends)
    try:
        kept = masks.code_counts(coder, marks)
    except ValueError as error:
        raise InputError(f"model: expected a pruned network, got {error}") from None
    masks.code_marks(coder, marks)
    parts["positions"] = coder.bits_written
    trees = {bits: Tree(bits) for bits in range(1, 5)}
    for layer, values in zip(plan.layers, codes, strict=True):
        coder.tree(trees[layer.bits], _indices(values, layer.bits))
    parts["codes"] = coder.bits_written
    _factors(coder, packed, ends)
    parts["scales and steps"] = coder.bits_written
    numbers = Numbers()
    for bias, there, row in zip(packed.bias, alive, plan.rows, strict=True):
        for value in bias[there].tolist() if row.layers else ():
            numbers.code(coder, value)
    parts["biases"] = coder.bits_written
    stream = coder.finish()
    needed = max(least_bytes(plan), -(-int(masks.least_bits()) // 8) + 1)
    version = (GROUPED if packed.recipe.mask_n else FREE) + BEYOND * _is_beyond(packed)
    content = MAGIC + bytes([version]) + stream.ljust(needed, b"\0")
    content += zlib.crc32(content).to_bytes(4, "little")
    return File(
        content=content,
        parts=_by_part(parts, len(content)),
        kept=tuple(kept),
        left=tuple(values.size for values in codes),
        channels=sum(int(marks.sum()) for marks in alive),
    )


def _header(coder: Encoder, packed: Packed, plan: Plan) -> float:
    recipe, genotype = packed.recipe, packed.genotype
    sizes = (*recipe.input_shape, recipe.classes, recipe.retrain_channels, recipe.nodes, recipe.cells, plan.timesteps)
    for size in sizes:
        coder.integer(size)
    before = 1
    for width, bits in zip(recipe.widths, genotype["bits"], strict=True):
        coder.bits(1, int(width != before))
        coder.bits(2, bits - 1)
        before = width
    coder.bits(2, recipe.stem_bits - 1)
    coder.bits(2, recipe.classifier_bits - 1)
    for node, pairs in enumerate(genotype["nodes"]):
        for source, op in sorted(map(tuple, pairs)):
            coder.uniform(node + 2, source)
            coder.bits(1 + _is_beyond(packed), OPERATIONS.index(op))
    coder.bits(1, INPUT_SKIPS.index(recipe.input_skip))
    coder.bits(1, PRECISIONS.index(recipe.precision))
    if recipe.mask_n:
        coder.integer(recipe.mask_n)
    for value in (genotype["p"], recipe.tau, recipe.v_threshold, recipe.val_fraction, recipe.test_fraction):
        code_decimal(coder, float(value))
    coder.integer(recipe.split_seed)
    code_decimal(coder, recipe.logit_scale)
    coder.bits(1, RESIZES.index(recipe.resize))
    return coder.bits_written


def _is_beyond(packed: Packed) -> bool:
    """Whether an edge has an operation that is not of the paper."""
    return any(op not in PRIMITIVES for pairs in packed.genotype["nodes"] for _, op in pairs)


def _names(coder: Encoder, packed: Packed) -> float:
    """Of the data set, and of the classes unless they are numbers; of a folder no path, which is nobody else's business."""
    dataset = packed.recipe.without_folders().dataset
    coder.integer(DATASETS.index(dataset) if dataset in DATASETS else 0)
    if dataset not in DATASETS:
        code_text(coder, dataset.encode("utf-8", "surrogatepass"))
    named = packed.classes != tuple(map(str, range(len(packed.classes))))
    coder.bits(1, int(named))
    for name in packed.classes if named else ():
        code_text(coder, name.encode("utf-8", "surrogatepass"))
    return coder.bits_written


def _statistics(coder: Encoder, packed: Packed) -> float:
    for values in (packed.mean, packed.std):
        for size, full in zip(values.shape, packed.recipe.input_shape, strict=True):
            coder.bits(1, int(size == full))
        numbers = Numbers()
        for value in values.ravel().tolist():
            numbers.code(coder, value)
    return coder.bits_written


def _rates(coder: Encoder, packed: Packed) -> float:
    for value in np.rint(packed.rates.ravel().astype(np.float64) * RATE_UNIT).astype(int).tolist():
        coder.bits(16, value)
    return coder.bits_written


def _indices(codes: NDArray[np.int8], bits: int) -> list[int]:
    """Codes -(2^b - 1), …, -1, 1, …, 2^b - 1 of kept weights as 0 to 2^b - 1."""
    kept = codes[codes != 0].astype(int)
    indices: list[int] = ((kept + (1 << bits) - 1) >> 1).tolist()
    return indices


def _factors(coder: Encoder, packed: Packed, ends: list[tuple[Marks, Marks]]) -> None:
    """Per layer that has weights its step, then, but for the classifier, the scales of filters that have weights."""
    numbers = Numbers()
    for index, (values, (outputs, _)) in enumerate(zip(packed.codes, ends, strict=True)):
        filters = (values[outputs] != 0).any((1, 2, 3))
        if filters.any():
            numbers.code(coder, float(packed.steps[index]))
        if index < len(packed.scale):
            for value in packed.scale[index][outputs][filters].tolist():
                numbers.code(coder, value)


def _by_part(ends: dict[str, float], size: int) -> dict[str, float]:
    """Bits of each part from where it ends; the frame is what is left: first bytes, checksum, rounding, filling."""
    parts, before = {}, 0.0
    for name, end in ends.items():
        parts[name], before = end - before, end
    return {**parts, "frame": 8 * size - before}
