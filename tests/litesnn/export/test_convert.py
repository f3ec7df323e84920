"""A packed network answers as the trained one does: the same bits everywhere, on whole test sets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from litesnn.checks import InputError
from litesnn.config import Recipe
from litesnn.cost import derived_cost
from litesnn.evaluate import evaluate
from litesnn.export.convert import pack, unpack
from litesnn.export.packed import read_packed
from litesnn.export.sizes import measure_sizes
from litesnn.inference import freeze
from litesnn.model import Model
from litesnn.network import Network
from tests.litesnn.export.conftest import CPU, Trained, spikes_of
from tests.litesnn.test_inference import BASE, CASES, drawn, lively
from tests.litesnn.test_inference import trained as random_network


@torch.no_grad()
def norms_of(network: Network, x: Tensor, timesteps: int) -> list[Tensor]:
    """What arrives at the nodes behind every batch norm, in one pass."""
    seen: list[Tensor] = []

    def note(module: nn.Module, inputs: object, output: Any) -> None:
        seen.extend([output] if isinstance(output, Tensor) else [part for _, part in output])

    hooks = [network.stem_norm.register_forward_hook(note)]
    hooks += [convs.register_forward_hook(note) for cell in network.cells for convs in cell.convs]  # type: ignore[union-attr]
    network(x, timesteps)
    for hook in hooks:
        hook.remove()
    return seen


def test_the_whole_test_set_to_the_last_bit(trained: Trained) -> None:
    again, timesteps = unpack(trained.packed, CPU), trained.model.genotype.timesteps
    expected, output = spikes_of(lambda: trained.model.network(trained.x, timesteps, measure_rates=True))
    got, out = spikes_of(lambda: again.network(trained.x, timesteps, measure_rates=True))
    assert len(got) == len(expected) == 7 and all(map(torch.equal, got, expected))
    assert lively(output.rates)
    assert torch.equal(out.logits, output.logits)
    arriving = norms_of(trained.model.network, trained.x, timesteps)
    assert len(arriving) > 9 and all(map(torch.equal, norms_of(again.network, trained.x, timesteps), arriving))


def test_the_accuracies_and_the_frozen_form_are_the_same(trained: Trained) -> None:
    again, timesteps = unpack(trained.packed, CPU), trained.model.genotype.timesteps
    frozen = freeze(trained.model.network), freeze(again.network)
    forms = [lambda x, f=f: f(x, timesteps, measure_rates=True) for f in (*frozen, again.network)]
    for split in (trained.dataset.test, trained.dataset.val):
        first, *others = (evaluate(form, trained.dataset, split, timesteps) for form in forms)
        assert all(other.accuracy == first.accuracy for other in others)
        assert torch.equal(first.rates, others[0].rates)


def test_what_goes_with_the_network_is_kept(trained: Trained, tmp_path: Path) -> None:
    loaded = Model.load(trained.path, CPU)  # a saved model packs as the trained one does
    pack(loaded).write(tmp_path / "again.lsnn")
    assert (tmp_path / "again.lsnn").read_bytes() == trained.packed_path.read_bytes()
    again = unpack(trained.packed, CPU)
    assert (again.genotype, again.classes) == (loaded.genotype, loaded.classes)
    assert torch.equal(again.mean, loaded.mean) and torch.equal(again.std, loaded.std)
    assert torch.equal(again.rates, loaded.rates)
    assert derived_cost(again.genotype, again.recipe, again.rates) == derived_cost(
        loaded.genotype, loaded.recipe, loaded.rates
    )


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("name", CASES)
def test_every_shape(name: str, seed: int, tmp_path: Path) -> None:
    recipe = Recipe(**{**BASE, **CASES[name]}, bit_widths=(1, 2, 3, 4))
    torch.manual_seed(seed)
    genotype = drawn(recipe, seed)
    network = random_network(recipe, genotype)
    rates = torch.rand(1 + recipe.cells * recipe.nodes, genotype.timesteps)
    channels = recipe.input_shape[0]
    mean, std = torch.rand(channels, 1, 1), torch.rand(channels, 1, 1) + 0.1
    names = tuple("añ中|\"'"[i] for i in range(5))
    model = Model(network=network, genotype=genotype, recipe=recipe, classes=names, mean=mean, std=std, rates=rates)
    state = torch.get_rng_state()
    size = pack(model).write(tmp_path / "m.lsnn")
    again = unpack(read_packed(tmp_path / "m.lsnn"), CPU)
    assert torch.equal(torch.get_rng_state(), state)
    x = torch.randn(5, *recipe.input_shape)
    expected, output = spikes_of(lambda: network(x, recipe.timesteps))
    got, out = spikes_of(lambda: again.network(x, recipe.timesteps))
    assert all(map(torch.equal, got, expected)) and torch.equal(out.logits, output.logits)
    assert again.classes == names and size == (tmp_path / "m.lsnn").stat().st_size


def test_the_sizes(trained: Trained) -> None:
    packed, model = trained.packed, trained.model
    sizes = measure_sizes(packed)
    cost = derived_cost(model.genotype, model.recipe, model.rates)
    assert sizes.paper == cost.model_size_bits and sizes.norms == cost.side_bits
    assert sizes.file == 8 * trained.packed_path.stat().st_size
    assert sizes.kept == sum(packed.kept) and sizes.weights == packed.plan.weights
    assert sizes.dense == sum(layer.weights * layer.bits for layer in packed.plan.layers)
    assert sizes.file > sizes.paper + sizes.positions + sizes.norms
    assert 3.4 < sizes.positions / sizes.kept < 3.8  # the entropy at p = 80 is 3.61


def test_another_number_of_kept_weights_is_refused(trained: Trained) -> None:
    packed = trained.packed
    packed.codes[1][np.unravel_index(np.flatnonzero(packed.codes[1])[0], packed.codes[1].shape)] = 0
    with pytest.raises(InputError, match=r"\Amodel: expected \d+ kept weights at p = 80 in cell1[^\n]+\Z"):
        unpack(packed, CPU)


def test_a_packed_network_is_not_packed_again(trained: Trained) -> None:
    with pytest.raises(InputError, match="model: expected a trained network"):
        pack(unpack(trained.packed, CPU))
