"""``litesnn export`` and ``litesnn run`` as a user types them, with the card beside every export."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from litesnn import cli
from litesnn.cost import derived_cost
from litesnn.export.packed import read_packed
from litesnn.export.runtime import Runtime
from tests.litesnn.export.conftest import Trained

FORMATS = ("lsnn", "nir", "onnx")


def output_of(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    capsys.readouterr()
    assert cli.main([str(argument) for argument in arguments]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("kind", FORMATS)
def test_a_file_and_its_card(kind: str, trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "deep" / f"mine.{kind}"
    printed = output_of(capsys, "export", trained.path, "-o", out)
    assert sorted(path.name for path in out.parent.iterdir()) == [f"mine.{kind}", f"mine.{kind}.md"]
    card = out.with_name(f"mine.{kind}.md").read_text(encoding="utf-8")
    for text in (printed, card):
        for size in ("size as in the paper", "size when packed", "size when dense"):
            assert size in text
    model = trained.model
    cost = derived_cost(model.genotype, model.recipe, model.rates)
    facts = json.loads((trained.path.parent / "result.json").read_text())
    for fact in (
        "| data | digits",
        f"| test accuracy | {facts['test_accuracy']:.2f} % (test split",
        f"| validation accuracy | {facts['val_accuracy']:.2f} % (validation split",
        f"| additions | {cost.additions / 1e6:.4f} M",
        f"| energy | {1e3 * cost.energy_mj:.4f} µJ",
        "| point | lambda1 = 1e-06, lambda2 = 1e-09, p = 80 |",
        "| seed | 0 |",
        f"| size of mine.{kind} | {out.stat().st_size:,} bytes |",
        "torch ",
        '"retrain_epochs": 6',
        "node 0",
    ):
        assert fact in card, fact


def test_c_comes_with_its_header(trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    printed = output_of(capsys, "export", trained.packed_path, "-o", tmp_path / "wake.c")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["wake.c", "wake.c.md", "wake.h"]
    assert '#include "wake.h"' in (tmp_path / "wake.c").read_text() and "flash: " in printed and "RAM: " in printed
    assert "wake.c (" in printed and "its header wake.h and its card wake.c.md" in printed


def test_scales_in_fp16_say_what_they_change(
    trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    printed = output_of(capsys, "export", trained.path, "-o", tmp_path / "small.lsnn", "--scales", "fp16")
    assert re.search(r"scales in fp16 +\d+ of 200 validation samples change their class, scores by", printed)
    small, whole = (tmp_path / "small.lsnn").stat().st_size, trained.packed_path.stat().st_size
    assert small < whole - sum(map(len, trained.packed.scale))  # a byte and more for each
    again = read_packed(tmp_path / "small.lsnn")
    for one, other in zip(again.scale + again.bias, trained.packed.scale + trained.packed.bias, strict=True):
        np.testing.assert_allclose(one, other, rtol=2**-11)


def test_from_a_packed_file_without_a_result(
    trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    alone = tmp_path / "alone.lsnn"
    shutil.copy(trained.packed_path, alone)
    output_of(capsys, "export", alone, "--format", "onnx")
    card = (tmp_path / "model.onnx.md").read_text(encoding="utf-8")
    assert "| test accuracy | not recorded" in card and "| seed | not recorded |" in card
    assert "## Training recipe\n\nNot recorded in the packed file" in card and "retrain_epochs" not in card
    output_of(capsys, "export", trained.path, "--format", "onnx", "-o", tmp_path / "trained.onnx")
    assert (tmp_path / "model.onnx").read_bytes() == (tmp_path / "trained.onnx").read_bytes()


def test_describe_says_the_same_of_both_and_evaluate_the_same_accuracy(
    trained: Trained, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = {output_of(capsys, "describe", path) for path in (trained.path, trained.packed_path)}
    assert len(texts) == 1 and "size as in the paper" in texts.pop()
    lines = {output_of(capsys, "evaluate", path).splitlines()[0] for path in (trained.path, trained.packed_path)}
    assert len(lines) == 1 and lines.pop().startswith("accuracy")


def test_evaluate_counts_what_the_runtime_adds(trained: Trained, capsys: pytest.CaptureFixture[str]) -> None:
    printed = output_of(capsys, "evaluate", trained.path, "--split", "test")
    runtime = Runtime(trained.whole)
    added = np.mean([runtime(x).additions for x in trained.x.numpy()])
    assert f"additions    {added / 1e6:.3f} M counted, " in printed and "by Eq. 12 per sample" in printed
    assert re.search(
        r"  with bits  \d+\.\d{3} µJ per sample: synapses \d+ %, memory \d+ %, scales .*neurons .*stem", printed
    )


def test_run_shows_the_best_classes(trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = tmp_path / "digit.png"
    Image.fromarray(trained.dataset.test.inputs[0, 0].numpy()).save(picture)
    shown = output_of(capsys, "run", trained.packed_path, picture, "--top", "4").split("\n\n")[0].splitlines()
    shares = [float(line.split()[1]) for line in shown]
    assert len(shown) == 4 and shares == sorted(shares, reverse=True) and sum(shares) <= 100.1
    logits = trained.model.network(trained.x[:1], trained.model.genotype.timesteps).logits.mean(0)[0]
    assert [line.split()[0] for line in shown] == [
        trained.model.classes[k] for k in logits.argsort(descending=True)[:4]
    ]


CASES = [
    ("export {tmp}/missing.safetensors", "model: expected a readable file"),
    ("export {tmp}/text.lsnn", "model: expected a packed network"),
    ("export {model} --format tflite", "format: expected one of lsnn, nir, onnx, c, got 'tflite'"),
    ("export {model} -o {tmp}/text.lsnn/below.lsnn", "expected a path that can be written"),
    ("export {model} --scales fp8", "scales: expected one of exact, fp16, got 'fp8'"),
    ("export {tmp}/damaged/model.safetensors", "result: expected JSON"),
    ("export {tmp}/list/model.safetensors", "result: expected an object, got list"),
    ("run {tmp}/missing.lsnn {tmp}/x.png", "model: expected a readable file"),
    ("run {tmp} {tmp}/x.png", "model: expected a readable file"),
    ("run {tmp}/text.lsnn {tmp}/x.png", "model: expected a packed network"),
    ("run {model} {tmp}/x.png", "model: expected a packed network"),
    ("run {packed} {tmp}/missing.png", "input: expected a readable image"),
    ("run {packed} {tmp}/text.lsnn", "input: expected a readable image"),
    ("run {packed} {tmp}/x.png --top 0", "top: expected an integer of at least 1"),
    ("run {packed} {tmp}/missing.wav", "input: expected an image"),
    ("evaluate {tmp}/text.lsnn", "model: expected a packed network"),
    ("describe {tmp}/text.lsnn", "model: expected a packed network"),
    ("export", "export: the following arguments are required: model"),
    ("run {packed}", "run: the following arguments are required: input"),
]


@pytest.mark.parametrize(("arguments", "expected"), CASES)
def test_bad_input_is_one_line(
    arguments: str, expected: str, trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "text.lsnn").write_text("not what you think")
    Image.new("L", (8, 8)).save(tmp_path / "x.png")
    for name, text in (("damaged", "{"), ("list", "[1]")):
        (tmp_path / name).mkdir()
        shutil.copy(trained.path, tmp_path / name)
        (tmp_path / name / "result.json").write_text(text)
    before = sorted(tmp_path.rglob("*"))
    words = arguments.format(tmp=tmp_path, model=trained.path, packed=trained.packed_path).split()
    try:
        code = cli.main(words)
    except SystemExit as stop:  # from the parser
        code = int(stop.code or 0)
    error = capsys.readouterr().err
    assert code == 2 and len(error.splitlines()) == 1 and expected in error, error
    assert sorted(tmp_path.rglob("*")) == before
