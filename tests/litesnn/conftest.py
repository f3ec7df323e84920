"""A data set and recipes so small that a whole search takes a fraction of a second."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from litesnn.config import Recipe
from litesnn.data.dataset import Dataset, Split
from litesnn.genotype import Genotype


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny tensors run slower on several threads than on one, a hundred times so where cores are shared."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def tiny_recipe() -> Callable[..., Recipe]:
    """Builds the recipe that fits ``tiny_dataset``, with some fields replaced."""

    def build(**overrides: Any) -> Recipe:
        fields: dict[str, Any] = {
            "dataset": "folder:tiny",
            "input_shape": (1, 6, 6),
            "classes": 3,
            "crop_padding": 1,
            "horizontal_flip": True,
            "cutout": 2,
            "widths": (1, 2),
            "nodes": 2,
            "search_channels": 4,
            "retrain_channels": 6,
            "timesteps": 2,
            "search_epochs": 3,
            "search_batch": 8,
            "psi_warmup_epochs": 1,
            "alpha_lr": 0.01,
            "beta_lr": 0.01,
            "score_lr": 0.01,
            "retrain_epochs": 3,
            "retrain_batch": 8,
            "aux_cell": 1,
        }
        return Recipe(**{**fields, **overrides})

    return build


@pytest.fixture
def tiny_genotype() -> Genotype:
    """A derived network of ``tiny_recipe`` with both operations and two bit-widths."""
    return Genotype(
        nodes=(((0, "conv3x3"), (1, "skip")), ((1, "conv3x3"), (2, "skip"))), bits=(2, 1), timesteps=2, p=50
    )


@pytest.fixture
def tiny_dataset() -> Dataset:
    """24 + 12 + 12 noisy images of 3 classes; a class is the row that is bright. No two images are equal."""
    generator = torch.Generator().manual_seed(7)

    def split(count: int) -> Split:
        labels = torch.arange(count) % 3
        pixels = torch.randint(0, 120, (count, 1, 6, 6), generator=generator)
        pixels[torch.arange(count), 0, 2 * labels] += 130
        return Split(pixels.to(torch.uint8), labels)

    return Dataset.build("tiny", ("a", "b", "c"), split(24), split(12), split(12))
