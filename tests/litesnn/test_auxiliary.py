"""The auxiliary head: shapes, and a hand-made case."""

import pytest
import torch

from litesnn.auxiliary import AuxiliaryHead


@pytest.mark.parametrize("size", [(8, 8), (3, 5), (1, 1), (10, 25)])
def test_any_feature_map_gives_logits_of_every_timestep(size: tuple[int, int]) -> None:
    head = AuxiliaryHead(6, 5, (0.2, 0.5, 3.0))
    spikes = (torch.rand(3 * 2, 6, *size) > 0.5).float()
    logits = head(spikes, 3)
    assert logits.shape == (3, 2, 5)
    logits.sum().backward()
    assert all(p.grad is not None for p in head.parameters())


def test_time_comes_first_and_the_membrane_runs_along_it() -> None:
    # One sample, equal input at every timestep; with the norm switched off, the current is 0.45: no neuron fires at
    # t = 1 (0.45), all do at t = 2 (0.54), none at t = 3 (reset).
    head = AuxiliaryHead(1, 1, (0.2, 0.5, 3.0)).eval()
    torch.nn.init.constant_(head.mix.weight, 0.45)
    torch.nn.init.ones_(head.classifier.weight)
    torch.nn.init.zeros_(head.classifier.bias)
    logits = head(torch.ones(3, 1, 4, 4), 3)
    assert logits.flatten().tolist() == pytest.approx([0, 4 * head.mix.out_channels, 0])


def test_samples_do_not_mix() -> None:
    torch.manual_seed(0)
    head = AuxiliaryHead(3, 4, (0.2, 0.5, 3.0)).eval()
    torch.nn.init.uniform_(head.mix.weight, -1, 1)
    spikes = (torch.rand(5, 2, 3, 4, 4) > 0.5).float()  # [T, B, C, H, W]
    with torch.no_grad():
        together = head(spikes.flatten(0, 1), 5)
        for b in range(2):
            torch.testing.assert_close(together[:, b : b + 1], head(spikes[:, b], 5))
    assert together.std(0).min() > 0
