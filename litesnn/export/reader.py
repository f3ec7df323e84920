"""Reads a packed file as ``writer`` writes it. docs/export.md has the format.

Sizes come first, so that they are held against the bytes of the file before anything is made of them.
"""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from litesnn.config import Recipe
from litesnn.export.coder import Decoder, Tree
from litesnn.export.file_layout import (
    BEYOND,
    DATASETS,
    FREE,
    GROUPED,
    INPUT_SKIPS,
    LARGEST_LAYER,
    PRECISIONS,
    RATE_UNIT,
    RESIZES,
    SILENT,
    VERSIONS,
    Marks,
    Numbers,
    alive_ends,
    code_decimal,
    code_text,
    least_bytes,
    read_pairs,
)
from litesnn.export.masks import Masks
from litesnn.export.packed import Floats, Packed
from litesnn.export.plan import Plan, make_plan
from litesnn.operations import OPERATIONS, PRIMITIVES

_LARGEST_SIZE = 2**31
_MOST_NODES, _MOST_CELLS = 64, 64
_FLOAT_MAX = float(np.finfo(np.float32).max)


def parse(content: bytes) -> Packed:
    """A network from the bytes of its file.

    Raises:
        ValueError: no such file.
    """
    if len(content) < 10 or content[4] not in VERSIONS:
        raise ValueError(
            f"format {VERSIONS[0]} to {VERSIONS[-1]} expected, not {content[4] if len(content) > 4 else 'nothing'}"
        )
    if zlib.crc32(content[:-4]) != int.from_bytes(content[-4:], "little"):
        raise ValueError("the checksum is another one: the file is damaged")
    coder, room = Decoder(content[5:-4]), len(content) - 9
    beyond = content[4] >= FREE + BEYOND
    fields, genotype = _header(coder, room, grouped=content[4] - BEYOND * beyond == GROUPED, beyond=beyond)
    fields["dataset"], classes = _names(coder, fields["classes"])
    recipe = Recipe.from_dict(fields)
    plan = make_plan(recipe, genotype)
    if least_bytes(plan) > room or max(layer.dense_weights for layer in plan.layers) > LARGEST_LAYER:
        raise ValueError(f"{plan.weights} weights in {len(content)} bytes")
    mean, std = _statistics(coder, recipe.input_shape), _statistics(coder, recipe.input_shape)
    if not (std > 0).all():
        raise ValueError("a deviation of inputs that is not above 0")
    rates = [coder.bits(16) for _ in range(len(plan.rows) * plan.timesteps)]
    alive = [_alive(coder, row.channels) for row in plan.rows]
    ends = alive_ends(plan, alive)
    codes = _codes(coder, plan, genotype["p"], ends, room)
    steps, scale = _factors(coder, plan, codes, ends)
    bias = _biases(coder, plan, alive)
    return Packed(
        recipe=recipe,
        genotype=genotype,
        classes=classes,
        codes=tuple(codes),
        steps=steps,
        scale=scale,
        bias=bias,
        mean=mean,
        std=std,
        rates=(np.array(rates) / RATE_UNIT).astype(np.float32).reshape(len(plan.rows), plan.timesteps),
    )


def _header(coder: Decoder, room: int, *, grouped: bool, beyond: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    """Fields of the recipe, without the data set's name, and the genotype."""
    *shape, classes, channels, nodes, cells, timesteps = (coder.integer() for _ in range(8))
    if max(*shape, channels, classes, timesteps) > _LARGEST_SIZE or nodes > _MOST_NODES or cells > _MOST_CELLS:
        raise ValueError("sizes beyond every network's")
    if 2 * timesteps * (1 + cells * nodes) > room or classes > 8 * room:
        raise ValueError(f"{timesteps} timesteps and {classes} classes in {room} bytes")
    widths, bits = [1], []
    for _ in range(cells):
        widths.append(widths[-1] << coder.bits(1))
        bits.append(1 + coder.bits(2))
    stem, classifier = 1 + coder.bits(2), 1 + coder.bits(2)
    pairs = [
        [[coder.uniform(node + 2), OPERATIONS[coder.bits(1 + beyond)]] for _ in range(2)] for node in range(nodes)
    ]  # an input's number first, then its operation
    used = {operation for edges in pairs for _, operation in edges} - set(PRIMITIVES)
    if beyond and not used:
        raise ValueError("a version for other operations than it has")
    skip, precision = INPUT_SKIPS[coder.bits(1)], PRECISIONS[coder.bits(1)]
    mask_n = coder.integer() if grouped else 0
    if grouped and not mask_n:
        raise ValueError("N:M masks without an N")
    p, tau, threshold, val_fraction, test_fraction = (code_decimal(coder) for _ in range(5))
    fields = {
        "input_shape": shape,
        "classes": classes,
        "val_fraction": val_fraction,
        "test_fraction": test_fraction,
        "split_seed": coder.integer(),
        "logit_scale": code_decimal(coder),
        "resize": RESIZES[coder.bits(1)],
        "widths": widths[1:],
        "nodes": nodes,
        "search_channels": channels,
        "retrain_channels": channels,
        "operations": [op for op in OPERATIONS if op in PRIMITIVES or op in used],
        "input_skip": skip,
        "mask_n": mask_n,
        "stem_bits": stem,
        "classifier_bits": classifier,
        "timesteps": timesteps,
        "tau": tau,
        "v_threshold": threshold,
        "precision": precision,
        "bit_widths": sorted(set(bits)),
        **{"aux_cell": 0, "crop_padding": 0},  # of training, at values that every network allows
    }
    return fields, {"nodes": pairs, "bits": bits, "timesteps": timesteps, "p": p}


def _names(coder: Decoder, classes: int) -> tuple[str, tuple[str, ...]]:
    """Names of the data set and of the classes."""
    number = coder.integer()
    if number >= len(DATASETS):
        raise ValueError("a data set of another version")
    dataset = DATASETS[number] or code_text(coder).decode("utf-8", "surrogatepass")
    if not coder.bits(1):
        return dataset, tuple(map(str, range(classes)))
    return dataset, tuple(code_text(coder).decode("utf-8", "surrogatepass") for _ in range(classes))


def _statistics(coder: Decoder, whole: tuple[int, ...]) -> Floats:
    shape = [size if coder.bits(1) else 1 for size in whole]
    numbers = Numbers()
    return _floats([numbers.code(coder) for _ in range(int(np.prod(shape, dtype=object)))]).reshape(shape)


def _alive(coder: Decoder, channels: int) -> Marks:
    removed = coder.integer()
    if removed > channels:
        raise ValueError("more channels removed than there are")
    return np.frombuffer(coder.mask(bytes(channels), channels - removed), np.bool_)


def _codes(coder: Decoder, plan: Plan, p: float, ends: list[tuple[Marks, Marks]], room: int) -> list[NDArray[np.int8]]:
    """Codes per layer ``[O, I, K, K]``, 0 for channels that are not there."""
    masks = Masks(plan, p, ends)
    kept = masks.code_counts(coder)
    if masks.least_bits() > 8 * room:
        raise ValueError(f"{sum(kept)} kept weights in {room} bytes")
    marks = masks.code_marks(coder)
    codes = []
    trees = {bits: Tree(bits) for bits in range(1, 5)}
    for layer, mark, count, both in zip(plan.layers, marks, kept, ends, strict=True):
        indices = coder.tree(trees[layer.bits], range(count))
        values = np.frombuffer(mark, np.int8).copy()
        values[values != 0] = 2 * np.array(indices, np.int8) - ((1 << layer.bits) - 1)
        whole = np.zeros(layer.shape, np.int8)
        whole[read_pairs(layer, *both)] = values.reshape(-1, layer.kernel, layer.kernel)
        codes.append(whole)
    return codes


def _factors(
    coder: Decoder, plan: Plan, codes: list[NDArray[np.int8]], ends: list[tuple[Marks, Marks]]
) -> tuple[Floats, tuple[Floats, ...]]:
    """Steps, and scales of all layers but the last."""
    numbers, steps, scales = Numbers(), [], []
    for layer, values, (outputs, _) in zip(plan.layers, codes, ends, strict=True):
        filters = (values[outputs] != 0).any((1, 2, 3))
        steps.append(numbers.code(coder) if filters.any() else 1.0)
        scale = np.zeros(layer.outputs, np.float32)
        if layer is not plan.layers[-1]:
            places = np.flatnonzero(outputs)[filters]
            scale[places] = _floats([numbers.code(coder) for _ in places])
            scales.append(scale)
    if min(steps) <= 0:
        raise ValueError("a step that is not above 0")
    return _floats(steps), tuple(scales)


def _biases(coder: Decoder, plan: Plan, alive: list[Marks]) -> tuple[NDArray[np.float64], ...]:
    numbers, biases = Numbers(), []
    for row, marks in zip(plan.rows, alive, strict=True):
        bias = np.full(row.channels, SILENT if row.layers else 0.0)
        if row.layers:
            bias[marks] = [numbers.code(coder) for _ in range(int(marks.sum()))]
            _floats(bias.tolist())
        biases.append(bias)
    return tuple(biases)


def _floats(values: list[float]) -> Floats:
    if values and max(map(abs, values)) > _FLOAT_MAX:
        raise ValueError("a number beyond single precision")
    return np.array(values, np.float32)
