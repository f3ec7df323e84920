"""A digits network that is really trained, with every operation, three bit-widths and p = 80, and its packed file."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import pytest
import torch
from torch import Tensor

import litesnn.cell
import litesnn.network
from litesnn.config import Recipe
from litesnn.data import Dataset, load
from litesnn.export.convert import pack
from litesnn.export.packed import Packed, read_packed
from litesnn.genotype import Genotype
from litesnn.model import Model
from litesnn.network import Output
from litesnn.neuron import lif_of_sum
from litesnn.retraining import retrain

GENOTYPE = Genotype(
    nodes=(((0, "conv3x3"), (1, "skip")), ((1, "conv3x3"), (2, "skip"))), bits=(2, 3, 1), timesteps=3, p=80
)
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Trained:
    """The network, its data, and where its files lie."""

    model: Model
    dataset: Dataset
    x: Tensor
    path: Path
    packed_path: Path

    @property
    def packed(self) -> Packed:
        """From the file: without the channels that make no difference."""
        return read_packed(self.packed_path)

    @property
    def whole(self) -> Packed:
        """With all channels."""
        return pack(self.model)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """``x`` is the whole test set, normalised."""
    recipe = Recipe.preset("digits", retrain_channels=16, retrain_epochs=6)
    dataset = load(recipe)
    result = retrain(GENOTYPE, recipe, dataset=dataset)
    assert result.test_accuracy > 80  # it has learnt: its spikes and masks are no initial values
    folder = tmp_path_factory.mktemp("trained")
    result.model.save(folder / "model.safetensors")
    facts = {"val_accuracy": result.val_accuracy, "test_accuracy": result.test_accuracy}
    facts |= {"lambda1": 1e-6, "lambda2": 1e-9, "p": 80.0, "seed": 0}
    (folder / "result.json").write_text(json.dumps(facts))
    packed_path = folder / "model.lsnn"
    pack(result.model).write(packed_path)
    return Trained(
        result.model, dataset, dataset.normalise(dataset.test.inputs), folder / "model.safetensors", packed_path
    )


@torch.no_grad()
def spikes_of(forward: Callable[[], Output]) -> tuple[list[Tensor], Output]:
    """What every LIF population of a network fires in one pass, ``[T*B, C, H, W]`` each, and the output."""
    seen: list[Tensor] = []

    def watched(*arguments: object) -> Tensor:
        seen.append(lif_of_sum(*arguments))  # type: ignore[arg-type]
        return seen[-1]

    with (
        mock.patch.object(litesnn.network, "lif_of_sum", watched),
        mock.patch.object(litesnn.cell, "lif_of_sum", watched),
    ):
        output = forward()
    return seen, output
