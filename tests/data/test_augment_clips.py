"""Changes of speech features against a loop over clips that replays the same draws."""

import math

import pytest
import torch

from litesnn.config import Recipe
from litesnn.data.augment_clips import add_noise, mask_span, warp_time
from litesnn.data.batches import train_batches
from litesnn.data.dataset import Dataset, Split


def clips(count: int = 9, frames: int = 12) -> torch.Tensor:
    return torch.randn(count, 1, 5, frames, generator=torch.Generator().manual_seed(1))


def generator(seed: int = 4) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(("shift", "stretch"), [(3, 0.0), (0, 0.3), (2, 0.2), (40, 0.0)])
def test_a_warp_reads_between_frames(shift: int, stretch: float) -> None:
    x = clips()
    draws = generator()
    tempi = (1 + stretch * (2 * torch.rand(9, 1, generator=draws) - 1)).flatten().tolist()
    shifts = (shift * (2 * torch.rand(9, 1, generator=draws) - 1)).flatten().tolist()
    warped = warp_time(x, shift, stretch, generator())
    for clip, (tempo, moved) in enumerate(zip(tempi, shifts, strict=True)):
        for frame in range(12):
            place = min(max((frame - 5.5) * tempo + 5.5 + moved, 0), 11)
            before = min(math.floor(place), 10)
            part = place - before
            expected = (1 - part) * x[clip, 0, :, before] + part * x[clip, 0, :, before + 1]
            torch.testing.assert_close(warped[clip, 0, :, frame], expected, rtol=1e-4, atol=1e-4)


def test_noise_has_the_drawn_deviation() -> None:
    x = torch.zeros(50, 1, 40, 98)
    drawn = (0.5 * torch.rand(50, 1, 1, 1, generator=generator())).flatten()
    found = add_noise(x, 0.5, generator()).flatten(1).std(1)
    torch.testing.assert_close(found, drawn, rtol=0.05, atol=1e-3)


@pytest.mark.parametrize("dim", [2, 3])
def test_a_mask_is_one_span_of_at_most_the_width(dim: int) -> None:
    x = torch.ones(500, 1, 6, 6)
    masked = mask_span(x, dim, 3, generator())
    lines = masked.squeeze(1).amax(5 - dim - 1)  # over the other dimension
    assert torch.equal(lines, masked.squeeze(1).amin(5 - dim - 1))  # whole lines
    widths = (lines == 0).sum(1)
    assert set(widths.tolist()) == {0, 1, 2, 3}
    for line, width in zip(lines.tolist(), widths.tolist(), strict=True):
        text = "".join(str(int(value)) for value in line)
        assert "0" * width in text and text.count("0") == width
    assert (lines[:, 0] == 0).any() and (lines[:, -1] == 0).any()


def test_what_is_off_draws_nothing() -> None:
    x, draws = clips(), generator()
    before = draws.get_state()
    assert all(
        torch.equal(change, x)
        for change in (warp_time(x, 0, 0, draws), add_noise(x, 0, draws), mask_span(x, 3, 0, draws))
    )
    assert torch.equal(draws.get_state(), before)


def test_clips_are_changed_in_training_batches_as_the_recipe_says() -> None:
    inputs = torch.randn(24, 1, 40, 98, generator=generator())
    split = Split(inputs, torch.arange(24) % 12)
    names = tuple("abcdefghijkl")
    dataset = Dataset.build("clips", names, split, split, split)
    off = {"time_shift": 0, "time_stretch": 0, "feature_noise": 0, "time_mask": 0, "feature_mask": 0}
    plain = Recipe.preset("gsc", **off)

    def batch(recipe: Recipe) -> torch.Tensor:
        ((x, _),) = train_batches(dataset, split, 24, recipe, generator(), use_cutout=True, drop_last=True)
        return x

    order = torch.randperm(24, generator=generator())
    assert torch.equal(batch(plain), dataset.normalise(inputs[order]))
    for field, value in (
        ("time_shift", 8),
        ("time_stretch", 0.1),
        ("feature_noise", 0.2),
        ("time_mask", 9),
        ("feature_mask", 5),
    ):
        assert not torch.equal(batch(Recipe.preset("gsc", **{**off, field: value})), batch(plain))
