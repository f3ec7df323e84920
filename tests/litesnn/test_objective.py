"""The loss against loops over samples and classes."""

import math
from typing import Any

import pytest
import torch

from litesnn.config import Recipe, SearchPoint
from litesnn.cost import ExpectedCost
from litesnn.network import Output
from litesnn.objective import cross_entropy, cross_entropy_per_timestep, retrain_loss, search_loss

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
    cost = ExpectedCost(torch.tensor(1000.0), torch.tensor(2000.0), torch.tensor(7e6))
    recipe = Recipe.preset("cifar10", **overrides)
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
        LOGITS,
        LABELS,
        shares,
        ExpectedCost(torch.tensor(3.0), size, operations),
        point,
        Recipe.preset("cifar10", cost_batch=8),
    ).backward()
    assert shares.grad is not None and size.grad is not None and operations.grad is not None
    assert shares.grad.tolist() == pytest.approx(cross_entropies(), abs=1e-12)
    assert (size.grad.item(), operations.grad.item()) == (0.25, 4.0)


def softmax(logits: list[float]) -> list[float]:
    total = sum(math.exp(value) for value in logits)
    return [math.exp(value) / total for value in logits]


def smoothed(logits: list[float], label: int, scale: float, smoothing: float) -> float:
    """Cross entropy of scaled logits against a label of which a share is spread over all classes alike."""
    shares = softmax([scale * value for value in logits])
    wanted = [smoothing / len(logits) + (1 - smoothing) * (k == label) for k in range(len(logits))]
    return -sum(want * math.log(share) for want, share in zip(wanted, shares, strict=True))


@pytest.mark.parametrize(("scale", "smoothing"), [(1, 0), (4, 0), (1, 0.1), (2.5, 0.3)])
def test_scaled_logits_and_smoothed_labels(scale: float, smoothing: float) -> None:
    recipe = Recipe.preset("digits", logit_scale=scale, label_smoothing=smoothing)
    got = cross_entropy(LOGITS[0], LABELS, recipe).tolist()
    expected = [smoothed(LOGITS[0, b].tolist(), int(LABELS[b]), scale, smoothing) for b in range(3)]
    assert got == pytest.approx(expected)


@pytest.mark.parametrize("share", [0, 0.25, 1])
def test_every_timestep_bears_its_share_of_the_retraining_loss(share: float) -> None:
    recipe = Recipe.preset("digits", timestep_loss=share, logit_scale=2, label_smoothing=0.1, aux_weight=0.4)
    heads = LOGITS.flip(2)
    got = retrain_loss(Output(logits=LOGITS, aux_logits=heads), LABELS, recipe).item()

    def mean_over_batch(logits: torch.Tensor) -> float:
        return sum(smoothed(logits[b].tolist(), int(LABELS[b]), 2, 0.1) for b in range(3)) / 3

    each = sum(mean_over_batch(LOGITS[t]) for t in range(4)) / 4
    expected = (1 - share) * mean_over_batch(LOGITS.mean(0)) + share * each + 0.4 * mean_over_batch(heads.mean(0))
    assert got == pytest.approx(expected)
