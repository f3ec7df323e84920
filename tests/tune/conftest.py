"""A recipe whose trial takes about a second, and its data."""

import pytest
import torch

from litesnn import Recipe
from tune.trials.shared_data import Arrays, load_arrays

TINY = {
    "widths": (1, 2),
    "search_channels": 4,
    "retrain_channels": 4,
    "timesteps": 2,
    "search_epochs": 2,
    "retrain_epochs": 3,
    "search_batch": 100,
    "retrain_batch": 100,
}


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def recipe() -> Recipe:
    return Recipe.preset("digits", **TINY)


@pytest.fixture(scope="session")
def data(recipe: Recipe) -> dict[str, Arrays]:
    return load_arrays(recipe, None, False)
