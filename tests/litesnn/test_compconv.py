"""CompConv against Eq. 8-11 written out weight by weight, and its batching against single layers."""

import math
import statistics

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from litesnn.compconv import CompConv

STEPS = {1: 1.596, 2: 0.996, 4: 0.336}


def quantise(weights: list[float], bits: int) -> list[float]:
    """Eq. 8 for one layer: the nearest of the levels ±(i + 1/2) * step."""
    step = STEPS[bits] * statistics.stdev(weights)
    levels = [sign * (i + 0.5) * step for i in range(2 ** (bits - 1)) for sign in (-1, 1)]
    return [min(levels, key=lambda level: abs(level - w)) for w in weights]


def keep(scores: list[float], count: int) -> list[int]:
    ranked = sorted(range(len(scores)), key=lambda i: -abs(scores[i]))[:count]
    return [int(i in ranked) for i in range(len(scores))]


def build(convs: int, stride: int = 1, bits: tuple[int, ...] = (1, 2, 4), p: float = 50, kernel: int = 3) -> CompConv:
    torch.manual_seed(11)
    conv = CompConv(convs, 3, 2, kernel, stride, bits, p).double()
    with torch.no_grad():  # scores that do not rank the weights as their sizes do
        conv.scores.copy_(torch.randn_like(conv.scores))
    return conv


def test_weight_and_gradients_equal_the_equations_written_out() -> None:
    conv = build(2)
    shares = torch.tensor([0.5, 0.3, 0.4], dtype=torch.float64, requires_grad=True)  # sum 1.2, so that it shows
    upstream = torch.randn(4, 3, 3, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    got = conv.compressed_weight(shares)
    got.backward(upstream)
    assert conv.weight.grad is not None and conv.scores.grad is not None and shares.grad is not None

    share_gradients = [0.0, 0.0, 0.0]
    for g in range(2):
        weights, scores = conv.weight[g].flatten().tolist(), conv.scores[g].flatten().tolist()
        up = upstream[2 * g : 2 * g + 2].flatten().tolist()
        branches = [quantise(weights, bits) for bits in (1, 2, 4)]  # Eq. 8, 9
        mask = keep(scores, 27)  # half of 2 * 3 * 3 * 3 weights
        output, weight_gradients, score_gradients = [], [], []
        for i in range(54):
            mixed = 0.5 * branches[0][i] + 0.3 * branches[1][i] + 0.4 * branches[2][i]  # Eq. 10
            output.append(mixed * mask[i])  # Eq. 11
            weight_gradients.append(up[i] * mask[i] * 1.2)  # straight through each branch
            score_gradients.append(up[i] * mixed * math.copysign(1, scores[i]))
            for j in range(3):
                share_gradients[j] += up[i] * mask[i] * branches[j][i]
        assert got[2 * g : 2 * g + 2].flatten().tolist() == pytest.approx(output, abs=1e-12)
        assert conv.weight.grad[g].flatten().tolist() == pytest.approx(weight_gradients, abs=1e-12)
        assert conv.scores.grad[g].flatten().tolist() == pytest.approx(score_gradients, abs=1e-12)
    assert shares.grad.tolist() == pytest.approx(share_gradients, abs=1e-10)


@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (1, 1), (1, 2), (3, 4)])
def test_stacked_convolutions_equal_separate_ones(kernel: int, stride: int) -> None:
    together = build(3, stride, kernel=kernel)
    shares = torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64)
    x = torch.randn(2, 3, 7, 5, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    output = together(x, shares)
    upstream = torch.randn(output.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    output.backward(upstream)
    assert output.shape == (2, 6, math.ceil(7 / stride), math.ceil(5 / stride))
    assert together.weight.grad is not None and together.scores.grad is not None
    for g in range(3):
        alone = CompConv(1, 3, 2, kernel, stride, (1, 2, 4), 50).double()
        alone.load_state_dict({"weight": together.weight[g : g + 1], "scores": together.scores[g : g + 1]})
        single = alone(x, shares)
        single.backward(upstream[:, 2 * g : 2 * g + 2])
        torch.testing.assert_close(output[:, 2 * g : 2 * g + 2], single)
        torch.testing.assert_close(together.weight.grad[g : g + 1], alone.weight.grad)
        torch.testing.assert_close(together.scores.grad[g : g + 1], alone.scores.grad)


def test_convolves_with_the_compressed_weight() -> None:
    conv = build(1, bits=(2,), p=90)
    x = torch.randn(2, 3, 5, 5, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    expected = F.conv2d(F.pad(x, (1, 1, 1, 1)), conv.compressed_weight(None))
    torch.testing.assert_close(conv(x, None), expected)
    assert int((conv.compressed_weight(None) != 0).sum()) == 5  # 10 % of 54, no level is zero


def test_without_pruning_the_scores_have_no_effect() -> None:
    conv = build(1, bits=(4,), p=0)
    before = conv.compressed_weight(None).detach()
    with torch.no_grad():
        conv.scores.neg_().mul_(3)
    after = conv.compressed_weight(None)
    assert torch.equal(before, after) and bool((after != 0).all())
    after.sum().backward()
    assert conv.scores.grad is None


def test_initial_scores_follow_the_weights() -> None:
    # sqrt(6 / fan_in) * W / max|W|, layer by layer (Sehwag et al.).
    conv = CompConv(2, 3, 4, 3, 1, (1,), 50)
    for g in range(2):
        weights = conv.weight[g].flatten().tolist()
        largest = max(map(abs, weights))
        expected = [math.sqrt(6 / 27) * w / largest for w in weights]
        assert conv.scores[g].flatten().tolist() == pytest.approx(expected, rel=1e-5)


def test_weight_and_scores_do_not_share_memory() -> None:
    conv = CompConv(1, 1, 1, 1, 1, (1,), 50)
    assert conv.weight.data_ptr() != conv.scores.data_ptr()


def test_the_mask_follows_every_change_of_the_scores() -> None:
    """Whoever keeps masks between forward passes must notice: torch counts no change made by its fused optimizers."""
    conv = CompConv(2, 3, 4, 3, 1, (4,), 50)

    def kept() -> Tensor:
        return conv.compressed_weight(None).detach() != 0

    before = kept()
    assert torch.equal(kept(), before)
    optimizer = torch.optim.Adam([conv.scores], lr=0.5, fused=True)
    conv.scores.grad = torch.randn(conv.scores.shape, generator=torch.Generator().manual_seed(0))
    optimizer.step()
    stepped = kept()
    assert not torch.equal(stepped, before)
    with torch.no_grad():
        conv.scores.copy_(conv.scores.abs().flip(0, 1))
    assert not torch.equal(kept(), stepped)
    other = CompConv(2, 3, 4, 3, 1, (4,), 50)
    other.compressed_weight(None)
    other.load_state_dict(conv.state_dict())
    assert torch.equal(other.compressed_weight(None).detach() != 0, kept())
    doubled = CompConv(2, 3, 4, 3, 1, (4,), 50)
    doubled.compressed_weight(None)
    assert doubled.double().compressed_weight(None).dtype == torch.float64
