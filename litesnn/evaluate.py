"""Accuracy, spike rates and spikes over a whole split."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from litesnn.data.batches import eval_batches
from litesnn.data.dataset import Dataset, Split
from litesnn.network import Output

EVAL_BATCH = 256


@dataclass(frozen=True)
class Evaluation:
    """What a split showed.

    Args:
        accuracy: percent.
        rates: spike rates ``[rows, T]``, means over the split.
        samples: how many there were.
        spikes: per row how often each neuron fired, ``[C, H, W]`` in double precision, summed over samples and timesteps;
            None if the network did not count them.
    """

    accuracy: float
    rates: Tensor
    samples: int
    spikes: tuple[Tensor, ...] | None = None


@torch.no_grad()
def evaluate(
    forward: Callable[[Tensor], Output], dataset: Dataset, split: Split, timesteps: int, batch_size: int = EVAL_BATCH
) -> Evaluation:
    """Classifies a split by the mean of the first ``timesteps`` outputs.

    Args:
        forward: the network in evaluation mode: ``[B, C, H, W]`` to an ``Output`` with measured rates; counted
            spikes are those of all its timesteps.
        dataset: its normalisation.
        split: what to classify.
        timesteps: T*.
        batch_size: samples per forward pass; bounds memory, does not change the result.
    """
    correct: Tensor | float = 0.0
    rates: Tensor | float = 0.0
    spikes: tuple[Tensor, ...] | None = None
    for x, labels in eval_batches(dataset, split, batch_size):
        output = forward(x)
        assert output.rates is not None
        correct = correct + (output.logits[:timesteps].mean(0).argmax(-1) == labels).sum()
        rates = rates + output.rates * (len(labels) / len(split))
        if output.spikes is not None:
            more = [row.double() for row in output.spikes]
            spikes = tuple(more if spikes is None else map(torch.add, spikes, more))
    assert isinstance(rates, Tensor)
    return Evaluation(accuracy=100 * float(correct) / len(split), rates=rates, samples=len(split), spikes=spikes)
