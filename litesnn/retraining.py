"""Retraining a genotype from scratch with its T*, its bits and its pruning rate (Sec. 3.4, 4.1)."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from litesnn.additions import additions_per_sample
from litesnn.checks import InputError
from litesnn.config import Recipe
from litesnn.cost import DerivedCost, derived_cost
from litesnn.data import load
from litesnn.data.batches import batch_count
from litesnn.data.dataset import Dataset, Split
from litesnn.device import check_device
from litesnn.evaluate import Evaluation, evaluate
from litesnn.export.convert import pack_exactly
from litesnn.export.plan import make_plan
from litesnn.export.sizes import estimated_bits
from litesnn.genotype import Genotype
from litesnn.inference import freeze
from litesnn.model import Model
from litesnn.network import Network, Output
from litesnn.objective import retrain_loss
from litesnn.phase import EpochRecord, OnBatch, Phase, complete
from litesnn.training import (
    learning_rate,
    scores_and_weights,
    set_learning_rate,
    weight_optimizer,
)


@dataclass(frozen=True)
class RetrainResult:
    """The finished network.

    Args:
        model: the network, ready to save.
        records: the record of every epoch.
        val_accuracy: percent of the validation split after the last epoch.
        test_accuracy: percent of the test split, read once.
        cost: counts, with the spikes of the validation split.
    """

    model: Model
    records: list[EpochRecord]
    val_accuracy: float
    test_accuracy: float
    cost: DerivedCost


class Retrain(Phase):
    """A resumable retraining of one genotype.

    Args:
        genotype: what to train.
        recipe: the recipe it was searched with, or one of the same cells and nodes.
        dataset: ``load(recipe)``.
        seed: seed of initial values, shuffling and augmentation.
        device: where to train; the data must be there.
        start: weights to start from, of a network of the same cell, width and p; None: initial values.

    Raises:
        InputError: the weights are those of another network.
    """

    name: ClassVar[str] = "retrain"

    def __init__(
        self,
        genotype: Genotype,
        recipe: Recipe,
        dataset: Dataset,
        *,
        seed: int = 0,
        device: torch.device,
        start: Network | None = None,
    ) -> None:
        genotype.check_fits(recipe)
        super().__init__(recipe, dataset, seed=seed, device=device)
        self.genotype = genotype
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.network = Network(
                recipe, recipe.retrain_channels, recipe.classes, genotype.p, genotype, auxiliary=True
            ).to(device)
        if start is not None:
            start_from(self.network, start)
        scores, self.weights = scores_and_weights(self.network)
        self.scores = scores if genotype.p else []
        self.weight_optimizer: torch.optim.Optimizer = weight_optimizer(self.network, recipe, recipe.retrain_lr)
        self.score_optimizer: torch.optim.Optimizer | None = None
        if self.scores:
            self.score_optimizer = torch.optim.Adam(self.scores, lr=recipe.score_lr, fused=True)

    @property
    def epochs(self) -> int:
        """How many epochs the retraining has."""
        return self.recipe.retrain_epochs

    def identity(self) -> dict[str, Any]:
        """Recipe, genotype and seed."""
        genotype = json.loads(self.genotype.to_json())
        return {"recipe": self.recipe.to_dict(), "genotype": genotype, "seed": self.seed}

    def _parts(self) -> Mapping[str, nn.Module | torch.optim.Optimizer]:
        parts: dict[str, nn.Module | torch.optim.Optimizer] = {
            "network": self.network,
            "weight_optimizer": self.weight_optimizer,
        }
        if self.score_optimizer is not None:
            parts["score_optimizer"] = self.score_optimizer
        return parts

    def _scheduled(self) -> Sequence[torch.optim.Optimizer]:
        return [each for each in (self.weight_optimizer, self.score_optimizer) if each is not None]

    def step(self, x: Tensor, labels: Tensor) -> Tensor:
        """One iteration on ``x`` ``[B, C, H, W]`` and its labels; returns the loss, a scalar on the device."""
        self.weight_optimizer.zero_grad()
        if self.score_optimizer is not None:
            self.score_optimizer.zero_grad()
        loss = retrain_loss(self.network(x, self.genotype.timesteps), labels, self.recipe)
        loss.backward(inputs=[*self.weights, *self.scores])
        nn.utils.clip_grad_norm_(self.weights, self.recipe.grad_clip)
        self.weight_optimizer.step()
        if self.score_optimizer is not None:
            self.score_optimizer.step()
        return loss.detach()

    def evaluate(self, split: Split, *, count_spikes: bool = False) -> Evaluation:
        """Accuracy and spike rates of the network as it is, and every neuron's spikes if they are asked for."""
        frozen, timesteps = freeze(self.network.eval()), self.genotype.timesteps

        def forward(x: Tensor) -> Output:
            return frozen(x, timesteps, measure_rates=True, count_spikes=count_spikes)

        return evaluate(forward, self.dataset, split, timesteps)

    def finish(self) -> RetrainResult:
        """The result; the one place that reads the test split."""
        validation = self.evaluate(self.dataset.val, count_spikes=True)
        plan = make_plan(self.recipe, json.loads(self.genotype.to_json()))
        counted = additions_per_sample(self.network, plan, validation)
        return RetrainResult(
            model=self._model(validation.rates),
            records=self.records,
            val_accuracy=validation.accuracy,
            test_accuracy=self.evaluate(self.dataset.test).accuracy,
            cost=derived_cost(self.genotype, self.recipe, validation.rates, counted),
        )

    def _train_epoch(self, generator: torch.Generator, on_batch: OnBatch) -> float:
        recipe, size = self.recipe, self.recipe.retrain_batch
        self.network.train()
        step = self.stepper()
        total: Tensor | float = 0.0
        batches = batch_count(len(self.dataset.train), size, drop_last=True)
        done = 0
        for x, labels in self._batches(size, generator, use_cutout=True):
            progress = (self.epoch + done / batches) / self.epochs
            set_learning_rate(self.weight_optimizer, learning_rate(recipe, recipe.retrain_lr, 0.0, progress))
            if self.score_optimizer is not None:  # the masks must come to rest with the weights
                set_learning_rate(self.score_optimizer, learning_rate(recipe, recipe.score_lr, 0.0, progress))
            total = total + step(x, labels)
            done += 1
            on_batch(self.epoch, done, batches)
        return float(total) / done

    def _assess(self) -> tuple[float, DerivedCost, int]:
        result = self.evaluate(self.dataset.val)
        cost = derived_cost(self.genotype, self.recipe, result.rates)
        with contextlib.suppress(InputError):  # of a network that diverges there is no file
            cost = replace(cost, file_bits=estimated_bits(pack_exactly(self._model(result.rates))))
        return result.accuracy, cost, self.genotype.timesteps

    def _model(self, rates: Tensor) -> Model:
        return Model(
            network=self.network,
            genotype=self.genotype,
            recipe=self.recipe,
            classes=self.dataset.classes,
            mean=self.dataset.mean,
            std=self.dataset.std,
            rates=rates,
        )


def start_from(network: Network, start: Network) -> None:
    """Gives ``network`` the parameters and statistics of ``start``; they do not depend on bits and T. No file has auxiliary heads.

    Raises:
        InputError: the weights are those of another network.
    """
    given = start.state_dict()
    kept = {name: value for name, value in network.state_dict().items() if name.startswith("auxiliary.")}
    try:
        network.load_state_dict({**kept, **given})
    except RuntimeError:
        raise InputError(
            "start: expected weights of the same cell, width and classes, got those of another network"
        ) from None


def retrain(
    genotype: Genotype,
    recipe: Recipe,
    *,
    dataset: Dataset | None = None,
    data_root: str | None = None,
    download: bool = False,
    seed: int = 0,
    device: str = "cpu",
    checkpoint: Path | None = None,
    on_epoch: Callable[[EpochRecord], None] | None = None,
    on_batch: OnBatch | None = None,
    start: Network | None = None,
) -> RetrainResult:
    """Trains a genotype and tests it once.

    Args:
        genotype: what to train.
        recipe: everything else.
        dataset: data in memory, of the recipe's input shape and number of classes; loaded by the recipe if None.
        data_root: where data sets lie; None for the user's cache.
        download: whether a missing data set may be downloaded.
        seed: seed of initial values, shuffling and augmentation.
        device: ``cpu``, ``cuda``, ``cuda:N`` or ``auto``.
        checkpoint: file that is written after every epoch and continued from if it exists.
        on_epoch: called with every record.
        on_batch: called after every batch, see ``OnBatch``.
        start: weights to start from, of a network of the same cell, width and p; None: initial values.

    Raises:
        InputError: the genotype does not fit the recipe; bad data, device, checkpoint or weights.
        DivergedError: the loss became NaN or infinite.
    """
    chosen = check_device(device)
    genotype.check_fits(recipe)
    if dataset is None:
        dataset = load(recipe, data_root=data_root, download=download, device=chosen)
    else:
        dataset.check_fits(recipe)
        dataset = dataset.to(chosen)
    run = Retrain(genotype, recipe, dataset, seed=seed, device=chosen, start=start)
    complete(run, checkpoint, on_epoch, on_batch)
    return run.finish()
