"""What a network says about one image or clip."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Prediction:
    """The answer to one input.

    Args:
        classes: class names in the order of the scores; their numbers where the network has no names.
        scores: mean logit per class over the timesteps, ``[K]``.
        probabilities: softmax of the scores times the recipe's ``logit_scale``, ``[K]``; their sum is 1.
    """

    classes: tuple[str, ...]
    scores: NDArray[np.float64]
    probabilities: NDArray[np.float64]

    @classmethod
    def of(cls, scores: NDArray[np.float64], classes: tuple[str, ...], logit_scale: float) -> Prediction:
        """From the scores alone."""
        shares = np.exp(logit_scale * (scores - scores.max()))
        return cls(classes, scores, shares / shares.sum())

    @property
    def index(self) -> int:
        """The best class; of equals the first."""
        return int(self.scores.argmax())

    @property
    def name(self) -> str:
        """Its name."""
        return self.classes[self.index]

    @property
    def probability(self) -> float:
        """Its probability, 0 to 1."""
        return float(self.probabilities[self.index])

    def top(self, count: int = 5) -> list[tuple[str, float]]:
        """The best classes by name with their probabilities, best first."""
        best = np.argsort(-self.scores, kind="stable")[:count]
        return [(self.classes[k], float(self.probabilities[k])) for k in best]

    def __str__(self) -> str:
        return f"{self.name} ({100 * self.probability:.1f} %)"
