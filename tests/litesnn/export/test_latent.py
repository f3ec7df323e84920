"""A packed network made trainable: the same weights, the same file again, and gradients that lead somewhere."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

from litesnn.checks import InputError
from litesnn.config import Recipe
from litesnn.edge_norm import EdgeNorm
from litesnn.export.convert import conv_layers, pack, unpack
from litesnn.export.latent import trainable
from litesnn.export.packed import Packed
from litesnn.export.plan import make_plan
from litesnn.export.reader import parse
from litesnn.export.trim import trim
from litesnn.genotype import Genotype
from litesnn.kept import kept_count, mask_groups
from litesnn.model import Model
from litesnn.network import Network
from tests.litesnn.export.conftest import CPU, GENOTYPE, Trained


def random_model(p: float, bits: tuple[int, ...], seed: int = 0, **changes: Any) -> Model:
    """A network as it is before training, but for the batch norms, which have statistics and signs of their own."""
    recipe = Recipe.preset("digits", retrain_channels=8, bit_widths=(1, 2, 3, 4), **changes)
    genotype = dataclasses.replace(GENOTYPE, p=p, bits=bits)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = Network(recipe, 8, 10, p, genotype).eval()
        for norm in [module for module in network.modules() if isinstance(module, EdgeNorm)]:
            norm.running_mean.normal_()
            norm.running_var.uniform_(0.5, 2)
            torch.nn.init.normal_(norm.weight)
            torch.nn.init.normal_(norm.bias)
    rates = torch.full((7, genotype.timesteps), 0.25)
    classes = tuple(map(str, range(10)))
    one = torch.ones(1, 1, 1)
    return Model(
        network=network, genotype=genotype, recipe=recipe, classes=classes, mean=0.5 * one, std=one, rates=rates
    )


@pytest.mark.parametrize(("p", "bits"), [(0, (1, 2, 3)), (0, (4, 4, 4)), (50, (2, 4, 1)), (95, (4, 1, 3))])
@pytest.mark.parametrize("mask_n", [0, 1])
def test_weights_are_those_of_the_file(p: float, bits: tuple[int, ...], mask_n: int) -> None:
    packed = pack(random_model(p, bits, mask_n=mask_n))
    found = pack(trainable(packed, CPU))
    for one, other in zip(found.codes, packed.codes, strict=True):
        assert np.array_equal(one, other)
    np.testing.assert_array_max_ulp(found.steps, packed.steps, 2)
    for one, other in zip((*found.scale, *found.bias), (*packed.scale, *packed.bias), strict=True):
        assert np.array_equal(one, other)


def test_nm_masks_are_there_and_come_back_from_a_trimmed_file() -> None:
    whole = pack(random_model(80, (2, 1, 1), mask_n=2))
    for layer, codes in zip(whole.plan.layers, whole.codes, strict=True):
        groups = mask_groups(layer.weights, kept_count(layer.weights, 80), 2)
        assert all(np.count_nonzero(codes.ravel()[start:end]) == few for start, end, few in groups)
    silent = tuple(np.where(np.arange(len(bias)) % 3 == 0, -100.0, bias) for bias in whole.bias)
    packed = trim(dataclasses.replace(whole, bias=silent))[0]
    assert sum(packed.kept) < sum(whole.kept)
    again = parse(packed.to_bytes())
    found = trim(pack(trainable(again, CPU)))[0]
    for one, middle, other in zip(packed.codes, again.codes, found.codes, strict=True):
        assert np.array_equal(one, middle) and np.array_equal(one, other)


def test_the_same_codes_and_logits_again(trained: Trained) -> None:
    """Of the trimmed file, in which weights are missing that p would leave."""
    packed = trained.packed
    assert sum(packed.kept) < sum(kept_count(layer.weights, 80) for layer in packed.plan.layers)
    model = trainable(packed, CPU)
    again = trim(pack(model))[0]
    for one, other in zip(
        (*again.codes, *again.scale, *again.bias), (*packed.codes, *packed.scale, *packed.bias), strict=True
    ):
        assert np.array_equal(one, other)
    np.testing.assert_array_max_ulp(again.steps, packed.steps, 2)
    with torch.no_grad():
        one, other = (m.network(trained.x, GENOTYPE.timesteps).logits for m in (model, unpack(packed, CPU)))
    assert ((one - other).abs().amax((0, 2)) < 1e-5).float().mean() > 0.99


def test_training_measures_no_statistics_and_reaches_every_seen_weight(trained: Trained) -> None:
    model = trainable(trained.packed, CPU)
    before = {name: value.clone() for name, value in model.network.named_buffers()}
    with torch.no_grad():
        evaluated = model.network(trained.x[:64], GENOTYPE.timesteps).logits
    logits = model.network.train()(trained.x[:64], GENOTYPE.timesteps).logits
    torch.testing.assert_close(logits, evaluated, rtol=1e-5, atol=1e-5)
    torch.nn.functional.cross_entropy(logits.mean(0), trained.dataset.test.labels[:64]).backward()
    for name, value in model.network.named_buffers():
        assert torch.equal(value, before[name]), name
    for conv, _, _, _ in conv_layers(model.network):
        assert conv.weight.grad is not None and conv.weight.grad.isfinite().all() and conv.weight.grad.any()


def test_a_saved_one_stays_folded(trained: Trained) -> None:
    path = trained.path.parent / "folded.safetensors"
    model = trainable(trained.packed, CPU)
    model.save(path)
    again = Model.load(path, CPU)
    assert pack(again).to_bytes() == pack(model).to_bytes()
    again.network.train()
    assert not any(m.training for m in again.network.modules() if isinstance(m, EdgeNorm))
    path.unlink()
    ordinary = Model.load(trained.path, CPU).network.train()
    assert all(m.training for m in ordinary.modules() if isinstance(m, EdgeNorm))


def with_codes(packed: Packed, layer: int, codes: np.ndarray) -> Packed:  # type: ignore[type-arg]
    return dataclasses.replace(packed, codes=(*packed.codes[:layer], codes, *packed.codes[layer + 1 :]))


def test_codes_of_no_trained_network_are_refused() -> None:
    """Of 2 bits, all in the two inner levels: no weights there deviate by 1.004 steps."""
    packed = pack(random_model(0, (2, 2, 2)))
    shape = packed.codes[1].shape
    inner = np.where(np.arange(np.prod(shape)).reshape(shape) % 2, 1, -1).astype(np.int8)
    with pytest.raises(InputError, match=r"\Amodel: expected codes of a trained network, got others in cell1[^\n]*\Z"):
        trainable(with_codes(packed, 1, inner), CPU)


def test_missing_weights_are_refused() -> None:
    packed = pack(random_model(50, (2, 2, 2)))
    codes = packed.codes[1].copy()
    codes[codes != 0] = np.where(np.arange(np.count_nonzero(codes)) < 3, 0, codes[codes != 0])
    with pytest.raises(
        InputError, match=r"\Amodel: expected as many weights in cell1[^\n]* as p leaves, got 3 too few"
    ):
        trainable(with_codes(packed, 1, codes), CPU)


def test_the_plan_is_the_genotypes(trained: Trained) -> None:
    model = trainable(trained.packed, CPU)
    assert model.genotype == Genotype.from_json(trained.model.genotype.to_json())
    assert make_plan(model.recipe, trained.packed.genotype) == trained.packed.plan
    assert not (model.recipe.horizontal_flip or model.recipe.cutout or model.recipe.crop_padding)
