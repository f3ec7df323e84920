"""Networks on the Hugging Face Hub, through the mixin of ``huggingface_hub``; ``pip install 'litesnn[hub]'``.

``TrainedNetwork.save_pretrained`` and ``from_pretrained`` come here, so that nothing else waits for that library.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from litesnn.checks import InputError, user_path
from litesnn.data.sources import one_line
from litesnn.export.card import model_card
from litesnn.loading import load
from litesnn.trained import TrainedNetwork

try:
    from huggingface_hub import ModelCard, ModelHubMixin, hf_hub_download
except ImportError:
    raise InputError(
        "hub: expected huggingface_hub to be installed, got none; try: pip install 'litesnn[hub]'"
    ) from None

WEIGHTS, PACKED = "model.safetensors", "model.lsnn"


class _Shared(ModelHubMixin, library_name="litesnn"):
    """A network between the library and the Hub.

    Args:
        network: what is shared.
    """

    def __init__(self, network: TrainedNetwork) -> None:
        self.network = network

    def _save_pretrained(self, save_directory: Path) -> None:
        model = self.network.model
        replace(model, recipe=model.recipe.without_folders()).save(save_directory / WEIGHTS)
        self.network.save(save_directory / PACKED)

    def generate_model_card(self, *args: Any, **facts: Any) -> ModelCard:
        """The card of every export, of the packed file."""
        packed, known = self.network.packed, {**self.network.facts, **facts}
        recipe = None if self.network.from_packed else self.network.recipe
        return ModelCard(model_card(packed, recipe, known, PACKED, "lsnn", len(packed.to_bytes())))

    @classmethod
    def _from_pretrained(cls, *, model_id: str, device: str = "cpu", **options: Any) -> _Shared:
        if Path(model_id).is_dir():
            return cls(load(model_id, device=device))
        return cls(load(hf_hub_download(model_id, WEIGHTS, **options), device=device))


def save_pretrained(network: TrainedNetwork, folder: str | Path, **options: Any) -> None:
    """See ``TrainedNetwork.save_pretrained``."""
    config = {"genotype": json.loads(network.genotype.to_json()), "recipe": network.recipe.without_folders().to_dict()}
    path = user_path("folder", folder)
    try:
        _Shared(network).save_pretrained(path, config={**config, "classes": list(network.classes)}, **options)
    except OSError as error:
        raise InputError(f"folder: expected a path that can be written, got {path} ({one_line(error)})") from None


def from_pretrained(name: str | Path, device: str, **options: Any) -> TrainedNetwork:
    """See ``TrainedNetwork.from_pretrained``."""
    place = user_path("model", name)
    where = str(place) if place.is_dir() else str(name)
    try:
        return _Shared.from_pretrained(where, device=device, **options).network
    except InputError:
        raise
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
    ) as error:  # of the network, the name or config.json
        raise InputError(
            f"model: expected a folder or a repository of the Hub, got {where} ({one_line(error)})"
        ) from None
