"""The packed file ``.lsnn``: a network as a device keeps it, in one safetensors file. Loads no torch.

Tensors: ``codes`` and ``positions`` (see ``bits``), per layer the quantisation ``steps``, per output channel of all
layers but the classifier ``scale`` and ``bias``, what inputs are normalised with (``mean``, ``std``) and the
``rates`` of spikes that energy is counted with. Metadata: what shapes the network, its genotype, the class names, and
a checksum of everything. docs/export.md has the format byte by byte.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import save

from litesnn.checks import InputError
from litesnn.config import Recipe
from litesnn.export.bits import pack_codes, pack_positions, unpack_codes, unpack_positions
from litesnn.export.plan import Plan, make_plan
from litesnn.files import write_bytes

FORMAT = "lsnn-1"
LARGEST_FILE = 2**30
_WEIGHTS_PER_BYTE = 4096  # a network pruned to 99.9 % has some 700 weights per byte of its file
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
_OF_TRAINING = {"aux_cell": 0, "crop_padding": 0, "search_dataset": "", "search_classes": 0}
"""Recipe fields that a shipped network has no use for, at values that every network allows."""

Floats = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, eq=False)
class Packed:
    """A network with compressed weights and folded batch norm.

    Args:
        recipe: its fields about data and network; the others are defaults.
        genotype: plain values, see ``make_plan``.
        classes: class names in the order of the logits.
        codes: per layer of the plan int8 ``[O, I, K, K]``: odd, from -(2^b - 1) to 2^b - 1, and 0 where pruned. A
            weight is code / 2 * step.
        steps: one per layer.
        scale: per layer but the last ``[O]``: what batch norm multiplies with.
        bias: likewise: what it adds.
        mean: of inputs, broadcastable to ``[C, H, W]``.
        std: likewise.
        rates: spike rates of the validation split, ``[rows, T]``.
    """

    recipe: Recipe
    genotype: Mapping[str, Any]
    classes: tuple[str, ...]
    codes: tuple[NDArray[np.int8], ...]
    steps: Floats
    scale: tuple[Floats, ...]
    bias: tuple[Floats, ...]
    mean: Floats
    std: Floats
    rates: Floats

    @property
    def plan(self) -> Plan:
        """Its layers and rows."""
        return make_plan(self.recipe, self.genotype)

    @property
    def kept(self) -> tuple[int, ...]:
        """Kept weights per layer."""
        return tuple(int(np.count_nonzero(codes)) for codes in self.codes)

    def weight(self, layer: int, kind: type[np.floating] = np.float32) -> NDArray[Any]:
        """The layer's weights ``[O, I, K, K]``; in single precision as the trained network multiplies them."""
        return (self.codes[layer].astype(kind) / 2) * self.steps[layer].astype(kind)

    def positions(self) -> tuple[str, NDArray[np.uint8]]:
        """Where the kept weights of all layers are, one layer after another: form and bytes, see ``bits``."""
        return pack_positions(np.concatenate([codes.ravel() for codes in self.codes]) != 0)

    def to_bytes(self) -> bytes:
        """The file."""
        layers = self.plan.layers
        bits = [layer.bits for layer in layers]
        flat = [codes.ravel() for codes in self.codes]
        kept = [
            ((c[c != 0].astype(np.int16) + (1 << b) - 1) >> 1).astype(np.uint8) for c, b in zip(flat, bits, strict=True)
        ]
        form, positions = self.positions()
        tensors: dict[str, NDArray[Any]] = {
            "codes": pack_codes(kept, bits),
            "positions": positions,
            "steps": self.steps,
            "scale": np.concatenate(self.scale),
            "bias": np.concatenate(self.bias),
            "mean": self.mean,
            "std": self.std,
            "rates": self.rates,
        }
        metadata = {
            "format": FORMAT,
            "network": _compact(_network_fields(self.recipe)),
            "genotype": _compact(dict(self.genotype)),
            "classes": _compact(list(self.classes)),
            "form": form,
            "kept": str(sum(map(len, kept))),
        }
        content = {name: np.ascontiguousarray(tensors[name], kind) for name, kind in _TENSORS.items()}
        return _ordered(save(content, metadata | {"crc32": _checksum(metadata, content)}))

    def write(self, path: Path) -> int:
        """Writes the file atomically and returns its size in bytes."""
        content = self.to_bytes()
        write_bytes(path, content)
        return len(content)


def read_packed(path: Path) -> Packed:
    """Reads what ``Packed.write`` wrote; memory stays in proportion to the file.

    Raises:
        InputError: no such file, damaged, or not a packed network.
    """
    try:
        size = path.stat().st_size
        if size > LARGEST_FILE:
            raise InputError(f"model: expected a file of at most {LARGEST_FILE} bytes, got {size} in {path}")
        with safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT:
                raise InputError(f"model: expected format {FORMAT}, got {str(metadata.get('format'))[:40]!r} in {path}")
            if set(file.keys()) != set(_TENSORS) or set(metadata) != set(_METADATA):
                raise InputError(f"model: expected the parts of a packed network, got others in {path}")
            tensors = {name: file.get_tensor(name) for name in _TENSORS}
    except OSError as error:
        raise InputError(f"model: expected a readable file, got {path} ({error.strerror or error})") from None
    except InputError:
        raise
    except Exception as error:  # the reader names kinds of tensors that NumPy lacks by whatever error it meets
        raise InputError(f"model: expected a safetensors file, got {path} ({_line(error)})") from None
    if metadata["crc32"] != _checksum({k: v for k, v in metadata.items() if k != "crc32"}, tensors):
        raise InputError(f"model: expected an undamaged file, got another checksum in {path}")
    try:
        return _build(metadata, tensors, size)
    except (ValueError, TypeError, KeyError, RecursionError, OverflowError) as error:
        raise InputError(
            f"model: expected a complete one, got parts that do not fit in {path} ({_line(error)})"
        ) from None


def _build(metadata: dict[str, str], tensors: dict[str, NDArray[Any]], size: int) -> Packed:
    for name, kind in _TENSORS.items():
        array = tensors[name]
        if array.dtype != kind or (array.ndim != 1 and name not in ("mean", "std", "rates")):
            raise ValueError(f"{name} is no list of {np.dtype(kind).name}")
        if kind is np.float32 and not np.isfinite(array).all():
            raise ValueError(f"{name} is not finite")
    stored = json.loads(metadata["network"])
    if not isinstance(stored, dict) or not set(stored) <= set(_network_names()):
        raise ValueError("network: no object of fields about the network")
    channels = stored.get("retrain_channels", Recipe.retrain_channels)
    recipe = Recipe.from_dict({**_OF_TRAINING, **stored, "search_channels": channels})
    genotype = json.loads(metadata["genotype"])
    if not isinstance(genotype, dict) or set(genotype) != {"nodes", "bits", "timesteps", "p"}:
        raise ValueError("genotype: no object with nodes, bits, timesteps and p")
    plan = make_plan(recipe, genotype)
    classes = json.loads(metadata["classes"])
    if not isinstance(classes, list) or len(classes) != recipe.classes or not all(isinstance(c, str) for c in classes):
        raise ValueError("class names of another network")
    if plan.weights > size * _WEIGHTS_PER_BYTE:
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
    return Packed(
        recipe=recipe,
        genotype=genotype,
        classes=tuple(classes),
        codes=_codes(metadata, tensors, plan),
        steps=tensors["steps"],
        scale=tuple(np.split(tensors["scale"], ends)),
        bias=tuple(np.split(tensors["bias"], ends)),
        mean=tensors["mean"],
        std=tensors["std"],
        rates=tensors["rates"],
    )


def _codes(metadata: dict[str, str], tensors: dict[str, NDArray[Any]], plan: Plan) -> tuple[NDArray[np.int8], ...]:
    kept = int(metadata["kept"]) if metadata["kept"].isdecimal() and len(metadata["kept"]) < 12 else -1
    if not 0 <= kept <= min(plan.weights, 8 * len(tensors["codes"])):
        raise ValueError("another number of kept weights")
    mask = unpack_positions(metadata["form"], tensors["positions"], kept, plan.weights)
    masks = np.split(mask, np.cumsum([layer.weights for layer in plan.layers])[:-1])
    bits = [layer.bits for layer in plan.layers]
    found = unpack_codes(tensors["codes"], [int(m.sum()) for m in masks], bits)
    layers = []
    for layer, layer_mask, codes in zip(plan.layers, masks, found, strict=True):
        dense = np.zeros(layer.weights, np.int8)
        dense[layer_mask] = 2 * codes.astype(np.int8) - ((1 << layer.bits) - 1)
        layers.append(dense.reshape(layer.shape))
    return tuple(layers)


def _network_names() -> list[str]:
    """Recipe fields that a packed file may hold."""
    names = [field.name for field in fields(Recipe) if field.metadata["group"] in ("data", "network")]
    return [
        name
        for name in names
        if name not in ("search_channels", "bit_widths", "horizontal_flip", "cutout", *_OF_TRAINING)
    ]


def _network_fields(recipe: Recipe) -> dict[str, Any]:
    """Those that differ from their default; of a folder only its name, since the path is nobody else's business."""
    values, defaults = recipe.to_dict(), Recipe().to_dict()
    found = {name: values[name] for name in _network_names() if values[name] != defaults[name]}
    if str(found.get("dataset", "")).startswith("folder:"):
        found["dataset"] = f"folder:{Path(found['dataset'].removeprefix('folder:')).name or 'data'}"
        found["resize"] = values["resize"]  # said in any case: what own images go through is part of the network
    return found


def _ordered(content: bytes) -> bytes:
    """The same safetensors file with its metadata in order, so that equal networks are equal files."""
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    metadata = dict(sorted(header.pop("__metadata__").items()))
    text = _compact({"__metadata__": metadata, **header}).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + content[8 + length :]


def _fits(shape: tuple[int, ...], whole: tuple[int, ...]) -> bool:
    """Whether an array of ``shape`` can be broadcast to ``whole``."""
    return len(shape) == len(whole) and all(part in (1, full) for part, full in zip(shape, whole, strict=True))


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _checksum(metadata: Mapping[str, str], tensors: Mapping[str, NDArray[Any]]) -> str:
    """CRC-32 of names and contents, in the order of the names."""
    crc = 0
    for name in sorted(metadata):
        crc = zlib.crc32(f"{name}\0{metadata[name]}\0".encode("utf-8", "surrogatepass"), crc)
    for name in sorted(tensors):
        array = tensors[name]
        crc = zlib.crc32(f"{name}\0{array.dtype.name}\0{array.shape}\0".encode(), crc)
        crc = zlib.crc32(array.tobytes(), crc)
    return f"{crc:08x}"


def _line(error: BaseException) -> str:
    return (" ".join(str(error).split()) or type(error).__name__)[:200]
