"""Evaluation against a loop over samples."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from litesnn.config import Recipe
from litesnn.data.dataset import Dataset
from litesnn.evaluate import evaluate
from litesnn.genotype import Genotype
from litesnn.network import Network, Output


@pytest.mark.parametrize("batch_size", [1, 5, 12, 100])
@pytest.mark.parametrize("timesteps", [1, 2])
def test_accuracy_and_rates_do_not_depend_on_the_batches(
    tiny_recipe: Callable[..., Recipe],
    tiny_genotype: Genotype,
    tiny_dataset: Dataset,
    batch_size: int,
    timesteps: int,
) -> None:
    torch.manual_seed(1)
    network = Network(tiny_recipe(), 6, 3, 50, tiny_genotype).eval()
    split = tiny_dataset.val

    def forward(x: Tensor) -> Output:
        return network(x, 2, measure_rates=True)

    got = evaluate(forward, tiny_dataset, split, timesteps, batch_size)
    correct, rates = 0, torch.zeros(5, 2)
    for image, label in zip(split.inputs, split.labels, strict=True):
        pixels = (image.float() / 255 - tiny_dataset.mean) / tiny_dataset.std
        with torch.no_grad():
            output = forward(pixels[None])
        scores = [sum(output.logits[t, 0, k].item() for t in range(timesteps)) for k in range(3)]
        correct += scores.index(max(scores)) == int(label)
        assert output.rates is not None
        rates += output.rates / len(split)
    assert got.accuracy == pytest.approx(100 * correct / 12)
    torch.testing.assert_close(got.rates, rates, rtol=1e-5, atol=1e-6)


def test_only_the_first_timesteps_vote(tiny_dataset: Dataset) -> None:
    # Three outputs: the first is right, the later ones insist on something wrong.
    labels = iter(tiny_dataset.test.labels.split(5))

    def forward(x: Tensor) -> Output:
        right = torch.nn.functional.one_hot(next(labels), 3).float()
        wrong = 5 * right.roll(1, dims=1)
        return Output(logits=torch.stack([right, wrong, wrong]), rates=torch.zeros(1, 3))

    assert evaluate(forward, tiny_dataset, tiny_dataset.test, 1, 5).accuracy == 100
    labels = iter(tiny_dataset.test.labels.split(5))
    assert evaluate(forward, tiny_dataset, tiny_dataset.test, 2, 5).accuracy == 0
