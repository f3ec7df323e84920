"""Steps that are recorded once an epoch and replayed, without their Python: bit for bit what steps taken one by one do."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import create_autospec

import numpy as np
import pytest
import torch
from torch import Tensor

from litesnn import native, phase, prune, retraining
from litesnn.checks import InputError
from litesnn.config import Recipe
from litesnn.data.dataset import Dataset
from litesnn.genotype import Genotype
from litesnn.held import Held
from litesnn.joint_search import Search
from litesnn.phase import Phase
from litesnn.retraining import Retrain
from litesnn.step_graph import CudaGraph, StepGraph, wanted
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


@pytest.mark.slow
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


@pytest.mark.parametrize("p", [0, 50])
def test_of_a_run_that_starts_from_weights_and_is_given_parts(make: Make, graphs: Graphs, p: float) -> None:
    given = {"p": p, "start": True, "held": Held(bits=(2, 1), timesteps=1), "search_epochs": 2, "retrain_epochs": 2}
    expected = finish(make(**given))
    with graphs():
        run = finish(make(**given))
    assert RecordedGraph.replays == run.epochs * (STEPS - 1)
    assert_same(run, expected)


def test_checkpoints_are_the_same_with_and_without_graphs(make: Make, graphs: Graphs, tmp_path: Path) -> None:
    """Each epoch is trained in a process of its own, so to speak, the second one with graphs."""
    expected = finish(make())
    runs = [make() for _ in range(3)]
    runs[0].run_epoch()
    runs[0].save(tmp_path / "first.pt")
    runs[1].load(tmp_path / "first.pt")
    with graphs():
        runs[1].run_epoch()
        runs[1].save(tmp_path / "second.pt")
    runs[2].load(tmp_path / "second.pt")
    runs[2].run_epoch()
    assert RecordedGraph.replays == STEPS - 1
    assert_same(runs[2], expected)


def test_a_run_that_loads_while_it_has_steps_behind_it_goes_on_alike(
    make: Make, graphs: Graphs, tmp_path: Path
) -> None:
    expected = finish(make())
    with graphs():
        run = make()
        run.run_epoch()
        run.save(tmp_path / "first.pt")
        run.run_epoch()
        run.load(tmp_path / "first.pt")
        assert_same(finish(run), expected)


class Scaled(Retrain):
    """Its loss has a factor that is a number of Python."""

    factor = 1.0

    def step(self, x: Tensor, labels: Tensor) -> Tensor:
        return super().step(x * self.factor, labels)


@pytest.fixture
def scaled(tiny_recipe: Callable[..., Recipe], tiny_genotype: Genotype, tiny_dataset: Dataset) -> Callable[[], Scaled]:
    recipe = tiny_recipe(retrain_batch=4, retrain_epochs=1, score_lr=2**-7)
    return lambda: Scaled(tiny_genotype, recipe, tiny_dataset, device=CPU)


@pytest.mark.parametrize("changes", [False, True])
def test_a_number_that_changes_between_steps_is_caught(
    scaled: Callable[[], Scaled], graphs: Graphs, changes: bool
) -> None:
    """The stand-in freezes what a GPU would freeze: what else reads Python's state cannot pass for the same."""

    def trained() -> Scaled:
        run = scaled()

        def on_batch(epoch: int, done: int, batches: int) -> None:
            run.factor = 1.0 + done / 4 if changes else 1.0

        run.run_epoch(on_batch)
        return run

    expected = trained()
    with graphs():
        run = trained()
    same = all(torch.equal(a, b) for a, b in zip(run.weights, expected.weights, strict=True))
    assert same is not changes


def test_memory_that_is_gone_is_caught(scaled: Callable[[], Scaled], graphs: Graphs) -> None:
    """A tensor from before the recording that nobody keeps, such as a table that falls out of a cache."""
    run = scaled()
    run.factor = torch.tensor(2.0)  # type: ignore[assignment]

    def on_batch(epoch: int, done: int, batches: int) -> None:
        if done == 2:
            run.factor = 2.0

    with graphs(), pytest.raises(AssertionError, match="memory that is gone"):
        run.run_epoch(on_batch)


def test_what_cannot_be_recorded_is_done_as_ever(make: Make, graphs: Graphs, monkeypatch: pytest.MonkeyPatch) -> None:
    """A value that the host reads, in the middle of a step: a line says so, and the run is what it is without graphs."""

    def spoilt() -> Phase:
        run = make()
        forward = run.network.forward  # type: ignore[attr-defined]

        def with_it(*args: Any, **settings: Any) -> Any:
            output = forward(*args, **settings)
            assert output.logits.sum().item() < float("inf")
            return output

        monkeypatch.setattr(run.network, "forward", with_it)  # type: ignore[attr-defined]
        return finish(run)

    expected = spoilt()
    with graphs(), pytest.warns(UserWarning, match="^steps without a graph on cpu: the host waits for _local_scalar"):
        run = spoilt()
    assert RecordedGraph.replays == 0
    assert_same(run, expected)


def test_without_memory_for_a_graph_there_is_none(make: Make, graphs: Graphs, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: RecordedGraph, call: Callable[[], Tensor]) -> Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nmore")

    expected = make()
    expected.run_epoch()
    monkeypatch.setattr(RecordedGraph, "record", full)
    with graphs(), pytest.warns(UserWarning) as found:
        run = make()
        run.run_epoch()
    assert [str(each.message) for each in found] == [
        "steps without a graph on cpu: CUDA out of memory. Tried to allocate 2.00 GiB."
    ]
    assert_same(run, expected)


def test_without_memory_for_a_step_it_is_the_known_line(
    make: Make, graphs: Graphs, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: Any) -> Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    run = make()
    monkeypatch.setattr(run, "step", full)
    with (
        graphs(),
        pytest.raises(InputError, match=r"_batch: expected a step that fits .* \(Tried to allocate 2.00 GiB"),
    ):
        run.run_epoch()


def test_a_batch_of_another_shape_is_taken_as_ever(scaled: Callable[[], Scaled]) -> None:
    runs = [scaled(), scaled()]
    x, labels = torch.rand(4, 1, 6, 6), torch.tensor([0, 1, 2, 0])
    optimizers = [runs[0].weight_optimizer, runs[0].score_optimizer]
    step = StepGraph(runs[0].step, RecordedGraph(CPU), optimizers, optimizers)  # type: ignore[arg-type]
    for count in (4, 4, 4, 3, 4):
        assert torch.equal(step(x[:count], labels[:count]), runs[1].step(x[:count], labels[:count]))
    assert RecordedGraph.replays == 3
    assert_same(*runs)


def test_what_cuda_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """No GPU is here: its functions are replaced by ones that take down when they are called."""
    asked: list[str] = []

    class Stream:
        def __init__(self, name: str) -> None:
            self.name, self.device = name, torch.device("cuda", 1)

        def wait_stream(self, other: "Stream") -> None:
            asked.append(f"{self.name} waits for {other.name}")

    @contextmanager
    def on(what: str) -> Iterator[None]:
        asked.append(what)
        yield
        asked.append(f"end of {what}")

    def call() -> Tensor:
        asked.append("call")
        return torch.ones(())

    record = create_autospec(torch.cuda.graph, side_effect=lambda graph, stream: on(f"recording on {stream.name}"))
    monkeypatch.setattr(torch.cuda, "graph", record)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", lambda: SimpleNamespace(replay=lambda: asked.append("replay")))
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: Stream("side"))
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: on(stream.name))
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: Stream(f"main of {device}"))
    graph = CudaGraph(torch.device("cuda", 1))
    assert graph.warm_up(call) == graph.record(call) == 1
    graph.replay()
    main = "main of cuda:1"
    assert asked == [
        *[f"side waits for {main}", "side", "call", "end of side", f"{main} waits for side"],
        *["side", "recording on side", "call", "end of recording on side", "end of side", "replay"],
    ]


@pytest.mark.parametrize(
    ("device", "value", "expected"), [("cuda", "1", True), ("cuda", "0", False), ("cpu", "1", False)]
)
def test_who_wants_them(monkeypatch: pytest.MonkeyPatch, device: str, value: str, expected: bool) -> None:
    monkeypatch.setenv("LITESNN_GRAPHS", value)
    assert wanted(torch.device(device)) is expected
    monkeypatch.delenv("LITESNN_GRAPHS")
    assert not wanted(torch.device(device))
