"""A data set in memory: three splits, the class names, and the statistics that normalise its inputs."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from litesnn.checks import InputError, fail
from litesnn.config import Recipe
from litesnn.data.split import stratified_split

STD_FLOOR = 1e-3
"""Smallest standard deviation divided by: a quarter of a grey level, far below what any MFCC coefficient varies by."""


@dataclass(frozen=True, eq=False)  # comparing tensors gives a tensor, not a truth value
class Split:
    """Samples and their classes.

    Args:
        inputs: [n, C, H, W]; uint8 pixels 0..255 of images, or float32 speech features [n, 1, 40, 98].
        labels: int64 [n], indices into ``Dataset.classes``.
    """

    inputs: Tensor
    labels: Tensor

    def __post_init__(self) -> None:
        assert self.inputs.dim() == 4 and self.inputs.dtype in (torch.uint8, torch.float32)
        assert self.labels.shape == (len(self.inputs),) and self.labels.dtype == torch.int64

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, index: Tensor) -> Split:
        """The samples at ``index`` (int64 [m], on any device), as copies."""
        index = index.to(self.labels.device)
        return Split(self.inputs[index], self.labels[index])

    def to(self, device: torch.device | str) -> Split:
        """The same samples on ``device``; this split where they are there already."""
        if self.labels.device == self.inputs.device == torch.device(device):
            return self
        return Split(self.inputs.to(device), self.labels.to(device))


@dataclass(frozen=True, eq=False)
class Dataset:
    """Everything a search or a retraining reads.

    Args:
        name: what the user calls it: ``cifar10``, ``folder:PATH``, ``arrays:NAME``, …
        classes: class names; a label is an index into them.
        train: what the weights are fitted on.
        val: what searches, rungs and selections look at.
        test: read once, for a finished trial.
        mean: float32 [C, 1, 1] on the 0..1 scale (images) or [1, H, 1] (speech: one per MFCC coefficient), of
            ``train`` alone.
        std: like ``mean``, at least ``STD_FLOOR``.
    """

    name: str
    classes: tuple[str, ...]
    train: Split
    val: Split
    test: Split
    mean: Tensor
    std: Tensor

    @classmethod
    def build(cls, name: str, classes: tuple[str, ...], train: Split, val: Split, test: Split) -> Dataset:
        """Joins splits that are final and measures the statistics on ``train``.

        Raises:
            InputError: one of the splits is empty.
        """
        for part, split in (("training", train), ("validation", val), ("test", test)):
            if len(split) == 0:
                raise InputError(f"{name}: expected at least 1 sample in the {part} split, got 0")
        mean, std = statistics(train.inputs)
        return cls(name, classes, train, val, test, mean, std)

    @classmethod
    def hold_out(
        cls, name: str, classes: tuple[str, ...], train: Split, test: Split, *, val_fraction: float, seed: int
    ) -> Dataset:
        """Like ``build`` for data without a validation split of its own: a stratified share of ``train`` becomes one.

        Raises:
            InputError: one of the splits is empty, for ``val`` because every class has a single sample.
        """
        train_index, val_index = stratified_split(train.labels, val_fraction, seed)
        return cls.build(name, classes, train.take(train_index), train.take(val_index), test)

    @classmethod
    def from_arrays(
        cls,
        train: tuple[Any, Any],
        test: tuple[Any, Any] | None = None,
        val: tuple[Any, Any] | None = None,
        *,
        name: str = "own",
        classes: Sequence[str] | None = None,
        features: bool = False,
        val_fraction: float = 0.1,
        test_fraction: float = 0.2,
        seed: int = 0,
    ) -> Dataset:
        """A data set of NumPy arrays or tensors ``(x, y)``; see ``litesnn.data.arrays.from_arrays``, which this is."""
        from litesnn.data.arrays import from_arrays  # builds a ``Dataset``

        return from_arrays(
            train,
            test,
            val,
            name=name,
            classes=classes,
            features=features,
            val_fraction=val_fraction,
            test_fraction=test_fraction,
            seed=seed,
        )

    def recipe(self, preset: str, **overrides: Any) -> Recipe:
        """A preset's recipe for these data: their name, input shape and number of classes, and what ``overrides`` say.

        Raises:
            InputError: see ``Recipe``.
        """
        fields = {"dataset": self.name, "search_dataset": "", "search_classes": 0}
        fields |= {"input_shape": self.input_shape, "classes": len(self.classes)}
        return Recipe.preset(preset, **{**fields, **overrides})

    def check_fits(self, recipe: Recipe, classes: int | None = None) -> None:
        """Raises InputError unless inputs and number of classes are those of the recipe, or of its search."""
        if self.input_shape != recipe.input_shape:
            raise fail("input_shape", f"{self.input_shape} for the data set {self.name}", recipe.input_shape)
        count = recipe.classes if classes is None else classes
        if len(self.classes) != count:
            raise fail("classes", f"{len(self.classes)} for the data set {self.name}", count)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """(C, H, W) of one input."""
        return tuple(self.train.inputs.shape[1:])

    def to(self, device: torch.device | str) -> Dataset:
        """The same data set with every tensor on ``device``."""
        moved = {name: getattr(self, name).to(device) for name in ("train", "val", "test", "mean", "std")}
        return dataclasses.replace(self, **moved)

    def with_statistics(self, mean: Tensor, std: Tensor) -> Dataset:
        """The same samples, normalised with the statistics that a model was trained with."""
        return dataclasses.replace(self, mean=mean, std=std)

    def normalise(self, inputs: Tensor) -> Tensor:
        """(inputs - mean) / std.

        Args:
            inputs: [n, C, H, W] on the data set's device; uint8 pixels are brought to 0..1 first.

        Returns:
            float32 [n, C, H, W].
        """
        return normalise(inputs, self.mean, self.std)


def normalise(inputs: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """(inputs - mean) / std of ``[n, C, H, W]``; uint8 pixels are brought to 0..1 first."""
    if inputs.dtype == torch.uint8:
        inputs = inputs.to(torch.float32) / 255
    return (inputs - mean) / std


def statistics(inputs: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and population standard deviation per channel (uint8) or per row, the MFCC coefficient (float32).

    Args:
        inputs: [n, C, H, W], n >= 1; C = 1 where they are float32.

    Returns:
        Mean and standard deviation, float32, each [C, 1, 1] on the 0..1 scale for uint8 and [1, H, 1] for float32; no
        deviation is below ``STD_FLOOR``.
    """
    if inputs.dtype == torch.uint8:
        moments = [_pixel_moments(inputs[:, channel]) for channel in range(inputs.shape[1])]
        shape = (-1, 1, 1)
    else:
        assert inputs.shape[1] == 1
        # Row by row: a float64 copy of all features of Speech Commands would take several gigabytes.
        rows = (inputs[:, 0, row].to(torch.float64) for row in range(inputs.shape[2]))
        moments = [(values.mean().item(), values.std(correction=0).item()) for values in rows]
        shape = (1, -1, 1)
    mean, std = torch.tensor(moments, dtype=torch.float32, device=inputs.device).unbind(1)
    return mean.reshape(shape), std.clamp(min=STD_FLOOR).reshape(shape)


def _pixel_moments(pixels: Tensor) -> tuple[float, float]:
    """Exact mean and deviation of uint8 values on the 0..1 scale: counting the 256 values needs no float copy."""
    counts = torch.bincount(pixels.flatten(), minlength=256).to(torch.float64)
    values = torch.arange(256, dtype=torch.float64, device=pixels.device) / 255
    mean = (counts @ values) / counts.sum()
    variance = (counts @ (values - mean) ** 2) / counts.sum()
    return mean.item(), variance.sqrt().item()
