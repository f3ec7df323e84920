"""The loss against loops over samples and classes."""

import math
from typing import Any

import pytest
import torch

from litesnn.config import Recipe, SearchPoint
from litesnn.cost import ExpectedCost
from litesnn.objective import cross_entropy_per_timestep, search_loss

LOGITS = torch.randn(4, 3, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)  # [T, B, K]
LABELS = torch.tensor([4, 0, 2])


def cross_entropies() -> list[float]:
    """Eq. 16 for t = 1..4: cross entropy of the mean of the first t outputs, mean over the batch."""
    losses = []
    for t in range(1, 5):
        total = 0.0
        for b in range(3):
            mean = [sum(LOGITS[s, b, k].item() for s in range(t)) / t for k in range(5)]
            total += math.log(sum(math.exp(m) for m in mean)) - mean[int(LABELS[b])]
        losses.append(total / 3)
    return losses


def test_cross_entropy_of_every_number_of_timesteps() -> None:
    got = cross_entropy_per_timestep(LOGITS, LABELS, Recipe.preset("cifar10"))
    assert got.tolist() == pytest.approx(cross_entropies(), abs=1e-12)
    assert len(set(got.tolist())) == 4


def loss(point: dict[str, float], **overrides: Any) -> float:
    shares = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64)
    cost = ExpectedCost(torch.tensor(2000.0), torch.tensor(7e6))
    recipe = Recipe.preset("digits", **overrides)
    return search_loss(LOGITS, LABELS, shares, cost, SearchPoint(**{"p": 50, **point}), recipe).item()


CROSS_ENTROPY = sum(share * ce for share, ce in zip([0.1, 0.2, 0.3, 0.4], cross_entropies(), strict=True))  # Eq. 17


@pytest.mark.parametrize(
    ("point", "overrides", "costs"),
    [
        ({"lambda1": 0, "lambda2": 0}, {}, 0),
        ({"lambda1": 1e-4, "lambda2": 0}, {}, 0.2),
        ({"lambda1": 0, "lambda2": 1e-9}, {}, 0.21),  # 30 samples by default, as in the authors' batch
        ({"lambda1": 0, "lambda2": 1e-9}, {"cost_batch": 1}, 0.007),
        (
            {"lambda1": 0, "lambda2": 1e-9},
            {"search_batch": 7},
            0.21,
        ),  # the batch size does not change lambda2's meaning
        ({"lambda1": 1e-4, "lambda2": 1e-9}, {"cost_batch": 100}, 0.9),
    ],
)
def test_search_loss(point: dict[str, float], overrides: dict[str, Any], costs: float) -> None:
    assert loss(point, **overrides) == pytest.approx(CROSS_ENTROPY + costs, abs=1e-6)


def test_gradient_reaches_shares_and_costs() -> None:
    shares = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64, requires_grad=True)
    size, operations = (torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (5.0, 6.0))
    point = SearchPoint(lambda1=0.25, lambda2=0.5, p=0)
    search_loss(
        LOGITS, LABELS, shares, ExpectedCost(size, operations), point, Recipe.preset("digits", cost_batch=8)
    ).backward()
    assert shares.grad is not None and size.grad is not None and operations.grad is not None
    assert shares.grad.tolist() == pytest.approx(cross_entropies(), abs=1e-12)
    assert (size.grad.item(), operations.grad.item()) == (0.25, 4.0)
