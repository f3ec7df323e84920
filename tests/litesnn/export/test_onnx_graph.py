"""The ONNX graph, run by onnxruntime: the same classes, for any batch size."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from litesnn.config import Recipe
from litesnn.export.convert import pack
from litesnn.export.onnx_graph import onnx_bytes
from litesnn.model import Model
from tests.litesnn.export.conftest import Trained
from tests.litesnn.test_inference import BASE, CASES, drawn
from tests.litesnn.test_inference import trained as random_network

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")


def logits_of(content: bytes, x: torch.Tensor) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {"input": x.numpy()})
    return np.asarray(logits)


@torch.no_grad()
def test_classes_of_the_whole_test_set(trained: Trained) -> None:
    content = onnx_bytes(trained.packed)
    expected = trained.model.network(trained.x, trained.model.genotype.timesteps).logits.mean(0).numpy()
    got = logits_of(content, trained.x)
    chosen = np.take_along_axis(expected, got.argmax(-1)[:, None], 1)[:, 0]
    assert (chosen > expected.max(-1) - 1e-6).all()  # the class, or one of two that have the same sum of integers
    # Single precision in another order: a spike more or less moves a few samples' logits, rounding the others'.
    assert (np.abs(got - expected).max(-1) < 1e-4).mean() > 0.99
    assert np.abs(logits_of(content, trained.x[:1]) - expected[:1]).max() < 0.2
    props = {prop.key: prop.value for prop in onnx.load_from_string(content).metadata_props}
    assert json.loads(props["classes"]) == list(trained.model.classes)
    assert json.loads(props["mean"]) == trained.model.mean.tolist()


@pytest.mark.parametrize("name", [name for name in CASES if name != "one pixel"])
@torch.no_grad()
def test_every_shape(name: str) -> None:
    recipe = Recipe(**{**BASE, **CASES[name]})
    torch.manual_seed(1)
    genotype, ones = drawn(recipe, 1), torch.ones(recipe.input_shape[0], 1, 1)
    rates = torch.zeros(1 + recipe.cells * recipe.nodes, genotype.timesteps)
    network = random_network(recipe, genotype)
    model = Model(
        network=network, genotype=genotype, recipe=recipe, classes=tuple("abcde"), mean=0 * ones, std=ones, rates=rates
    )
    x = torch.randn(16, *recipe.input_shape)
    expected = network(x, recipe.timesteps).logits.mean(0).numpy()
    assert (np.abs(logits_of(onnx_bytes(pack(model)), x) - expected).max(-1) < 1e-4).mean() > 0.9
