"""Augmentations against a loop over samples that replays the same draws."""

import pytest
import torch

from litesnn.data.augment import cutout, flip, flip_alternating, flip_by_chance, random_crop


def _batch(dtype: torch.dtype, batch: int = 33) -> torch.Tensor:
    """Pixels that are all different and never 0, so that no two windows look alike: [B, 2, 5, 6]."""
    return (torch.arange(1, batch * 2 * 5 * 6 + 1) % 251 + 1).reshape(batch, 2, 5, 6).to(dtype)


def _generator(seed: int = 4) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
@pytest.mark.parametrize("padding", [1, 2, 4, 7])  # 7: some windows lie wholly in the padding
def test_each_crop_is_the_window_at_its_own_offset(dtype, padding):
    x = _batch(dtype)
    tops, lefts = torch.randint(0, 2 * padding + 1, (2, len(x)), generator=_generator()).tolist()
    cropped = random_crop(x, padding, _generator())
    assert cropped.shape == x.shape and cropped.dtype == dtype
    for sample in range(len(x)):
        expected = torch.zeros(2, 5, 6, dtype=dtype)
        for row in range(5):
            for column in range(6):
                source = row + tops[sample] - padding, column + lefts[sample] - padding
                if 0 <= source[0] < 5 and 0 <= source[1] < 6:
                    expected[:, row, column] = x[sample, :, source[0], source[1]]
        assert torch.equal(cropped[sample], expected)


@pytest.mark.parametrize("padding", [1, 2, 4])  # the largest that an image 5 high reflects
def test_a_reflecting_border_is_that_of_the_library(padding):
    x = _batch(torch.float32)
    tops, lefts = torch.randint(0, 2 * padding + 1, (2, len(x)), generator=_generator()).tolist()
    padded = torch.nn.functional.pad(x, (padding,) * 4, mode="reflect")
    cropped = random_crop(x, padding, _generator(), "reflect")
    for sample in range(len(x)):
        top, left = tops[sample], lefts[sample]
        assert torch.equal(cropped[sample], padded[sample, :, top : top + 5, left : left + 6])


def test_every_offset_of_a_crop_occurs_and_none_beyond():
    x = torch.zeros(400, 1, 5, 5)
    x[:, 0, 2, 2] = 1  # the one bright pixel moves by the offset
    places = {tuple(place) for place in random_crop(x, 1, _generator()).nonzero()[:, 2:].tolist()}
    assert places == {(row, column) for row in (1, 2, 3) for column in (1, 2, 3)}


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_each_flip_is_the_mirror_image_or_the_image(dtype):
    x = _batch(dtype)
    drawn = torch.rand(len(x), generator=_generator()).tolist()
    flipped = flip(x, flip_by_chance(len(x), _generator()))
    assert flipped.dtype == dtype
    for sample in range(len(x)):
        expected = [[row[::-1] for row in channel] for channel in x[sample].tolist()]
        assert flipped[sample].tolist() == (expected if drawn[sample] < 0.5 else x[sample].tolist())


def test_about_half_of_the_images_are_flipped():
    assert 420 < flip_by_chance(1000, _generator()).sum() < 580  # 5 standard deviations each way


def test_alternating_flips_show_every_image_both_ways_in_two_epochs():
    epochs = [flip_alternating(1000, seed=3, epoch=epoch) for epoch in range(4)]
    assert 420 < epochs[0].sum() < 580
    assert (
        torch.equal(epochs[1], ~epochs[0]) and torch.equal(epochs[2], epochs[0]) and torch.equal(epochs[3], epochs[1])
    )
    assert not torch.equal(epochs[0], flip_alternating(1000, seed=4, epoch=0))


@pytest.mark.parametrize("size", [1, 2, 3, 4, 40])
def test_each_cutout_is_the_clipped_square_round_its_own_centre(size):
    x = _batch(torch.float32)
    generator = _generator()
    rows = torch.randint(0, 5, (len(x), 1), generator=generator).flatten().tolist()
    columns = torch.randint(0, 6, (len(x), 1), generator=generator).flatten().tolist()
    blanked = cutout(x, size, _generator())
    for sample in range(len(x)):
        expected = x[sample].clone()
        top, left = rows[sample] - size // 2, columns[sample] - size // 2
        expected[:, max(top, 0) : max(top + size, 0), max(left, 0) : max(left + size, 0)] = 0
        assert torch.equal(blanked[sample], expected)


def test_the_area_of_a_cutout_is_full_inside_and_smaller_at_the_border():
    blanked = cutout(torch.ones(2000, 1, 12, 12), 4, _generator())
    areas = (blanked == 0).sum(dim=(1, 2, 3))
    assert areas.max() == 16
    assert areas.min() == 4  # centre (0, 0): rows and columns -2 .. 1, of which 0 and 1 exist
    # Along one side the square covers 2, 3, 4 (nine times) or 3 pixels: mean (2 + 3 + 9 * 4 + 3) / 12.
    assert areas.double().mean().item() == pytest.approx((44 / 12) ** 2, rel=0.03)


@pytest.mark.parametrize("change", [lambda x, g: random_crop(x, 0, g), lambda x, g: cutout(x, 0, g)])
def test_size_0_changes_and_draws_nothing(change):
    x, generator = _batch(torch.uint8), _generator()
    before = generator.get_state()
    assert torch.equal(change(x, generator), x)
    assert torch.equal(generator.get_state(), before)


def test_the_argument_is_left_alone():
    x = _batch(torch.float32)
    before = x.clone()
    for change in (
        lambda x, g: flip(x, flip_by_chance(len(x), g)),
        lambda x, g: random_crop(x, 2, g),
        lambda x, g: cutout(x, 3, g),
    ):
        assert not torch.equal(change(x, _generator()), before)
        assert torch.equal(x, before)
