"""Fine-tuning: a trained network is trained further, its cell, bits, timesteps and pruning mask as they are."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch

from litesnn.checks import InputError
from litesnn.config import Recipe
from litesnn.data.dataset import Dataset
from litesnn.model import Model
from litesnn.phase import EpochRecord, Phase, complete
from litesnn.retraining import Retrain, RetrainResult
from litesnn.training import scores_and_weights


class FineTune(Retrain):
    """A retraining that starts from a trained network, with Adam and a rate that only falls.

    Adam, since a packed file has batch norm in another form than it was trained in, whose gradients are of another size.

    Args:
        model: the network; it is trained where it is.
        dataset: its data, on the model's device.
        recipe: augmentation, loss, epochs, batch size and learning rate.
        seed: seed of shuffling and augmentation.
    """

    def __init__(self, model: Model, dataset: Dataset, recipe: Recipe, *, seed: int) -> None:
        Phase.__init__(self, recipe, dataset, seed=seed, device=model.mean.device)
        self.genotype, self.network = model.genotype, model.network
        self.scores = []
        self.weights = scores_and_weights(self.network)[1]
        self.weight_optimizer = torch.optim.Adam(self.weights, lr=recipe.retrain_lr)
        self.score_optimizer = None


def fine_tune(
    model: Model,
    dataset: Dataset,
    recipe: Recipe,
    *,
    seed: int = 0,
    on_epoch: Callable[[EpochRecord], None] | None = None,
) -> RetrainResult:
    """Trains a model further, in place, and tests it once.

    Args:
        model: what to train.
        dataset: with the model's classes and input shape.
        recipe: ``retrain_epochs``, ``retrain_lr``, ``retrain_batch``, augmentation and loss.
        seed: seed of shuffling and augmentation.
        on_epoch: called with every record.

    Raises:
        InputError: the data do not fit the model.
        DivergedError: the loss became NaN or infinite.
    """
    dataset.check_fits(model.recipe)
    if dataset.classes != model.classes:
        raise InputError(
            f"dataset: expected the network's classes {', '.join(model.classes)}, got {', '.join(dataset.classes)}"
        )
    known = dataset.to(model.mean.device).with_statistics(model.mean, model.std)
    run = FineTune(model, known, without_schedules(recipe), seed=seed)
    try:
        complete(run, None, on_epoch, None)
        result = run.finish()
    finally:
        model.network.eval()
    return result


def without_schedules(recipe: Recipe) -> Recipe:
    """The recipe without what is for a network that begins: no warm-up."""
    return dataclasses.replace(recipe, warmup_share=0.0)
