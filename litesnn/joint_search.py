"""The differentiable search: joint optimisation of weights, alpha, beta, masks and psi (Sec. 3.4), or of some of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from litesnn.checks import fail
from litesnn.config import Recipe, SearchPoint
from litesnn.cost import CostModel, DerivedCost, derived_cost
from litesnn.data import load
from litesnn.data.batches import batch_count
from litesnn.data.dataset import Dataset
from litesnn.data.split import halves
from litesnn.device import check_device
from litesnn.evaluate import evaluate
from litesnn.expected import with_expected_bits
from litesnn.genotype import Genotype
from litesnn.held import Held
from litesnn.inside import decisions, inherited_accuracy
from litesnn.narrow import fits, load_weights, narrowed
from litesnn.network import ArchParameters, Network, Shares
from litesnn.objective import search_loss
from litesnn.phase import EpochRecord, OnBatch, Phase, complete
from litesnn.training import learning_rate, scores_and_weights, set_learning_rate, weight_optimizer


@dataclass(frozen=True)
class SearchResult:
    """The decoded network, the record of every epoch, and the supernet's weights, from which another search can start."""

    genotype: Genotype
    records: list[EpochRecord]
    weights: Mapping[str, Tensor]


class Search(Phase):
    """A resumable search for one point.

    Every iteration takes one batch: forward, backward, step the weights; forward again with the new weights, backward,
    step alpha, beta, scores and psi. Both passes use the whole loss.

    Args:
        point: lambda1, lambda2 and p.
        recipe: the recipe.
        dataset: ``load(recipe, searching=True)``.
        seed: seed of initial values, shuffling and augmentation.
        device: where to train; the data must be there.
        held: what is given instead of being learnt.
        start: weights of an earlier search of the same recipe that held the same nodes or none; None for random ones.

    Raises:
        InputError: ``held`` or ``start`` does not fit the recipe, or its strategy is none with a search.
    """

    name: ClassVar[str] = "search"

    def __init__(
        self,
        point: SearchPoint,
        recipe: Recipe,
        dataset: Dataset,
        *,
        seed: int = 0,
        device: torch.device,
        held: Held = Held(),  # noqa: B008  # frozen
        start: Mapping[str, Tensor] | None = None,
    ) -> None:
        recipe = recipe.at(point)
        if recipe.strategy != "darts":
            raise fail("strategy", "darts to go with a search", recipe.strategy)
        super().__init__(recipe, dataset, seed=seed, device=device)
        held.check_fits(recipe)
        self.point, self.held = point, held
        self.timesteps = held.timesteps or recipe.timesteps
        classes = recipe.searched_classes
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            whole = Network(recipe, recipe.search_channels, classes, point.p, None)
            self.arch = ArchParameters(recipe).to(device)
        if start is not None and fits(whole, start):
            load_weights(whole, start)
            start = None
        self.network = whole
        if held.nodes is not None or held.bits is not None:
            # What is not chosen need not be computed.
            self.network = Network(
                recipe, recipe.search_channels, classes, point.p, None, nodes=held.nodes, bits=held.bits
            )
            load_weights(self.network, narrowed(whole, self.network))
        if start is not None:
            load_weights(self.network, start)
        self.network.to(device)
        with torch.no_grad():  # once: what is held never changes
            given = held.shares(self.arch.shares(), recipe)
        names = {"ops": held.nodes, "bits": held.bits, "timesteps": held.timesteps}
        self._given = {name: getattr(given, name) for name, value in names.items() if value is not None}
        self.cost_model = CostModel(recipe, recipe.search_channels, classes, point.p).to(device)
        scores, self.weights = scores_and_weights(self.network)
        self.scores = scores if point.p and not held.masks else []  # without pruning the scores have no effect
        self.weight_optimizer = weight_optimizer(self.network, recipe, recipe.weight_lr)
        groups: list[dict[str, Any]] = []
        if held.nodes is None:
            groups.append({"params": [self.arch.alpha], "lr": recipe.alpha_lr})
        if held.bits is None:
            groups.append({"params": [self.arch.beta], "lr": recipe.beta_lr})
        if self.scores:
            groups.append({"params": self.scores, "lr": recipe.score_lr})
        self.arch_optimizer = torch.optim.Adam(groups, fused=True) if groups else None
        self.psi_optimizer: torch.optim.SGD | None = None
        if held.timesteps is None:
            self.psi_optimizer = torch.optim.SGD([self.arch.psi], lr=recipe.psi_lr, momentum=recipe.psi_momentum)
        learnt = {id(tensor) for tensor in self.learnt}
        for tensor in [*scores, *self.arch.parameters()]:
            tensor.requires_grad_(id(tensor) in learnt)

    @property
    def learnt(self) -> list[Tensor]:
        """What the second pass of an iteration steps."""
        given = {"alpha": self.held.nodes, "beta": self.held.bits, "psi": self.held.timesteps}
        return [tensor for name, tensor in self.arch.named_parameters() if given[name] is None] + self.scores

    @property
    def epochs(self) -> int:
        """How many epochs the search has."""
        return self.recipe.search_epochs

    def identity(self) -> dict[str, Any]:
        """Recipe, point, seed and what is held."""
        held = self.held.to_dict()
        values = {"recipe": self.recipe.to_dict(), "point": self.point.to_dict(), "seed": self.seed}
        return values | ({"held": held} if held else {})

    def genotype(self) -> Genotype:
        """The network that decoding now gives."""
        decoded = self.held.decoded(self.arch.decode(self.recipe, self.point.p))
        if self.recipe.bit_decoding == "largest" or self.held.bits is not None:
            return decoded
        return with_expected_bits(decoded, self.arch.beta, self.recipe)

    def shares(self) -> Shares:
        """What every candidate counts now."""
        return replace(self.arch.shares(), **self._given)

    def _parts(self) -> Mapping[str, nn.Module | torch.optim.Optimizer]:
        parts: dict[str, nn.Module | torch.optim.Optimizer | None] = {
            "network": self.network,
            "arch": self.arch,
            "weight_optimizer": self.weight_optimizer,
            "arch_optimizer": self.arch_optimizer,
            "psi_optimizer": self.psi_optimizer,
        }
        return {name: part for name, part in parts.items() if part is not None}

    def _scheduled(self) -> Sequence[torch.optim.Optimizer]:
        return [self.weight_optimizer]

    def _loss(self, x: Tensor, labels: Tensor, *, with_cost: bool) -> Tensor:
        shares = self.shares()
        output = self.network(x, self.timesteps, shares, measure_rates=with_cost)
        cost = None
        if output.rates is not None:
            cost = self.cost_model(shares, output.rates if self.recipe.rate_gradient else output.rates.detach())
        return search_loss(output.logits, labels, shares.timesteps, cost, self.point, self.recipe)

    def _learn(self, learning: list[Tensor], fixed: list[Tensor]) -> None:
        """Chooses what the next pass computes gradients of; the rest costs nothing."""
        for tensor in learning:
            tensor.requires_grad_(True)
        for tensor in fixed:
            tensor.requires_grad_(False)

    def step(self, x: Tensor, labels: Tensor, arch_x: Tensor, arch_labels: Tensor) -> Tensor:
        """One iteration.

        Args:
            x: batch of the first pass, ``[B, C, H, W]``; labels ``[B]``.
            labels: its labels.
            arch_x: batch of the second pass.
            arch_labels: its labels.

        Returns:
            The loss of the second pass, of the first where nothing but weights is learnt; a scalar on the device.
        """
        learnt = self.learnt
        self._learn(self.weights, learnt)
        self.weight_optimizer.zero_grad()
        # The cost depends on the weights through the spike rates alone: without their gradient it is a constant here.
        loss = self._loss(x, labels, with_cost=self.recipe.rate_gradient)
        loss.backward()
        loss = loss.detach()  # the graph goes, with what its nodes keep, before the second pass needs memory
        nn.utils.clip_grad_norm_(self.weights, self.recipe.grad_clip)
        self.weight_optimizer.step()
        if not learnt:
            return loss

        self._learn(learnt, self.weights)
        for tensor in learnt:
            tensor.grad = None
        loss = self._loss(arch_x, arch_labels, with_cost=True)
        loss.backward()
        if self.arch_optimizer is not None:
            self.arch_optimizer.step()
        if self.psi_optimizer is not None and self.epoch >= self.recipe.psi_warmup_epochs:
            self.psi_optimizer.step()
        return loss.detach()

    def _train_epoch(self, generator: torch.Generator, on_batch: OnBatch) -> float:
        recipe = self.recipe
        members, held_out = self._halves if recipe.arch_batch == "held_out" else (None, None)
        arch_batches = self._endless(held_out, generator)
        self.network.train()
        step = self.stepper()
        total: Tensor | float = 0.0
        samples = len(self.dataset.train) if members is None else len(members)
        batches = batch_count(samples, recipe.search_batch, drop_last=True)
        done = 0
        for x, labels in self._pass(members, generator):
            progress = (self.epoch + done / batches) / self.epochs
            rate = learning_rate(recipe, recipe.weight_lr, recipe.weight_lr_min, progress)
            set_learning_rate(self.weight_optimizer, rate)
            arch = (x, labels) if recipe.arch_batch == "same" else next(arch_batches)
            total = total + step(x, labels, *arch)
            done += 1
            on_batch(self.epoch, done, batches)
        return float(total) / done

    def _endless(self, members: Tensor | None, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches of pass after pass: one half may hold a batch less than the other."""
        while True:
            yield from self._pass(members, generator)

    def _pass(self, members: Tensor | None, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        return self._batches(self.recipe.search_batch, generator, use_cutout=False, members=members)

    @cached_property
    def _halves(self) -> tuple[Tensor, Tensor]:
        """Which training samples the first pass of an iteration gets and which the second; indices on the device."""
        labels = self.dataset.train.labels
        first, second = halves(labels, self.recipe.split_seed)
        return first.to(labels.device), second.to(labels.device)

    def _inside(self) -> dict[str, Any]:
        with torch.no_grad():
            shares = self.shares()
        choices = {"alpha": shares.ops, "beta": shares.bits, "psi": shares.timesteps}
        given = {"alpha": self.held.nodes, "beta": self.held.bits, "psi": self.held.timesteps}
        learnt = {name: share for name, share in choices.items() if given[name] is None and share.shape[-1] > 1}
        genotype = self.genotype()
        return {
            "timestep_shares": [round(share, 6) for share in shares.timesteps.tolist()],
            "inherited_accuracy": inherited_accuracy(self.network, shares, genotype, self.recipe, self.dataset),
            **decisions(learnt),
        }

    def _assess(self) -> tuple[float, DerivedCost, int]:
        self.network.eval()
        genotype = self.genotype()
        with torch.no_grad():
            shares = self.shares()
        result = evaluate(
            lambda x: self.network(x, self.timesteps, shares, measure_rates=True),
            self.dataset,
            self.dataset.val,
            genotype.timesteps,
        )
        return result.accuracy, derived_cost(genotype, self.recipe, result.rates), genotype.timesteps


def search(
    point: SearchPoint,
    recipe: Recipe,
    *,
    dataset: Dataset | None = None,
    data_root: str | None = None,
    download: bool = False,
    seed: int = 0,
    device: str = "cpu",
    held: Held = Held(),  # noqa: B008  # frozen
    start: Mapping[str, Tensor] | None = None,
    checkpoint: Path | None = None,
    on_epoch: Callable[[EpochRecord], None] | None = None,
    on_batch: OnBatch | None = None,
) -> SearchResult:
    """Searches a network for one point.

    Args:
        point: lambda1, lambda2 and p.
        recipe: everything else.
        dataset: data in memory, of the recipe's input shape and number of classes; loaded by the recipe if None.
        data_root: where data sets lie; None for the user's cache.
        download: whether a missing data set may be downloaded.
        seed: seed of initial values, shuffling and augmentation.
        device: ``cpu``, ``cuda``, ``cuda:N`` or ``auto``.
        held: parts of the network that are given instead of being learnt.
        start: ``SearchResult.weights`` of an earlier search of the same recipe, which held the same nodes or none; None
            for random weights.
        checkpoint: file that is written after every epoch and continued from if it exists.
        on_epoch: called with every record.
        on_batch: called after every batch, see ``OnBatch``.

    Raises:
        InputError: bad data, device or checkpoint, or ``held`` or ``start`` do not fit the recipe.
        DivergedError: the loss became NaN or infinite.
    """
    chosen = check_device(device)
    if dataset is None:
        dataset = load(recipe, data_root=data_root, download=download, device=chosen, searching=True)
    else:
        dataset.check_fits(recipe, recipe.searched_classes)
        dataset = dataset.to(chosen)
    run = Search(point, recipe, dataset, seed=seed, device=chosen, held=held, start=start)
    complete(run, checkpoint, on_epoch, on_batch)
    return SearchResult(genotype=run.genotype(), records=run.records, weights=run.network.state_dict())
