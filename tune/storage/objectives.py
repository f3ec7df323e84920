"""What networks are compared by: the names of the objectives, and the corner that hypervolume is measured from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from litesnn.checks import InputError, check_number

ACCURACY = "val_accuracy"  # selection sees the validation split only
SIZE = "size_bits"  # what the experiment's recipe means by size: one of the next two
FILE, EQ18 = "file_bits", "model_size_bits"  # of the packed file; kept weights, not where they are (Eq. 18)
DENSE = "dense_bits"  # all weights at the same bits
BIT_SYNOPS = "bit_synops"
OBJECTIVES = (ACCURACY, SIZE, BIT_SYNOPS)


@dataclass(frozen=True, kw_only=True)
class Reference:
    """The worst corner of the space, from which hypervolume is measured.

    Args:
        accuracy: percent, 0 to 100.
        size_bits: bits of what the recipe means by size, at least 0.
        bit_synops: per input sample, at least 0.

    Raises:
        InputError: a value is outside its range.
    """

    accuracy: float
    size_bits: float
    bit_synops: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "accuracy", check_number("accuracy", self.accuracy, minimum=0, maximum=100))
        for name in (SIZE, BIT_SYNOPS):
            object.__setattr__(self, name, check_number(name, getattr(self, name), minimum=0))

    @classmethod
    def from_dict(cls, values: Any) -> Reference:
        """The inverse of ``dataclasses.asdict``.

        Raises:
            InputError: not these three values.
        """
        names = {"accuracy", SIZE, BIT_SYNOPS}
        if isinstance(values, Mapping) and EQ18 in values:  # as earlier versions called it
            values = {SIZE if name == EQ18 else name: value for name, value in values.items()}
        if not isinstance(values, Mapping) or set(values) != names:
            raise InputError(f"reference: expected an object with {', '.join(sorted(names))}, got {values!r}")
        return cls(**values)


Z = 1.64
"""Standard errors of an interval that holds 90 % of what chance does."""


def accuracy_variance(accuracy: np.ndarray, samples: np.ndarray | int) -> np.ndarray:
    """Binomial variance of accuracies in percent, in percent squared; half a sample at least may go either way."""
    least = 0.5 / np.maximum(samples, 1)
    share = np.clip(accuracy / 100, least, 1 - least)
    return np.asarray(1e4 * share * (1 - share) / samples)
