"""Steps that are recorded once an epoch and replayed, without their Python: bit for bit what steps taken one by one do."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from litesnn import native, phase, prune, retraining
from litesnn.config import Recipe
from litesnn.data.dataset import Dataset
from litesnn.genotype import Genotype
from litesnn.held import Held
from litesnn.joint_search import Search
from litesnn.phase import Phase
from litesnn.retraining import Retrain
from litesnn.step_graph import StepGraph, wanted
from litesnn.training import learning_rate
from tests.litesnn.recording import RecordedGraph
from tests.litesnn.test_phase import CPU, POINT, assert_identical, finish, state, without_seconds

RICH: dict[str, Any] = {
    **{"mask_n": 2, "nesterov": True, "norm_decay": False, "label_smoothing": 0.1, "timestep_loss": 0.3},
    **{"arch_batch": "held_out", "rate_gradient": True, "size": "file", "input_skip": "conv1x1"},
    **{"schedule": "linear", "warmup_share": 0.2, "crop_border": "reflect", "flip_order": "alternating"},
}
VARIANTS: dict[str, tuple[dict[str, Any], bool]] = {  # fields of the recipe, whether the kernels in C work
    "plain": ({}, False),
    "plain, rich": (RICH, False),
    "plain, bf16": ({"precision": "bf16"}, False),
    "kernels": ({}, True),
    "kernels, bf16, rich": ({**RICH, "precision": "bf16"}, True),
}
STEPS = 6  # of an epoch: one is taken, five are replayed
Make = Callable[..., Phase]
Graphs = Callable[[], Any]


@pytest.fixture(autouse=True)
def as_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Selection by torch instead of NumPy, and learning rates that a tensor in single precision can hold."""
    monkeypatch.setattr(prune, "_on_host", lambda tensor: False)
    monkeypatch.setattr(retraining, "learning_rate", lambda *values: float(np.float32(learning_rate(*values))))
    monkeypatch.setattr(RecordedGraph, "replays", 0)


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> Graphs:
    """While it lasts, steps are graphs of the stand-in."""

    @contextmanager
    def on() -> Iterator[None]:
        with monkeypatch.context() as patch:
            patch.setattr(phase, "wanted", lambda device: True)
            patch.setattr(phase, "CudaGraph", RecordedGraph)
            yield

    return on


@pytest.fixture(params=["search", "retrain"])
def make(
    request: pytest.FixtureRequest, tiny_recipe: Callable[..., Recipe], tiny_dataset: Dataset, tiny_genotype: Genotype
) -> Make:
    """Starts a fresh run of either phase."""

    def start(p: float = 50, start: bool = False, held: Held = Held(), **fields: Any) -> Phase:  # noqa: B008
        batch = 2 if fields.get("arch_batch") == "held_out" else 4
        recipe = tiny_recipe(search_batch=batch, retrain_batch=4, **fields)
        if request.param == "search":
            weights = Search(POINT, recipe, tiny_dataset, seed=5, device=CPU).network.state_dict() if start else None
            return Search(replace(POINT, p=p), recipe, tiny_dataset, device=CPU, held=held, start=weights)
        genotype = Genotype(nodes=tiny_genotype.nodes, bits=tiny_genotype.bits, timesteps=2, p=p)
        other = Retrain(genotype, recipe, tiny_dataset, seed=5, device=CPU).network if start else None
        return Retrain(genotype, recipe, tiny_dataset, device=CPU, start=other)

    return start


def assert_same(run: Phase, other: Phase) -> None:
    assert without_seconds(run.records) == without_seconds(other.records)
    assert_identical(state(run), state(other))


@pytest.mark.parametrize("name", VARIANTS)
def test_replayed_steps_are_the_steps(make: Make, graphs: Graphs, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    fields, kernels = VARIANTS[name]
    if kernels and native.kernels() is None:
        pytest.skip("no C compiler: the plain path is all there is")
    if not kernels:
        monkeypatch.setattr(native, "kernels", lambda: None)
    expected = finish(make(**fields))
    with graphs():
        run = finish(make(**fields))
    assert RecordedGraph.replays == run.epochs * (STEPS - 1)
    assert_same(run, expected)
