"""``litesnn.load`` and what it gives: the answers of ``litesnn run``, the runtime's spikes, fine-tuning, files again."""

from __future__ import annotations

import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
import torch.nn.functional as F
from PIL import Image

import litesnn
from litesnn import cli
from litesnn.config import Recipe
from litesnn.data.dataset import Dataset
from litesnn.data.features import FEATURE_SHAPE, read_clip
from litesnn.export.inputs import read_input
from litesnn.export.packed import read_packed
from litesnn.export.runtime import Runtime
from litesnn.genotype import Genotype
from litesnn.trained import TrainedNetwork
from tests.litesnn.export.old_file import OLD_FILE

KINDS = ("model.safetensors", "model.lsnn")


@pytest.fixture
def folder(tiny_recipe: Callable[..., Recipe], tiny_dataset: Dataset, tiny_genotype: Genotype, tmp_path: Path) -> Path:
    """With a network in both forms and an image of another size."""
    recipe = tiny_recipe(retrain_epochs=6, timestep_loss=0.5, logit_scale=4.0)
    model = litesnn.retrain(tiny_genotype, recipe, dataset=tiny_dataset).model
    model.save(tmp_path / "model.safetensors")
    TrainedNetwork(model).save(tmp_path / "model.lsnn")
    pixels = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    Image.fromarray(pixels).save(tmp_path / "photo.jpg", exif=_turned())
    for number in range(4):
        Image.fromarray(tiny_dataset.test.inputs[number, 0].numpy()).save(tmp_path / f"{number}.png")
    return tmp_path


def _turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


@pytest.mark.parametrize("kind", KINDS)
def test_predictions_are_those_of_litesnn_run(kind: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The scores of the runtime to the last bit, and the text of the command."""
    net, packed = litesnn.load(folder / kind), read_packed(folder / "model.lsnn")
    runtime = Runtime(packed)
    seen = set()
    for path in sorted([*folder.glob("*.png"), *folder.glob("*.jpg")]):
        found = net.predict(path)
        answer = runtime(read_input(path, packed))
        assert np.array_equal(found.scores, answer.scores)
        capsys.readouterr()
        assert cli.main(["run", str(folder / "model.lsnn"), str(path), "--top", "3"]) == 0
        lines = [line.split() for line in capsys.readouterr().out.split("\n\n")[0].splitlines()]
        assert [(name, f"{100 * share:.1f}") for name, share in found.top(3)] == [(line[0], line[1]) for line in lines]
        assert (found.name, found.index) == (lines[0][0], packed.classes.index(lines[0][0]))
        assert found.probabilities.sum() == pytest.approx(1) and found.probability == found.probabilities.max()
        assert str(found) == f"{found.name} ({100 * found.probability:.1f} %)"
        seen.add(found.name)
    assert len(seen) > 1


def test_every_form_of_an_input_gives_the_same_answer(folder: Path, tiny_dataset: Dataset) -> None:
    net, pixels = litesnn.load(folder), tiny_dataset.test.inputs[0]
    forms: list[Any] = [folder / "0.png", str(folder / "0.png"), Image.open(folder / "0.png"), pixels, pixels.numpy()]
    forms += [pixels[0], pixels[0].numpy(), pixels.float() / 255, pixels.double().numpy() / 255]
    expected = net.predict(forms[0]).scores
    for form in forms[1:]:
        assert np.array_equal(net.predict(form).scores, expected)
    photo = Image.open(folder / "photo.png")
    expected = net.predict(folder / "photo.png").scores
    opaque = np.concatenate([np.asarray(photo), np.full((50, 70, 1), 255, np.uint8)], axis=2)
    for form in (photo, np.asarray(photo), torch.from_numpy(np.array(photo)), opaque):
        assert np.array_equal(net.predict(form).scores, expected)
    turned = Image.open(folder / "photo.jpg")
    net.predict(turned)
    assert turned.size == (70, 50)  # it is not shrunk in the caller's hands


def test_logits_are_the_networks(folder: Path, tiny_dataset: Dataset) -> None:
    """Pixels go in as they are; whole numbers and floats are the same pixels."""
    net, inputs = litesnn.load(folder), tiny_dataset.test.inputs
    with torch.no_grad():
        expected = net.network(tiny_dataset.normalise(inputs), 2).logits.mean(0)
        assert torch.equal(net(inputs), expected) and torch.equal(net(inputs.float() / 255), expected)
        assert torch.equal(net(inputs.double() / 255), expected)
    assert expected.shape == (12, 3) and expected.std() > 0
    scores = np.stack([net.predict(x).scores for x in inputs])
    np.testing.assert_allclose(scores, expected.numpy(), atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_spikes_are_the_runtimes(kind: str, folder: Path, tiny_dataset: Dataset) -> None:
    """Those of a cell's nodes, one after another. Of channels that the file lacks there are none in it."""
    net, packed = litesnn.load(folder / kind), read_packed(folder / "model.lsnn")
    inputs = tiny_dataset.test.inputs
    found = net.spikes(inputs)
    assert list(found) == ["stem", "cell1", "cell2"]
    assert {name: tuple(s.shape) for name, s in found.items()} == {
        "stem": (2, 12, 6, 6, 6),
        "cell1": (2, 12, 6, 6, 6),
        "cell2": (2, 12, 12, 3, 3),
    }
    whole = net.packed if kind == "model.lsnn" else litesnn.export.convert.pack(net.model)  # type: ignore[attr-defined]
    runtime = Runtime(whole)
    for number, x in enumerate(tiny_dataset.normalise(inputs).numpy()):
        rows = runtime(x).spikes
        for name, group in (("stem", rows[:1]), ("cell1", rows[1:3]), ("cell2", rows[3:5])):
            assert np.array_equal(found[name][:, number].numpy(), np.concatenate(group, axis=1))
    assert found["cell2"].any() and packed.plan.timesteps == 2


def test_a_network_of_bf16_is_predicted_as_the_runtime_does(
    tiny_recipe: Callable[..., Recipe], tiny_dataset: Dataset, tiny_genotype: Genotype
) -> None:
    """Which multiplies no rounded factors; the module itself does, as in training."""
    model = litesnn.retrain(tiny_genotype, tiny_recipe(precision="bf16"), dataset=tiny_dataset).model
    net = TrainedNetwork(model)
    runtime = Runtime(net.packed)
    for x, given in zip(
        tiny_dataset.normalise(tiny_dataset.test.inputs).numpy(), tiny_dataset.test.inputs, strict=True
    ):
        assert np.array_equal(net.predict(given).scores, runtime(x).scores)


@pytest.mark.parametrize("kind", KINDS)
def test_fine_tuning_lowers_the_loss(kind: str, folder: Path, tiny_dataset: Dataset) -> None:
    """On pictures that are turned upside down, the classes of which the network gets wrong."""
    net = litesnn.load(folder / kind)
    pairs = [
        (split.inputs.flip(2), split.labels) for split in (tiny_dataset.train, tiny_dataset.test, tiny_dataset.val)
    ]
    turned = Dataset.from_arrays(*pairs, classes=("a", "b", "c"))
    before, answer = _loss(net, turned), net.predict(folder / "0.png").scores
    epochs: list[int] = []
    result = net.fine_tune(
        turned, epochs=20, learning_rate=0.03, batch_size=8, on_epoch=lambda record: epochs.append(record.epoch)
    )
    after = _loss(net, turned)
    assert after < 0.7 * before and not net.training and epochs == list(range(1, 21))
    assert result.test_accuracy == pytest.approx(
        100 * float((net(turned.test.inputs).argmax(1) == turned.test.labels).float().mean())
    )
    assert not np.array_equal(net.predict(folder / "0.png").scores, answer)  # nothing stale is answered
    assert net.facts == {"val_accuracy": result.val_accuracy, "test_accuracy": result.test_accuracy}
    for again in (net.save(folder / "tuned.lsnn"), net.save(folder / "tuned.safetensors")):
        other = litesnn.load(again)
        assert np.array_equal(other.predict(folder / "0.png").scores, net.predict(folder / "0.png").scores)
        assert _loss(other, turned) == pytest.approx(after, rel=1e-5)
    assert [layer.shape for layer in net.packed.codes] == [
        layer.shape for layer in read_packed(again.with_suffix(".lsnn")).codes
    ]


@torch.no_grad()
def _loss(net: TrainedNetwork, dataset: Dataset) -> float:
    return F.cross_entropy(net.recipe.logit_scale * net(dataset.train.inputs), dataset.train.labels).item()


@pytest.mark.parametrize("kind", KINDS)
def test_a_plain_loop_of_pytorch_trains_it(kind: str, folder: Path, tiny_dataset: Dataset) -> None:
    net, x = litesnn.load(folder / kind), tiny_dataset.train.inputs
    assert net.save(folder / "again.lsnn").read_bytes() == (folder / "model.lsnn").read_bytes()
    labels = (tiny_dataset.train.labels + 1) % 3
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    losses = []
    net.train()
    for _ in range(25):
        loss = F.cross_entropy(4 * net(x), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0] and net.facts == {}


def test_loading_what_no_packed_file_lacks(folder: Path) -> None:
    """A folder means its model.safetensors; the name of a packed file does not matter."""
    assert not litesnn.load(folder).from_packed and litesnn.load(folder / "model.lsnn").from_packed
    shutil.copy(folder / "model.lsnn", folder / "renamed")
    assert litesnn.load(folder / "renamed").from_packed
    (folder / "model.safetensors").unlink()
    assert litesnn.load(str(folder)).from_packed


def test_a_file_of_format_1_loads() -> None:
    net = litesnn.load(OLD_FILE)
    packed = read_packed(OLD_FILE)
    x = torch.rand(3, *packed.recipe.input_shape, generator=torch.Generator().manual_seed(0))
    runtime = Runtime(packed)
    for one in x:
        normalised = (one.numpy() - packed.mean) / packed.std
        assert np.array_equal(net.predict(one).scores, runtime(normalised).scores)


def test_clips(tiny_recipe: Callable[..., Recipe], tiny_genotype: Genotype, tmp_path: Path) -> None:
    """A path, its samples at 16 kHz, as floats and as integers, and its features are one clip."""
    x = np.random.default_rng(0).normal(0, 30, (30, *FEATURE_SHAPE)).astype(np.float32)
    dataset = Dataset.from_arrays((x, np.arange(30) % 3), features=True, val_fraction=0.3)
    recipe = tiny_recipe(
        input_shape=FEATURE_SHAPE,
        dataset=dataset.name,
        crop_padding=0,
        horizontal_flip=False,
        cutout=0,
        retrain_epochs=1,
    )
    net = TrainedNetwork(litesnn.retrain(tiny_genotype, recipe, dataset=dataset).model)
    net.save(tmp_path / "model.lsnn")
    samples = np.random.default_rng(1).integers(-9000, 9000, 12_000).astype(np.int16)
    soundfile.write(tmp_path / "clip.wav", samples, 16_000)
    packed = read_packed(tmp_path / "model.lsnn")
    expected = Runtime(packed)(read_input(tmp_path / "clip.wav", packed)).scores
    waveform = read_clip(tmp_path / "clip.wav")
    features = litesnn.data.features.mfcc(waveform[None])[0]  # type: ignore[attr-defined]
    for form in (tmp_path / "clip.wav", samples, waveform, waveform[:12_000].numpy(), features):
        assert np.array_equal(net.predict(form).scores, expected)
    with pytest.raises(litesnn.InputError, match="or a clip"):
        net.predict(np.zeros((2, 16_000), np.float32))
    with pytest.raises(litesnn.InputError, match="got an image"):
        net.predict(Image.new("L", (98, 40)))


BAD_INPUTS: list[tuple[Callable[[TrainedNetwork], Any], str]] = [
    (lambda net: net(torch.zeros(1, 6, 6)), r"expected a tensor \[B, 1, 6, 6\], got \[1, 6, 6\]"),
    (lambda net: net(torch.zeros(0, 1, 6, 6)), r"expected a tensor \[B, 1, 6, 6\], got \[0, 1, 6, 6\]"),
    (lambda net: net(np.zeros((1, 1, 6, 6))), "expected a tensor .*, got ndarray"),
    (lambda net: net(torch.zeros(1, 1, 6, 6, dtype=torch.int64)), "expected uint8 or floats, got torch.int64"),
    (lambda net: net(torch.full((1, 1, 6, 6), 200.0)), "expected floats on the scale 0 to 1, not normalised, got 200"),
    (lambda net: net(torch.full((1, 1, 6, 6), float("nan"))), "expected finite numbers"),
    (lambda net: net.spikes(torch.zeros(2, 3, 6, 6)), "expected a tensor"),
    (lambda net: net.predict("missing.png"), "expected a readable image"),
    (lambda net: net.predict("missing.wav"), "expected an image of 6 x 6"),
    (lambda net: net.predict(None), "expected a path, an image, an array or a tensor, got NoneType"),
    (
        lambda net: net.predict(np.zeros((3, 7, 9))),
        r"expected \[1, 6, 6\] as uint8 or floats.*got \[3, 7, 9\] of float64",
    ),
    (lambda net: net.predict(np.zeros((6, 6), np.int64)), "got .*int64"),
    (lambda net: net.predict(np.zeros((6, 6), object)), "got .*object"),
    (lambda net: net.predict(np.zeros((0, 6), np.uint8)), "got .*0, 6"),
    (lambda net: net.save("model.pt"), "expected a name that ends in .lsnn or .safetensors, got 'model.pt'"),
]


@pytest.mark.parametrize("number", range(len(BAD_INPUTS)))
def test_bad_input_is_one_line(number: int, folder: Path) -> None:
    ask, message = BAD_INPUTS[number]
    with pytest.raises(litesnn.InputError, match=message) as error:
        ask(litesnn.load(folder))
    assert "\n" not in str(error.value)


def test_data_that_do_not_fit_are_refused(folder: Path, tiny_dataset: Dataset) -> None:
    net, train = litesnn.load(folder), tiny_dataset.train
    other = Dataset.from_arrays((train.inputs, train.labels), classes=("x", "y", "z"))
    with pytest.raises(litesnn.InputError, match="expected the network's classes a, b, c, got x, y, z"):
        net.fine_tune(other)
    wide = Dataset.from_arrays((train.inputs.repeat(1, 1, 1, 2), train.labels), classes=("a", "b", "c"))
    with pytest.raises(litesnn.InputError, match="input_shape"):
        net.fine_tune(wide)
    with pytest.raises(litesnn.InputError, match="retrain_epochs: expected an integer of at least 1"):
        net.fine_tune(tiny_dataset, epochs=0)


def test_files_that_are_no_networks(tmp_path: Path) -> None:
    """No pickle is opened, under any name."""
    fired = tmp_path / "fired"
    for name in ("model.safetensors", "x.lsnn", "model.pt"):
        (tmp_path / name).write_bytes(pickle.dumps(_Bomb(str(fired))))
        with pytest.raises(litesnn.InputError, match=r"\Amodel: expected [^\n]+\Z"):
            litesnn.load(tmp_path / name)
    torch.save({"a": _Bomb(str(fired))}, tmp_path / "model.safetensors")
    for place in (tmp_path, tmp_path / "none", tmp_path / "none.lsnn"):
        with pytest.raises(litesnn.InputError, match=r"\Amodel: expected [^\n]+\Z"):
            litesnn.load(place)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(litesnn.InputError, match="expected model.safetensors or model.lsnn in the folder"):
        litesnn.load(tmp_path)
    assert not fired.exists()
    with pytest.raises(litesnn.InputError, match="device: expected"):
        litesnn.load(tmp_path, device="tpu")


class _Bomb:
    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path(self.path),)


def test_importing_loads_nothing_large_and_every_public_name_is_there() -> None:
    code = "import sys, litesnn; print([m for m in ('torch', 'numpy', 'PIL', 'huggingface_hub') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
    for name in litesnn.__all__:
        assert getattr(litesnn, name).__name__ == name
    assert (Path(litesnn.__file__).parent / "py.typed").is_file()
