"""Retraining: its update rule, its auxiliary head, and that the test split is read once."""

import copy
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from litesnn.checks import InputError
from litesnn.compconv import CompConv
from litesnn.config import Recipe
from litesnn.data.dataset import Dataset, Split
from litesnn.export.convert import pack_exactly
from litesnn.export.sizes import estimated_bits
from litesnn.file_size import estimated_file_bits
from litesnn.genotype import Genotype
from litesnn.retraining import Retrain, retrain

CPU = torch.device("cpu")


def test_one_iteration_equals_the_update_rules_written_out(
    tiny_recipe: Callable[..., Recipe], tiny_dataset: Dataset, tiny_genotype: Genotype
) -> None:
    recipe = tiny_recipe(retrain_lr=0.3, weight_decay=0.1, grad_clip=0.5, score_lr=0.04, aux_weight=0.7)
    run = Retrain(tiny_genotype, recipe, tiny_dataset, device=CPU)
    run.network.train()
    by_hand = copy.deepcopy(run)
    x, labels = tiny_dataset.normalise(tiny_dataset.train.inputs[:8]), tiny_dataset.train.labels[:8]
    got_loss = run.step(x, labels)

    output = by_hand.network(x, 2)
    assert output.aux_logits is not None and output.aux_logits.shape == (2, 8, 3)
    main = F.cross_entropy((output.logits[0] + output.logits[1]) / 2, labels)
    head = F.cross_entropy((output.aux_logits[0] + output.aux_logits[1]) / 2, labels)
    loss = main + 0.7 * head
    assert got_loss.item() == pytest.approx(loss.item(), rel=1e-5)
    grads = torch.autograd.grad(loss, [*by_hand.weights, *by_hand.scores])
    weight_grads, score_grads = grads[: len(by_hand.weights)], grads[len(by_hand.weights) :]
    norm = sum(float((g.double() ** 2).sum()) for g in weight_grads) ** 0.5
    assert norm > 0.5  # so that it is clipped
    for got, weight, grad in zip(run.weights, by_hand.weights, weight_grads, strict=True):
        torch.testing.assert_close(got, weight - 0.3 * (grad * 0.5 / norm + 0.1 * weight), rtol=1e-4, atol=1e-6)
    for got, score, grad in zip(run.scores, by_hand.scores, score_grads, strict=True):
        torch.testing.assert_close(got, score - 0.04 * grad / (grad.abs() + 1e-8), rtol=1e-3, atol=1e-5)


def test_without_a_head(tiny_recipe: Callable[..., Recipe], tiny_dataset: Dataset, tiny_genotype: Genotype) -> None:
    run = Retrain(tiny_genotype, tiny_recipe(aux_cell=0), tiny_dataset, device=CPU)
    x = tiny_dataset.normalise(tiny_dataset.train.inputs[:8])
    assert run.network(x, 2).aux_logits is None
    run.run_epoch()


def test_a_start_gives_the_weights_of_another_network_and_nothing_of_its_bits_and_timesteps(
    tiny_recipe: Callable[..., Recipe], tiny_dataset: Dataset, tiny_genotype: Genotype
) -> None:
    recipe = tiny_recipe(retrain_epochs=1)
    first = retrain(tiny_genotype, recipe, dataset=tiny_dataset, seed=3).model.network
    other = replace(tiny_genotype, bits=(4,) * len(tiny_genotype.bits), timesteps=1)
    run = Retrain(other, recipe, tiny_dataset, seed=4, device=CPU, start=first)
    given, got = first.state_dict(), run.network.state_dict()
    assert all(torch.equal(got[name], value) for name, value in given.items())
    assert run.genotype == other and run.evaluate(tiny_dataset.val).rates.shape[1] == 1
    run.run_epoch()
    cold = Retrain(other, recipe, tiny_dataset, seed=4, device=CPU)
    heads = [name for name in cold.network.state_dict() if name.startswith("auxiliary.")]
    assert heads, "which no file has, and which keep their initial values"
    wide = tiny_recipe(retrain_channels=2 * recipe.retrain_channels)
    with pytest.raises(InputError, match="start: expected weights of the same cell, width and classes"):
        retrain(other, wide, dataset=tiny_dataset, start=first)


def test_the_test_split_is_read_once_at_the_end(
    tiny_recipe: Callable[..., Recipe],
    tiny_dataset: Dataset,
    tiny_genotype: Genotype,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read: list[Split] = []
    counted: list[Split] = []
    original = Retrain.evaluate

    def evaluate(self: Retrain, split: Split, **options: bool) -> Any:
        read.append(split)
        counted.extend([split] if options else [])
        return original(self, split, **options)

    monkeypatch.setattr(Retrain, "evaluate", evaluate)
    retrain(tiny_genotype, tiny_recipe(), dataset=tiny_dataset)
    assert [split is tiny_dataset.test for split in read].count(True) == 1
    assert read[-1] is tiny_dataset.test
    assert len(counted) == 1 and counted[0] is tiny_dataset.val  # no epoch counts every neuron's spikes
    assert all(split is tiny_dataset.val or split is tiny_dataset.test for split in read)


def test_the_result_does_not_depend_on_the_test_split(
    tiny_recipe: Callable[..., Recipe], tiny_dataset: Dataset, tiny_genotype: Genotype
) -> None:
    wrong = Split(tiny_dataset.test.inputs, (tiny_dataset.test.labels + 1) % 3)
    other = Dataset.build("tiny", tiny_dataset.classes, tiny_dataset.train, tiny_dataset.val, wrong)
    first, second = (retrain(tiny_genotype, tiny_recipe(), dataset=d) for d in (tiny_dataset, other))
    assert first.val_accuracy == second.val_accuracy and first.cost == second.cost
    for a, b in zip(first.model.network.parameters(), second.model.network.parameters(), strict=True):
        assert torch.equal(a, b)


def test_the_network_is_what_the_genotype_says(
    tiny_recipe: Callable[..., Recipe], tiny_dataset: Dataset, tiny_genotype: Genotype
) -> None:
    network = retrain(tiny_genotype, tiny_recipe(), dataset=tiny_dataset).model.network
    for cell, bits in zip(network.cells, (2, 1), strict=True):
        for conv in (m for m in cell.modules() if isinstance(m, CompConv)):
            assert conv.bits == (bits,)
            for layer in conv.compressed_weight(None).unflatten(0, conv.weight.shape[:2]):
                values = layer.flatten().tolist()
                assert values.count(0.0) == len(values) // 2  # all sizes here are even; p = 50
                assert len(set(values) - {0.0}) <= 2**bits


def test_records_tell_size_and_timesteps(
    tiny_recipe: Callable[..., Recipe], tiny_dataset: Dataset, tiny_genotype: Genotype
) -> None:
    result = retrain(tiny_genotype, tiny_recipe(), dataset=tiny_dataset)
    # Cell 1 (2 bits, 3 channels per node): three convolutions, skip on a cell input being one, and an identity.
    # Cell 2 (1 bit, 6 channels per node) alike. Half of the weights is kept.
    stem, classifier = 4 * 9 * 6 // 2, 4 * 12 * 3 // 2
    first, second = 2 * 3 * (9 * 6 * 3) // 2, 1 * 3 * (9 * 6 * 6) // 2
    assert [r.model_size_bits for r in result.records] == [stem + first + second + classifier] * 3
    assert result.cost.model_size_bits == stem + first + second + classifier
    assert result.records[-1].bit_synops == result.cost.bit_synops
    assert result.records[-1].val_accuracy == result.val_accuracy
    assert result.cost.multiplications == 2 * 27 * 36  # two timesteps, half of 54 weights, 6 x 6 positions


def test_it_learns_what_is_easy(
    tiny_recipe: Callable[..., Recipe], tiny_dataset: Dataset, tiny_genotype: Genotype
) -> None:
    recipe = tiny_recipe(retrain_epochs=30, retrain_lr=0.2, retrain_channels=12, cutout=0, crop_padding=0)
    result = retrain(tiny_genotype, recipe, dataset=tiny_dataset)
    assert result.records[-1].loss < 0.7 * result.records[0].loss
    assert result.test_accuracy >= 75  # chance is 33


def test_a_genotype_of_another_recipe_is_refused(
    tiny_recipe: Callable[..., Recipe], tiny_dataset: Dataset, tiny_genotype: Genotype
) -> None:
    with pytest.raises(InputError, match=r"\Agenotype\.nodes: expected 1 nodes as in the recipe, got 2\Z"):
        retrain(tiny_genotype, tiny_recipe(nodes=1), dataset=tiny_dataset)


def test_the_second_timestep_sees_the_same_frame(
    tiny_recipe: Callable[..., Recipe], tiny_dataset: Dataset, tiny_genotype: Genotype
) -> None:
    # Direct encoding, and causal: the first output does not depend on how many timesteps follow.
    network = Retrain(tiny_genotype, tiny_recipe(), tiny_dataset, device=CPU).network.eval()
    x: Tensor = tiny_dataset.normalise(tiny_dataset.val.inputs)
    with torch.no_grad():
        one, three = network(x, 1).logits, network(x, 3).logits
    torch.testing.assert_close(one[0], three[0])


def test_logits_are_the_compressed_classifier_on_the_mean_of_the_last_spikes(
    tiny_recipe: Callable[..., Recipe], tiny_dataset: Dataset, tiny_genotype: Genotype
) -> None:
    network = Retrain(tiny_genotype, tiny_recipe(), tiny_dataset, device=CPU).network.eval()
    spikes: list[Tensor] = []
    network.cells[-1].register_forward_hook(lambda cell, arguments, output: spikes.append(output[0]))
    with torch.no_grad():
        logits = network(tiny_dataset.normalise(tiny_dataset.val.inputs), 2).logits
        weight = network.classifier.compressed_weight(None)[:, :, 0, 0]
    assert len(weight.unique()) <= 17 and int((weight != 0).sum()) == 18  # 4 bits; half of 12 * 3 is kept
    expected = spikes[0].flatten(2).mean(2) @ weight.T
    torch.testing.assert_close(logits.flatten(0, 1), expected)
    assert logits.std() > 0


def test_evaluation_is_that_of_the_network_itself(
    tiny_recipe: Callable[..., Recipe], tiny_dataset: Dataset, tiny_genotype: Genotype
) -> None:
    """It runs a frozen copy."""
    run = Retrain(tiny_genotype, tiny_recipe(), tiny_dataset, device=CPU)
    run.run_epoch()
    run.network.double()
    dataset = tiny_dataset.with_statistics(tiny_dataset.mean.double(), tiny_dataset.std.double())
    run.dataset = dataset
    got = run.evaluate(dataset.val)
    with torch.no_grad():
        output = run.network(dataset.normalise(dataset.val.inputs), 2, measure_rates=True)
    right = (output.logits.mean(0).argmax(-1) == dataset.val.labels).double().mean()
    assert got.accuracy == pytest.approx(100 * float(right))
    assert output.rates is not None and not run.network.training
    torch.testing.assert_close(got.rates, output.rates, rtol=0, atol=1e-12)


def test_records_tell_the_file_of_the_network_as_it_is(
    tiny_recipe: Callable[..., Recipe], tiny_dataset: Dataset, tiny_genotype: Genotype
) -> None:
    """And of one that has diverged, of which there is no file, what its shapes say."""
    result = retrain(tiny_genotype, tiny_recipe(), dataset=tiny_dataset)
    by_shapes = estimated_file_bits(tiny_genotype, tiny_recipe())
    assert result.records[-1].file_bits == estimated_bits(pack_exactly(result.model)) != by_shapes
    run = Retrain(tiny_genotype, tiny_recipe(), tiny_dataset, device=CPU)
    with torch.no_grad():
        run.network.stem_norm.weight.fill_(math.nan)
    assert run._assess()[1].file_bits == by_shapes
