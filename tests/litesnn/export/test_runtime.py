"""The reference runtime: the network's classes and spikes, every operation counted, and no torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from litesnn.config import Recipe
from litesnn.cost import derived_cost
from litesnn.export.convert import pack, unpack
from litesnn.export.packed import Packed
from litesnn.export.runtime import Answer, Runtime
from litesnn.export.trim import trim
from litesnn.model import Model
from tests.litesnn.export.conftest import CPU, Trained, spikes_of
from tests.litesnn.test_inference import BASE, CASES, drawn
from tests.litesnn.test_inference import trained as random_network


@pytest.fixture(scope="module")
def answers(trained: Trained) -> list[Answer]:
    """Of the whole test set."""
    runtime = Runtime(trained.whole)
    return [runtime(x) for x in trained.x.numpy()]


def differing(answers: list[Answer], rows: list[torch.Tensor], timesteps: int) -> int:
    """Neuron updates in which runtime and network differ, of all rows and samples."""
    total = 0
    for row, spikes in enumerate(rows):
        mine = np.stack([answer.spikes[row] for answer in answers], axis=1)
        total += int((mine != (spikes.unflatten(0, (timesteps, -1)).numpy() > 0)).sum())
    return total


def test_classes_and_spikes_of_the_whole_test_set(trained: Trained, answers: list[Answer]) -> None:
    model, timesteps = trained.model, trained.model.genotype.timesteps
    rows, output = spikes_of(lambda: model.network(trained.x, timesteps))
    logits = output.logits.mean(0)
    classes = torch.tensor([int(answer.scores.argmax()) for answer in answers])
    # Scores are sums of integers, so that two can be equal; in single precision rounding then takes one of them.
    assert (logits.gather(1, classes[:, None])[:, 0] > logits.amax(1) - 1e-6).all()
    # A membrane within rounding of the threshold: one update in millions in single precision, none in double.
    updates = sum(row.numel() for row in rows)
    assert updates > 1_000_000 and differing(answers, rows, timesteps) <= updates * 1e-5
    double = unpack(trained.whole, CPU, double=True).network
    rows, output = spikes_of(lambda: double(trained.x.double(), timesteps))
    assert differing(answers, rows, timesteps) == 0
    np.testing.assert_allclose([a.scores for a in answers], output.logits.mean(0).numpy(), rtol=1e-9, atol=1e-9)


def test_the_file_answers_as_the_network_does(trained: Trained, answers: list[Answer]) -> None:
    """Every spike of a channel that is in it, and every score, of the first 100 digits, to the last bit."""
    packed, (_, alive) = trained.packed, trim(trained.whole)
    assert sum(packed.kept) < sum(trained.whole.kept)
    runtime = Runtime(packed)
    for x, before in zip(trained.x[:100].numpy(), answers, strict=False):
        after = runtime(x)
        assert np.array_equal(after.scores, before.scores) and after.additions <= before.additions
        rows = zip(before.spikes, after.spikes, alive, strict=True)
        assert all(np.array_equal(spikes[:, marks], again[:, marks]) for spikes, again, marks in rows)


def test_synops_are_those_reported(trained: Trained, answers: list[Answer]) -> None:
    """Eq. 12 from the runtime's own spikes, sample by sample, against the cost of the split's mean rates."""
    model, timesteps = trained.model, trained.model.genotype.timesteps
    with torch.no_grad():
        output = model.network(trained.x, timesteps, measure_rates=True)
    assert output.rates is not None
    cost = derived_cost(model.genotype, model.recipe, output.rates)
    assert np.mean([answer.synops for answer in answers]) == pytest.approx(cost.additions, rel=1e-5)
    assert {answer.stem_synops for answer in answers} == {cost.multiplications}
    assert {answer.multiplications for answer in answers} == {cost.multiplications / timesteps}


def check_counts(packed: Packed, answer: Answer) -> None:
    """Additions against a dense convolution with ones: how many kept weights meet a spike, at all outputs."""
    plan, timesteps = packed.plan, packed.plan.timesteps
    for layer, codes, count in zip(plan.layers, packed.codes, answer.layers, strict=True):
        if not layer.reads:
            assert count.additions == 0 and count.multiplications == np.count_nonzero(codes) * layer.positions
            continue
        state = torch.from_numpy(np.concatenate([answer.spikes[row] for row in layer.reads], axis=1)).double()
        ones = torch.from_numpy((codes != 0).astype(np.float64))
        met = F.conv2d(state, ones, stride=layer.stride, padding=layer.kernel // 2).sum()
        assert (count.additions, count.multiplications) == (int(met), 0)
        rate = float(state.mean()) * timesteps
        assert count.synops == pytest.approx(np.count_nonzero(codes) * layer.positions * rate)
    neurons = timesteps * sum(row.neurons for row in plan.rows)
    convolved = [index for row in plan.rows for index in row.layers]
    sums = sum(
        (timesteps if index else 1) * plan.layers[index].outputs * plan.layers[index].positions for index in convolved
    )
    skipped = timesteps * sum(len(row.skips) * row.neurons for row in plan.rows)
    assert answer.neuron_multiplications == neurons + sums
    assert answer.neuron_additions == neurons + sums + skipped


def test_every_addition_is_counted(trained: Trained, answers: list[Answer]) -> None:
    assert all(answer.additions > 10_000 for answer in answers[:5])
    for answer in answers[:5]:
        check_counts(trained.whole, answer)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("name", CASES)
def test_every_shape(name: str, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("litesnn.export.runtime._CHUNK", 97)  # several chunks even here
    recipe = Recipe(**{**BASE, **CASES[name]}, bit_widths=(1, 2, 3, 4))
    torch.manual_seed(seed)
    genotype, ones = drawn(recipe, seed), torch.ones(recipe.input_shape[0], 1, 1)
    rates = torch.zeros(1 + recipe.cells * recipe.nodes, genotype.timesteps)
    network = random_network(recipe, genotype)
    packed = pack(
        Model(
            network=network,
            genotype=genotype,
            recipe=recipe,
            classes=tuple("abcde"),
            mean=0 * ones,
            std=ones,
            rates=rates,
        )
    )
    x = torch.randn(2, *recipe.input_shape)
    answers = [Runtime(packed)(sample) for sample in x.numpy()]
    double = unpack(packed, CPU, double=True).network
    rows, output = spikes_of(lambda: double(x.double(), recipe.timesteps))
    assert differing(answers, rows, recipe.timesteps) == 0
    np.testing.assert_allclose([a.scores for a in answers], output.logits.mean(0).numpy(), rtol=1e-9, atol=1e-9)
    check_counts(packed, answers[0])


def test_a_picture_is_classified_without_torch(trained: Trained, answers: list[Answer], tmp_path: Path) -> None:
    Image.fromarray(trained.dataset.test.inputs[3, 0].numpy()).save(tmp_path / "digit.png")
    code = (
        "import sys; from litesnn.cli import main; "
        f"print(main(['run', {str(trained.packed_path)!r}, {str(tmp_path / 'digit.png')!r}, '--top', '1'])); "
        "print([m for m in ('torch', 'ray', 'sklearn') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert lines[0].split()[0] == trained.model.classes[int(answers[3].scores.argmax())]
    additions = Runtime(trained.packed)(trained.x[3].numpy()).additions
    assert f"{additions:,} of integer codes" in done.stdout
    assert lines[-2:] == ["0", "[]"]
