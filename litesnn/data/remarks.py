"""What to say about own data once they are read: what was found, how it was split, what is dubious about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from litesnn.config import Recipe
from litesnn.data.batches import batch_count
from litesnn.data.dataset import Dataset, Split
from litesnn.data.listing import Listing

FEW_TO_TRAIN = 20  # samples of a class below which little can be learnt
FEW_TO_JUDGE = 100  # samples of a split below which one of them is worth more than a percentage point
FEW_STEPS = 200  # of a whole retraining, below which presets for large data hardly leave chance
UNBALANCED = 5.0  # largest over smallest class
_SHOWN = 20


@dataclass(frozen=True)
class Remarks:
    """Sentences about a folder.

    Args:
        listing: what lay there.
        dataset: what became of it.
        recipe: how it was split.
        damaged: files that were left out, and why.
    """

    listing: Listing
    dataset: Dataset
    recipe: Recipe
    damaged: Mapping[Path, str]

    def sentences(self) -> list[str]:
        """All of them; those that are warnings begin with ``warning:``."""
        return [*self._found(), *self._left_out(), *self._warnings()]

    def _found(self) -> list[str]:
        data, kind = self.dataset, "clips" if self.listing.clips else "images"
        train, val, test = len(data.train), len(data.val), len(data.test)
        total = f"{train + val + test:,} {kind}"
        return [
            f"{data.name}: {len(data.classes)} classes ({_some(data.classes)}), {total}",
            f"{train:,} to train, {val:,} to validate, {test:,} to test; {self._how()}",
        ]

    def _how(self) -> str:
        """How the parts came about."""
        recipe, parts, held = self.recipe, self.listing.parts, []
        if "test" not in parts:
            held.append(f"{100 * recipe.test_fraction:g} % of each class for the test")
        if "val" not in parts:
            rest = "of the rest " if held else "of each class "
            held.append(f"{100 * recipe.val_fraction:g} % {rest}for validation")
        if not held:
            return "as the folders have them"
        return f"held out of {self.listing.source}: {', '.join(held)}, seed {recipe.split_seed}"

    def _left_out(self) -> list[str]:
        texts = [f"not read: the folder {name!r}" for name in self.listing.unread[:_SHOWN]]
        if self.damaged:
            texts.append(f"skipped {_count(len(self.damaged), 'file')} that cannot be read:")
            texts += [f"  {file}: {reason}" for file, reason in sorted(self.damaged.items())[:_SHOWN]]
            if len(self.damaged) > _SHOWN:
                texts.append(f"  … and {len(self.damaged) - _SHOWN} more")
        return texts

    def _warnings(self) -> list[str]:
        data = self.dataset
        counts = _counts(data.train, len(data.classes))
        fewest, most = min(counts), max(counts)
        small, large = data.classes[counts.index(fewest)], data.classes[counts.index(most)]
        texts = []
        if fewest < FEW_TO_TRAIN:
            few = sum(count < FEW_TO_TRAIN for count in counts)
            texts.append(
                f"warning: {_count(few, 'class', 'classes')} with fewer than {FEW_TO_TRAIN} samples to train on, "
                f"the smallest {small!r} with {fewest}; expect little"
            )
        if most > UNBALANCED * fewest:
            texts.append(
                f"warning: classes are unbalanced, {large!r} has {most / fewest:.0f} times the samples of {small!r}; "
                f"always answering {large!r} would be right in {100 * most / sum(counts):.0f} % of cases"
            )
        recipe = self.recipe
        batches = batch_count(len(data.train), recipe.retrain_batch, drop_last=True)
        if batches * recipe.retrain_epochs < FEW_STEPS:
            texts.append(
                f"warning: a retraining has {_count(batches * recipe.retrain_epochs, 'step')}, "
                f"{_count(recipe.retrain_epochs, 'epoch')} of {_count(batches, 'batch', 'batches')}; "
                "a smaller --retrain-batch and more --retrain-epochs give more"
            )
        for name, split in (("validation", data.val), ("test", data.test)):
            if len(split) < FEW_TO_JUDGE:
                absent = _counts(split, len(data.classes)).count(0)
                lacking = f" and {_count(absent, 'class has', 'classes have')} none" if absent else ""
                texts.append(
                    f"warning: {_count(len(split), 'sample')} in the {name} split{lacking}; "
                    f"one of them moves its accuracy by {100 / len(split):.1f} points"
                )
        return texts


def _counts(split: Split, classes: int) -> list[int]:
    """Samples of each class."""
    counts: list[int] = torch.bincount(split.labels.cpu(), minlength=classes).tolist()
    return counts


def _count(number: int, one: str, several: str = "") -> str:
    return f"{number:,} {one if number == 1 else several or one + 's'}"


def _some(names: tuple[str, ...]) -> str:
    shown = 5
    return ", ".join(names[:shown]) + (f", … {names[-1]}" if len(names) > shown else "")
