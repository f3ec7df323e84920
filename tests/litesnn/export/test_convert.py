"""A packed network answers as the trained one does: the same spikes and logits, on whole test sets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from litesnn.checks import InputError
from litesnn.config import Recipe
from litesnn.cost import derived_cost
from litesnn.evaluate import evaluate
from litesnn.export.convert import pack, pack_exactly, unpack
from litesnn.export.packed import read_packed
from litesnn.export.sizes import measure_sizes
from litesnn.export.trim import trim
from litesnn.inference import freeze
from litesnn.model import Model
from tests.litesnn.export.conftest import CPU, Trained, spikes_of
from tests.litesnn.test_inference import BASE, CASES, drawn, lively
from tests.litesnn.test_inference import trained as random_network


def differing(one: list[Tensor], other: list[Tensor], alive: tuple[Any, ...]) -> int:
    """Neuron updates in which two networks differ, among the channels that are left."""
    rows = zip(one, other, alive, strict=True)
    return sum(int((a != b)[:, torch.from_numpy(marks.copy())].sum()) for a, b, marks in rows)


def test_the_whole_test_set(trained: Trained) -> None:
    """In single precision a membrane within rounding of the threshold may go the other way, in double none does."""
    again, timesteps = unpack(trained.packed, CPU), trained.model.genotype.timesteps
    _, alive = trim(trained.whole)
    expected, output = spikes_of(lambda: trained.model.network(trained.x, timesteps, measure_rates=True))
    got, out = spikes_of(lambda: again.network(trained.x, timesteps, measure_rates=True))
    assert len(got) == len(expected) == 7 and lively(output.rates)
    differ = differing(got, expected, alive)
    assert differ <= 1e-5 * sum(row.numel() for row in expected)
    if not differ:
        assert torch.equal(out.logits, output.logits)
    assert torch.equal(out.logits.mean(0).argmax(-1), output.logits.mean(0).argmax(-1))
    networks = [unpack(packed, CPU, double=True).network for packed in (pack_exactly(trained.model), trained.packed)]
    rows = [spikes_of(lambda n=n: n(trained.x[:100].double(), timesteps))[0] for n in networks]
    assert differing(*rows, alive) == 0


def test_the_accuracies_and_the_frozen_form_are_the_same(trained: Trained) -> None:
    again, timesteps = unpack(trained.packed, CPU), trained.model.genotype.timesteps
    frozen = freeze(trained.model.network), freeze(again.network)
    forms = [lambda x, f=f: f(x, timesteps, measure_rates=True) for f in (*frozen, again.network)]
    for split in (trained.dataset.test, trained.dataset.val):
        first, *others = (evaluate(form, trained.dataset, split, timesteps) for form in forms)
        assert all(other.accuracy == first.accuracy for other in others)
        assert all((other.rates <= first.rates + 1e-4).all() for other in others)  # channels that are gone are silent


def test_what_goes_with_the_network_is_kept(trained: Trained, tmp_path: Path) -> None:
    loaded = Model.load(trained.path, CPU)  # a saved model packs as the trained one does
    pack(loaded).write(tmp_path / "again.lsnn")
    assert (tmp_path / "again.lsnn").read_bytes() == trained.packed_path.read_bytes()
    again = unpack(trained.packed, CPU)
    assert (again.genotype, again.classes) == (loaded.genotype, loaded.classes)
    assert torch.equal(again.mean, loaded.mean) and torch.equal(again.std, loaded.std)
    torch.testing.assert_close(again.rates, loaded.rates, rtol=0, atol=0.5 / 65535)
    costs = [derived_cost(model.genotype, model.recipe, model.rates) for model in (again, loaded)]
    assert costs[0].model_size_bits == costs[1].model_size_bits
    assert costs[0].bit_synops == pytest.approx(costs[1].bit_synops, rel=1e-3)


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
    assert differing(got, expected, trim(pack(model))[1]) == 0 and torch.equal(out.logits, output.logits)
    assert again.classes == names and size == (tmp_path / "m.lsnn").stat().st_size


def test_the_sizes(trained: Trained) -> None:
    packed, model = trained.packed, trained.model
    sizes = measure_sizes(packed)
    cost = derived_cost(model.genotype, model.recipe, model.rates)
    assert sizes.paper == cost.model_size_bits
    assert sizes.file == 8 * trained.packed_path.stat().st_size == pytest.approx(sum(sizes.parts.values()))
    assert sizes.kept == sum(packed.kept) and sizes.weights == packed.plan.weights
    assert sizes.dense == sum(layer.weights * layer.bits for layer in packed.plan.layers)
    assert sizes.parts["positions"] + sizes.parts["codes"] <= 1.01 * sizes.bound
    assert 3.4 < sizes.parts["positions"] / sizes.kept < 3.7  # the entropy at p = 80 is 3.61
    assert measure_sizes(trained.whole) == sizes


def test_a_packed_network_is_not_packed_again(trained: Trained) -> None:
    with pytest.raises(InputError, match="model: expected a trained network"):
        pack(unpack(trained.packed, CPU))
