"""A packed network in C for devices: a header with its tables and one source, ``device.c``. Loads no torch.

Weights lie filter by filter: input channel, tap and code in three bytes or two. What multiplies the integer sums, and the
biases, are fixed-point numbers of ``FRACTION`` binary places in 64 bits, so that rounding stays some 2^-30 from the reference
runtime's doubles: the spikes are the same unless a membrane is as near to the threshold as that. Pixels are bytes; what
normalisation makes of each of the 256 is a table. Scores are integer sums: the reference's times a constant.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from importlib import resources

import numpy as np

from litesnn.checks import InputError
from litesnn.export.file_layout import alive_ends
from litesnn.export.packed import Packed
from litesnn.export.trim import trim

FRACTION, PIXEL_FRACTION = 36, 28
_NO_CHANNEL = 65535


@dataclass(frozen=True, kw_only=True)
class CFiles:
    """Texts of header and source, and bytes of tables (flash, without code) and of spikes (RAM, without stack)."""

    header: str
    source: str
    table_bytes: int
    ram_bytes: int


def c_files(packed: Packed, header_name: str) -> CFiles:
    """The network as C.

    Raises:
        InputError: its inputs are no images of bytes, or its numbers are too large for the fixed-point ones.
    """
    packed, alive = trim(packed)
    plan, recipe = packed.plan, packed.recipe
    ends, channels = alive_ends(plan, alive), [int(marks.sum()) for marks in alive]
    first, inputs, taps, scales = [0], list[int](), list[int](), list[int]()
    layers, reads = list[str](), list[int]()
    for index, (layer, (outputs, kept)) in enumerate(zip(plan.layers, ends, strict=True)):
        codes = packed.codes[index][outputs][:, kept]
        layers.append(
            f"{{{layer.kernel}, {layer.stride}, {layer.in_size[0]}, {layer.in_size[1]}, "
            f"{(1 << layer.bits) - 1}, {len(reads)}, {len(first) - 1}}}"
        )
        reads += layer.reads
        for values in codes:
            channel, dy, dx = np.nonzero(values)
            code = (values[channel, dy, dx].astype(int) + (1 << layer.bits) - 1) >> 1
            inputs += channel.tolist()
            taps += ((dy * layer.kernel + dx) << 4 | code).tolist()
            first.append(len(inputs))
        if index < len(packed.scale):
            scales += _fixed(packed.steps[index].astype(np.float64) / 2 * packed.scale[index][outputs])
    rows, skips, skip_channels, bias, spikes = list[str](), list[str](), list[int](), list[int](), 0
    for row, marks, count in zip(plan.rows, alive, channels, strict=True):
        rows.append(
            f"{{{count}, {row.size[0]}, {row.size[1]}, {row.layers[0] if row.layers else 0}, {len(row.layers)}, "
            f"{len(skips)}, {len(row.skips)}, {spikes}, {len(bias)}}}"
        )
        for source in row.skips:
            skips.append(f"{{{source}, {len(skip_channels)}}}")
            place = np.where(alive[source], np.cumsum(alive[source]) - 1, _NO_CHANNEL)
            skip_channels += place[marks].tolist()
        bias += _fixed(packed.bias[len(rows) - 1][marks])
        spikes += plan.timesteps * count * row.size[0] * row.size[1]
    decay = Fraction(repr(plan.tau)).limit_denominator(4096)
    tables: Mapping[str, Sequence[object]] = {
        "uint8_t lsnn_tap": taps,
        f"{'uint8_t' if max([0, *inputs]) < 256 else 'uint16_t'} lsnn_input": inputs,
        f"{'uint16_t' if first[-1] < 65536 else 'uint32_t'} lsnn_first": first,
        "int64_t lsnn_scale": scales,
        "int64_t lsnn_bias": bias,
        "int32_t lsnn_pixel": _pixels(packed),
        "uint16_t lsnn_reads": reads,
        "uint16_t lsnn_skip_channel": skip_channels,
        "lsnn_layer_t lsnn_layers": layers,
        "lsnn_row_t lsnn_rows": rows,
        "lsnn_skip_t lsnn_skips": skips,
    }
    constants = {
        "TIMESTEPS": plan.timesteps,
        "CLASSES": recipe.classes,
        "LAYERS": len(layers),
        "ROWS": len(rows),
        "SPIKE_BYTES": -(-spikes // 8) or 1,
        "FRACTION": FRACTION,
        "PIXEL_FRACTION": PIXEL_FRACTION,
        "THRESHOLD": f"INT64_C({_fixed(np.array([plan.v_threshold]))[0]})",
        "DECAY_NUMERATOR": decay.numerator,
        "DECAY_DENOMINATOR": decay.denominator,
    }
    size = {
        "uint8_t": 1,
        "uint16_t": 2,
        "int32_t": 4,
        "uint32_t": 4,
        "int64_t": 8,
        "lsnn_layer_t": 20,
        "lsnn_row_t": 24,
    }
    return CFiles(
        header=_HEADER.format(
            classes=", ".join(map(_comment, packed.classes)),
            shape=" x ".join(map(str, recipe.input_shape)),
            constants="\n".join(f"#define LSNN_{name} {value}" for name, value in constants.items()),
            tables="\n".join(_table(name, values) for name, values in tables.items()),
        ),
        source=resources.files(__package__).joinpath("device.c").read_text("utf-8").replace("@HEADER@", header_name),
        table_bytes=sum(size.get(name.split()[0], 8) * len(values) for name, values in tables.items()),
        ram_bytes=-(-spikes // 8),
    )


_HEADER = """/* Made by litesnn export. Classes: {classes}. Input: {shape} bytes (channels x height x width). */
#ifndef LSNN_H
#define LSNN_H
#include <stdint.h>

{constants}

/* The class of one image, and a score for each. */
int lsnn_classify(const uint8_t *pixels, int32_t *scores);

/* Spikes of the last image, one bit each: per row [timestep, channel, height, width]. */
extern uint8_t lsnn_spikes[LSNN_SPIKE_BYTES];

typedef struct {{ uint8_t kernel, stride; uint16_t height, width; int16_t offset; uint16_t reads; uint32_t filter; }} lsnn_layer_t;
typedef struct {{ uint16_t channels, height, width; uint16_t layer, layers, skip, skips; uint32_t spikes, bias; }} lsnn_row_t;
typedef struct {{ uint16_t row, first; }} lsnn_skip_t;

{tables}
#endif
"""


def _table(name: str, values: Sequence[object]) -> str:
    body = ", ".join(f"INT64_C({v})" if name.startswith("int64") else str(v) for v in values) or "0"
    return f"static const {name}[] = {{{body if not name.startswith('lsnn_skip_t') or values else '{0, 0}'}}};"


def _fixed(values: np.ndarray) -> list[int]:
    return [round(value * (1 << FRACTION)) for value in _normal(values).tolist()]


def _normal(values: np.ndarray) -> np.ndarray:
    """Values that leave room in 64 bits for sums of thousands of them."""
    if values.size and np.abs(values).max() >= 16:
        raise InputError(f"model: expected scales and biases below 16 for C, got {np.abs(values).max():g}")
    return values


def _pixels(packed: Packed) -> list[int]:
    """What each byte of each channel is after normalisation, in single precision as the trained network reads it."""
    channels = packed.recipe.input_shape[0]
    if packed.mean.shape != (channels, 1, 1) or packed.std.shape != (channels, 1, 1) or channels not in (1, 3):
        raise InputError("model: expected a network of images for C, got one of other inputs")
    levels = np.arange(256, dtype=np.float32) / np.float32(255)
    values = ((levels - packed.mean[:, :, 0]) / packed.std[:, :, 0]).astype(np.float64)
    if np.abs(values).max() >= 7.9:
        raise InputError(f"model: expected normalised pixels below 7.9 for C, got {np.abs(values).max():g}")
    return [round(value * (1 << PIXEL_FRACTION)) for value in values.ravel().tolist()]


def _comment(name: str) -> str:
    """Text that cannot end a comment."""
    return "".join(c for c in name if c.isalnum() or c in " _-.") or "?"
