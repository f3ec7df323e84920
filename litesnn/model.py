"""A trained network with all that is needed to use it, kept in one safetensors file."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from litesnn.checks import InputError
from litesnn.config import Recipe
from litesnn.files import write_bytes
from litesnn.genotype import Genotype
from litesnn.network import Network

FORMAT = "litesnn-1"


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

    def save(self, path: Path) -> None:
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
        write_bytes(path, save(tensors, metadata))

    @classmethod
    def load(cls, path: Path, device: torch.device) -> Model:
        """Reads what ``save`` wrote.

        Raises:
            InputError: no such file, damaged, or not a model of this program.
        """
        try:
            with safe_open(path, framework="pt", device=str(device)) as file:
                metadata = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a dict)
        except OSError as error:
            raise InputError(f"model: expected a readable file, got {path} ({error.strerror or error})") from None
        except SafetensorError as error:
            raise InputError(f"model: expected a safetensors file, got {path} ({error})") from None
        if metadata.get("format") != FORMAT:
            raise InputError(f"model: expected format {FORMAT}, got {metadata.get('format')!r} in {path}")
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
        network = Network(recipe, recipe.retrain_channels, recipe.classes, genotype.p, genotype).to(device)
        prefix = "network."
        network.load_state_dict({k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)})
        network.eval()
        return cls(
            network=network,
            genotype=genotype,
            recipe=recipe,
            classes=classes,
            mean=tensors["input.mean"],
            std=tensors["input.std"],
            rates=rates,
        )
