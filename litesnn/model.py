"""A trained network with all that is needed to use it, kept in one safetensors file."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor

from litesnn.checks import InputError, user_path
from litesnn.config import Recipe
from litesnn.edge_norm import EdgeNorm
from litesnn.files import write_bytes
from litesnn.genotype import Genotype
from litesnn.layout import conv_shapes
from litesnn.network import Network

FORMAT = "litesnn-2"
_FORMAT_WITHOUT_SUM = "litesnn-1"
_METADATA = {"format", "genotype", "recipe", "classes"}


@dataclass(frozen=True, kw_only=True)
class Model:
    """A retrained network and what using it takes.

    Args:
        network: in evaluation mode.
        genotype: what it was built from.
        recipe: likewise.
        classes: class names in the order of the logits.
        mean: what inputs are normalised with, broadcastable to ``[C, H, W]``.
        std: likewise.
        rates: spike rates on the validation split, ``[rows, T]``, for costs and energy.
    """

    network: Network
    genotype: Genotype
    recipe: Recipe
    classes: tuple[str, ...]
    mean: Tensor
    std: Tensor
    rates: Tensor

    def save(self, path: str | Path) -> None:
        """Writes the model atomically; the auxiliary head is left out."""
        tensors = {
            f"network.{name}": tensor
            for name, tensor in self.network.state_dict().items()
            if not name.startswith("auxiliary.")
        }
        tensors |= {"input.mean": self.mean, "input.std": self.std, "rates": self.rates}
        tensors = {name: tensor.contiguous() for name, tensor in tensors.items()}
        metadata = {
            "format": FORMAT,
            "genotype": self.genotype.to_json(),
            "recipe": json.dumps(self.recipe.to_dict()),
            "classes": json.dumps(self.classes),
        }
        total = _checksum(save(tensors, metadata))
        write_bytes(user_path("path", path), save(tensors, {**metadata, "crc32": total}))

    @classmethod
    def load(cls, path: Path, device: torch.device) -> Model:
        """Reads what ``save`` wrote, now or in an earlier version, which wrote no checksum.

        Raises:
            InputError: no such file, damaged, or not a model of this program.
        """
        try:
            content = path.read_bytes()
            tensors, metadata = load(content), _header(content).get("__metadata__", {})
        except OSError as error:
            raise InputError(f"model: expected a readable file, got {path} ({error.strerror or error})") from None
        except Exception as error:  # of types of tensors that torch lacks the library raises whatever it meets
            raise InputError(f"model: expected a safetensors file, got {path} ({error})") from None
        if metadata.get("format") not in (FORMAT, _FORMAT_WITHOUT_SUM):
            raise InputError(f"model: expected format {FORMAT}, got {metadata.get('format')!r} in {path}")
        summed = {"crc32"} if metadata["format"] == FORMAT else set()
        if set(metadata) != _METADATA | summed or (summed and metadata["crc32"] != _checksum(content)):
            raise InputError(f"model: expected an undamaged file, got another checksum in {path}")
        try:
            return cls._build(metadata, tensors, device)
        except (KeyError, IndexError, TypeError, RuntimeError, ValueError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise InputError(
                f"model: expected a complete one, got parts that do not fit in {path} ({reason})"
            ) from None

    @classmethod
    def _build(cls, metadata: dict[str, str], tensors: dict[str, Tensor], device: torch.device) -> Model:
        recipe = Recipe.from_dict(json.loads(metadata["recipe"]))
        genotype = Genotype.from_json(metadata["genotype"])
        genotype.check_fits(recipe)
        classes = tuple(map(str, json.loads(metadata["classes"])))
        rates = tensors["rates"]
        if len(classes) != recipe.classes or rates.shape != (1 + recipe.cells * recipe.nodes, genotype.timesteps):
            raise ValueError("class names or spike rates of another network")
        weights = sum(layer.weights for layer in conv_shapes(recipe, recipe.retrain_channels, recipe.classes, genotype))
        if 2 * weights > sum(tensor.numel() for tensor in tensors.values()):  # each has a score as well
            raise ValueError(f"{weights} weights in a file of fewer")
        network = Network(recipe, recipe.retrain_channels, recipe.classes, genotype.p, genotype).to(device)
        prefix = "network."
        network.load_state_dict({k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)})
        for module in network.modules():
            if isinstance(module, EdgeNorm):
                module.refold()
        network.eval()
        return cls(
            network=network,
            genotype=genotype,
            recipe=recipe,
            classes=classes,
            mean=tensors["input.mean"].to(device),
            std=tensors["input.std"].to(device),
            rates=rates.to(device),
        )


def _header(content: bytes) -> dict[str, Any]:
    """The JSON header of a safetensors file."""
    header: dict[str, Any] = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    return header


def _checksum(content: bytes) -> str:
    """CRC-32 of a safetensors file: of its header in sorted order, without the checksum itself, then of its tensors."""
    header = _header(content)
    header["__metadata__"] = {k: v for k, v in header.get("__metadata__", {}).items() if k != "crc32"}
    text = json.dumps(header, sort_keys=True).encode()
    return f"{zlib.crc32(memoryview(content)[8 + int.from_bytes(content[:8], 'little') :], zlib.crc32(text)):08x}"
