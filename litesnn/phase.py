"""What a search and a retraining have in common: epochs, records, checkpoints, divergence."""

from __future__ import annotations

import math
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from litesnn.checkpoint import check_identity, load_checkpoint, save_checkpoint
from litesnn.checks import LARGEST_SEED, InputError, check_integer
from litesnn.config import Recipe
from litesnn.cost import DerivedCost
from litesnn.data.batches import train_batches
from litesnn.data.dataset import Dataset
from litesnn.objective import DivergedError
from litesnn.step_graph import CudaGraph, Step, StepGraph, wanted

OnBatch = Callable[[int, int, int], None]
"""Called after every batch with (epochs finished, batches done in this epoch, batches in this epoch)."""


@dataclass(frozen=True, kw_only=True)
class EpochRecord:
    """One epoch of one phase.

    Args:
        phase: ``search`` or ``retrain``.
        epoch: from 1.
        epochs: how many the phase has.
        loss: mean training loss; in the search that of the second pass.
        val_accuracy: percent of the validation split, of the supernet at T* or of the retrained network.
        model_size_bits: of the network that this is, or that decoding now would give (Eq. 18).
        file_bits: of its packed file, about.
        size_bits: whichever of both the recipe means by size.
        bit_synops: of the same network, per sample, from spike rates on the validation split.
        timesteps: T* of the same network.
        seconds: duration of the epoch with its evaluation.
        core_seconds: processor time of this process in the epoch, all its threads together.
        timestep_shares: softmax(psi), the share of each number of timesteps from 1; None outside the search.
        inherited_accuracy: percent of the validation split, of the network that decoding now would give with the supernet's weights.
        alpha_entropy: mean entropy of softmax(alpha), 1 where all candidates count alike; None where alpha is given. So for beta, psi.
        alpha_margin: mean of the largest share less the second; likewise.
    """

    phase: str
    epoch: int
    epochs: int
    loss: float
    val_accuracy: float
    model_size_bits: int
    bit_synops: float
    timesteps: int
    seconds: float
    timestep_shares: list[float] | None = None
    file_bits: int | None = None
    size_bits: int | None = None
    core_seconds: float | None = None
    inherited_accuracy: float | None = None
    alpha_entropy: float | None = None
    alpha_margin: float | None = None
    beta_entropy: float | None = None
    beta_margin: float | None = None
    psi_entropy: float | None = None
    psi_margin: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON, without those that are None."""
        return {name: value for name, value in asdict(self).items() if value is not None}


class Phase(ABC):
    """A resumable training run; ``run_epoch`` until ``done``.

    An epoch draws all its randomness from (seed, phase, epoch), so a resumed run repeats what an undisturbed one does.

    Args:
        recipe: the recipe.
        dataset: its data, already on the device.
        seed: seed of initial values, shuffling and augmentation.
        device: where to train.
    """

    name: ClassVar[str]
    step: Step
    weights: list[Tensor]
    scores: list[Tensor]

    def __init__(self, recipe: Recipe, dataset: Dataset, *, seed: int, device: torch.device) -> None:
        check_integer("seed", seed, minimum=0, maximum=LARGEST_SEED)
        self.recipe, self.dataset, self.seed, self.device = recipe, dataset, seed, device
        self.records: list[EpochRecord] = []

    @property
    @abstractmethod
    def epochs(self) -> int:
        """How many epochs the run has."""

    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """Plain values that a checkpoint must share with this run to be continued by it."""

    @abstractmethod
    def _train_epoch(self, generator: torch.Generator, on_batch: OnBatch) -> float:
        """Trains for one epoch and returns the mean loss."""

    @abstractmethod
    def _assess(self) -> tuple[float, DerivedCost, int]:
        """Validation accuracy in percent, cost and timesteps of the network as it is."""

    @abstractmethod
    def _parts(self) -> Mapping[str, nn.Module | torch.optim.Optimizer]:
        """Everything that has state to be kept."""

    @abstractmethod
    def _scheduled(self) -> Sequence[torch.optim.Optimizer]:
        """Those optimizers whose learning rate changes within an epoch."""

    def stepper(self) -> Step:
        """What takes the steps of one epoch: ``step``, or its graph where that is wanted."""
        if not wanted(self.device):
            return self.step
        optimizers = [part for part in self._parts().values() if isinstance(part, torch.optim.Optimizer)]
        return StepGraph(self.step, CudaGraph(self.device), optimizers, self._scheduled())

    def _inside(self) -> dict[str, Any]:
        """Fields of the epoch's record that this phase alone has."""
        return {}

    def _batches(
        self, batch_size: int, generator: torch.Generator, *, use_cutout: bool, members: Tensor | None = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """One pass over the training split, or over its ``members``, in the present epoch, as ``train_batches`` gives it."""
        return train_batches(
            self.dataset,
            self.dataset.train,
            batch_size,
            self.recipe,
            generator,
            use_cutout=use_cutout,
            drop_last=True,
            seed=self.seed,
            epoch=self.epoch,
            members=members,
        )

    @property
    def epoch(self) -> int:
        """Epochs finished."""
        return len(self.records)

    @property
    def done(self) -> bool:
        """Whether all epochs are finished."""
        return self.epoch >= self.epochs

    def run_epoch(self, on_batch: OnBatch = lambda epoch, done, batches: None) -> EpochRecord:
        """Trains and assesses one epoch.

        Raises:
            DivergedError: the loss became NaN or infinite.
            InputError: a step does not fit into the GPU's memory, or a batch has a single value per channel.
        """
        started, worked = time.perf_counter(), time.process_time()
        phase_index = ("search", "retrain").index(self.name)
        generator = torch.Generator().manual_seed((2 * self.seed + phase_index) * 100_003 + self.epoch)
        try:
            with self._within_memory():
                loss = self._train_epoch(generator, on_batch)
        except ValueError as error:
            if "more than 1 value per channel" not in str(error):
                raise
            raise InputError(
                f"{self.name}_batch: expected more than one value per channel for batch norm, got a batch of one sample "
                "at one timestep on a feature map of one pixel"
            ) from None
        if not math.isfinite(loss):
            raise DivergedError(f"the loss became {loss} in {self.name} epoch {self.epoch + 1}")
        # The last step comes after the last loss.
        modules = [part for part in self._parts().values() if isinstance(part, nn.Module)]
        if not all_finite([parameter for module in modules for parameter in module.parameters()]):
            raise DivergedError(f"a parameter became infinite in {self.name} epoch {self.epoch + 1}")
        with self._within_memory():
            accuracy, cost, timesteps = self._assess()
            inside = self._inside()
        record = EpochRecord(
            phase=self.name,
            epoch=self.epoch + 1,
            epochs=self.epochs,
            loss=loss,
            val_accuracy=accuracy,
            model_size_bits=cost.model_size_bits,
            bit_synops=cost.bit_synops,
            timesteps=timesteps,
            seconds=time.perf_counter() - started,
            core_seconds=time.process_time() - worked,
            file_bits=cost.file_bits,
            size_bits=cost.file_bits if self.recipe.size == "file" else cost.model_size_bits,
            **inside,
        )
        self.records.append(record)
        return record

    @contextmanager
    def _within_memory(self) -> Iterator[None]:
        """Says in one line that a GPU's memory does not suffice."""
        try:
            yield
        except torch.OutOfMemoryError as error:
            wanted = re.search(r"Tried to allocate [\d.]+ \w+", str(error))
            raise InputError(
                f"{self.name}_batch: expected a step that fits into the GPU's memory, got none in {self.name} epoch "
                f"{self.epoch + 1} ({wanted[0] if wanted else 'out of memory'}); fewer samples, channels or timesteps "
                "need less, and --gpus-per-trial gives a trial more of a GPU"
            ) from None

    def save(self, path: Path) -> None:
        """Writes a checkpoint after the last finished epoch."""
        save_checkpoint(
            path,
            {
                "phase": self.name,
                "identity": self.identity(),
                "records": [record.to_dict() for record in self.records],
                "parts": {name: part.state_dict() for name, part in self._parts().items()},
            },
        )

    def load(self, path: Path) -> None:
        """Continues from a checkpoint.

        Raises:
            InputError: it cannot be read, or belongs to another phase, recipe, point, genotype or seed.
        """
        state = load_checkpoint(path)
        wanted = {"phase": self.name, **self.identity()}
        identity = state.get("identity")
        if not isinstance(identity, dict):
            raise InputError(f"checkpoint: expected one of a search or a retraining, got another in {path}")
        check_identity({"phase": state.get("phase"), **identity}, wanted)
        try:
            for name, part in self._parts().items():
                part.load_state_dict(state["parts"][name])
            self.records = [EpochRecord(**record) for record in state["records"]]
        except (KeyError, TypeError, ValueError, RuntimeError):
            raise InputError(f"checkpoint: expected a complete one, got parts that do not fit in {path}") from None


def all_finite(tensors: list[Tensor]) -> bool:
    """Whether no entry of any tensor is NaN or infinite."""
    return bool(torch.stack([tensor.detach().isfinite().all() for tensor in tensors]).all())


def complete(
    run: Phase,
    checkpoint: Path | None,
    on_epoch: Callable[[EpochRecord], None] | None,
    on_batch: OnBatch | None,
) -> None:
    """Runs all epochs that are left, from ``checkpoint`` if that file exists, and keeps it up to date."""
    if checkpoint is not None and checkpoint.exists():
        run.load(checkpoint)
    while not run.done:
        record = run.run_epoch(on_batch or (lambda epoch, done, batches: None))
        if checkpoint is not None:
            run.save(checkpoint)
        if on_epoch is not None:
            on_epoch(record)
