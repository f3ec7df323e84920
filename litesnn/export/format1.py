"""Reads packed files of format 1: a safetensors file, before today's format. Loads no torch.

Tensors: ``codes`` and ``positions`` (see ``bits``), per layer the quantisation ``steps``, per output channel of all
layers but the classifier ``scale`` and ``bias``, what inputs are normalised with (``mean``, ``std``) and the
``rates`` of spikes that energy is counted with. Metadata: fields of the recipe that differ from the defaults *of that
time*, which are below and never change, the genotype, the class names, and a checksum of everything.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load

from litesnn.config import Recipe
from litesnn.export.bits import unpack_codes, unpack_positions
from litesnn.export.file_layout import LARGEST_LAYER
from litesnn.export.packed import Packed
from litesnn.export.plan import Plan, make_plan
from litesnn.kept import kept_count

FORMAT = "lsnn-1"
_WEIGHTS_PER_BYTE = 128  # a network pruned to 99 % has some 50 weights per byte of its file
_TENSORS = {
    "codes": np.uint8,
    "positions": np.uint8,
    "steps": np.float32,
    "scale": np.float32,
    "bias": np.float32,
    "mean": np.float32,
    "std": np.float32,
    "rates": np.float32,
}
_METADATA = ("format", "network", "genotype", "classes", "form", "kept", "crc32")
_DEFAULTS: dict[str, Any] = {
    "dataset": "cifar10",
    "input_shape": (3, 32, 32),
    "classes": 10,
    "val_fraction": 0.1,
    "split_seed": 0,
    "widths": (1, 1, 2, 2, 2, 4, 4, 4),
    "nodes": 4,
    "retrain_channels": 144,
    "input_skip": "conv3x3",
    "stem_bits": 4,
    "classifier_bits": 4,
    "timesteps": 6,
    "tau": 0.2,
    "v_threshold": 0.5,
    "dspike_b": 3.0,
    "precision": "fp32",
}
_OF_TRAINING = {"aux_cell": 0, "crop_padding": 0, "search_dataset": "", "search_classes": 0}
"""Recipe fields that a shipped network has no use for, at values that every network allows."""


def parse(content: bytes) -> Packed:
    """A network from the bytes of its file.

    Raises:
        ValueError: no such file.
    """
    try:
        tensors = load(content)
    except SafetensorError as error:
        raise ValueError(f"neither format 2 nor a safetensors file: {error}") from None
    except Exception as error:  # the library answers types of tensors that NumPy lacks by whatever error it meets
        raise ValueError(str(error)) from None
    length = int.from_bytes(content[:8], "little")
    metadata = json.loads(content[8 : 8 + length]).get("__metadata__", {})
    if metadata.get("format") != FORMAT:
        raise ValueError(f"format 2 or {FORMAT} expected, not {str(metadata.get('format'))[:40]!r}")
    if set(tensors) != set(_TENSORS) or set(metadata) != set(_METADATA):
        raise ValueError("other parts than those of a packed network")
    if metadata["crc32"] != checksum({k: v for k, v in metadata.items() if k != "crc32"}, tensors):
        raise ValueError("the checksum is another one: the file is damaged")
    return _build(metadata, tensors, len(content))


def _build(metadata: dict[str, str], tensors: dict[str, NDArray[Any]], size: int) -> Packed:
    for name, kind in _TENSORS.items():
        array = tensors[name]
        if array.dtype != kind or (array.ndim != 1 and name not in ("mean", "std", "rates")):
            raise ValueError(f"{name} is no list of {np.dtype(kind).name}")
        if kind is np.float32 and not np.isfinite(array).all():
            raise ValueError(f"{name} is not finite")
    stored = json.loads(metadata["network"])
    if not isinstance(stored, dict) or not set(stored) <= set(_DEFAULTS):
        raise ValueError("network: no object of fields about the network")
    channels = stored.get("retrain_channels", _DEFAULTS["retrain_channels"])
    recipe = Recipe.from_dict({**_OF_TRAINING, **_DEFAULTS, **stored, "search_channels": channels})
    genotype = json.loads(metadata["genotype"])
    if not isinstance(genotype, dict) or set(genotype) != {"nodes", "bits", "timesteps", "p"}:
        raise ValueError("genotype: no object with nodes, bits, timesteps and p")
    plan = make_plan(recipe, genotype)
    classes = json.loads(metadata["classes"])
    if not isinstance(classes, list) or len(classes) != recipe.classes or not all(isinstance(c, str) for c in classes):
        raise ValueError("class names of another network")
    if plan.weights > size * _WEIGHTS_PER_BYTE or max(layer.weights for layer in plan.layers) > LARGEST_LAYER:
        raise ValueError(f"{plan.weights} weights in a file of {size} bytes")
    for name in ("mean", "std"):
        if not _fits(tensors[name].shape, recipe.input_shape):
            raise ValueError(f"{name} of other inputs")
    if not (tensors["std"] > 0).all():
        raise ValueError("a deviation of inputs that is not above 0")
    if (
        tensors["rates"].shape != (len(plan.rows), plan.timesteps)
        or not ((tensors["rates"] >= 0) & (tensors["rates"] <= 1)).all()
    ):
        raise ValueError("spike rates of another network")
    outputs = [layer.outputs for layer in plan.layers[:-1]]
    if len(tensors["steps"]) != len(plan.layers) or not (tensors["steps"] > 0).all():
        raise ValueError("steps of another network")
    if not len(tensors["scale"]) == len(tensors["bias"]) == sum(outputs):
        raise ValueError("scale or bias of another network")
    ends = np.cumsum(outputs)[:-1]
    bias = np.split(tensors["bias"].astype(np.float64), ends)
    return Packed(
        recipe=recipe,
        genotype=genotype,
        classes=tuple(classes),
        codes=_codes(metadata, tensors, plan, genotype["p"]),
        steps=tensors["steps"],
        scale=tuple(np.split(tensors["scale"], ends)),
        bias=tuple(sum((bias[i] for i in row.layers), np.zeros(row.channels)) for row in plan.rows),
        mean=tensors["mean"],
        std=tensors["std"],
        rates=tensors["rates"],
    )


def _codes(
    metadata: dict[str, str], tensors: dict[str, NDArray[Any]], plan: Plan, p: float
) -> tuple[NDArray[np.int8], ...]:
    kept = int(metadata["kept"]) if metadata["kept"].isdecimal() and len(metadata["kept"]) < 12 else -1
    counts = [kept_count(layer.weights, p) for layer in plan.layers]
    if kept != sum(counts) or kept > 8 * len(tensors["codes"]):
        raise ValueError(f"{sum(counts)} kept weights expected at p = {p:g}, not {metadata['kept'][:20]}")
    mask = unpack_positions(metadata["form"], tensors["positions"], kept, plan.weights)
    masks = np.split(mask, np.cumsum([layer.weights for layer in plan.layers])[:-1])
    for layer, layer_mask, count in zip(plan.layers, masks, counts, strict=True):
        if int(layer_mask.sum()) != count:
            raise ValueError(f"{count} kept weights expected at p = {p:g} in {layer.name}, not {int(layer_mask.sum())}")
    bits = [layer.bits for layer in plan.layers]
    found = unpack_codes(tensors["codes"], counts, bits)
    layers = []
    for layer, layer_mask, codes in zip(plan.layers, masks, found, strict=True):
        dense = np.zeros(layer.weights, np.int8)
        dense[layer_mask] = 2 * codes.astype(np.int8) - ((1 << layer.bits) - 1)
        layers.append(dense.reshape(layer.shape))
    return tuple(layers)


def _fits(shape: tuple[int, ...], whole: tuple[int, ...]) -> bool:
    """Whether an array of ``shape`` can be broadcast to ``whole``."""
    return len(shape) == len(whole) and all(part in (1, full) for part, full in zip(shape, whole, strict=True))


def checksum(metadata: Mapping[str, str], tensors: Mapping[str, NDArray[Any]]) -> str:
    """CRC-32 of names and contents, in the order of the names."""
    crc = 0
    for name in sorted(metadata):
        crc = zlib.crc32(f"{name}\0{metadata[name]}\0".encode("utf-8", "surrogatepass"), crc)
    for name in sorted(tensors):
        array = tensors[name]
        crc = zlib.crc32(f"{name}\0{array.dtype.name}\0{array.shape}\0".encode(), crc)
        crc = zlib.crc32(array.tobytes(), crc)
    return f"{crc:08x}"
