"""The paper's CIFAR-10 recipe as published, an epoch of each phase on random images: it must not rot."""

import math

import pytest
import torch

from litesnn.config import Recipe, SearchPoint
from litesnn.data.dataset import Dataset, Split
from litesnn.joint_search import Search
from litesnn.retraining import Retrain

CPU = torch.device("cpu")


def random_images(recipe: Recipe, train: int) -> Dataset:
    generator = torch.Generator().manual_seed(3)

    def split(count: int) -> Split:
        pixels = torch.randint(0, 256, (count, *recipe.input_shape), generator=generator, dtype=torch.uint8)
        return Split(pixels, torch.arange(count) % recipe.classes)

    names = tuple(map(str, range(recipe.classes)))
    return Dataset.build("random", names, split(train), split(10), split(10))


@pytest.mark.slow
def test_an_epoch_of_search_and_of_retraining() -> None:
    recipe = Recipe.preset("cifar10")
    dataset = random_images(recipe, train=max(recipe.search_batch, recipe.retrain_batch))
    searched = Search(SearchPoint.named("medium"), recipe, dataset, device=CPU)
    record = searched.run_epoch()
    assert (record.epochs, recipe.retrain_epochs) == (50, 200)
    assert record.timestep_shares == pytest.approx([1 / 6] * 6, abs=1e-5)  # psi rests for five epochs
    assert math.isfinite(record.loss) and record.loss > 0

    retrained = Retrain(searched.genotype(), recipe, dataset, device=CPU)
    record = retrained.run_epoch()
    assert math.isfinite(record.loss) and record.epochs == 200
    # 8 cells of 4 nodes with two edges each, 80 % pruned; at least the stem, an edge of every node and the classifier
    # are convolutions. The spikes of real images cost more than nothing.
    assert record.model_size_bits > 0 and record.bit_synops > 0
    kept = sum(int((conv.compressed_weight(None) != 0).sum()) for conv in _convs(retrained))
    every = sum(conv.weight.numel() for conv in _convs(retrained))
    assert kept / every == pytest.approx(0.2, abs=1e-4)


def _convs(run: Retrain) -> list[torch.nn.Module]:
    return [module for module in run.network.modules() if hasattr(module, "compressed_weight")]
