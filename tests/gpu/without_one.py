"""Steps, evaluation and checkpoints on a GPU that is not there: nothing mixes devices and nothing makes the host wait.

Run by ``test_gpu.py``, in a process of their own: the stand-in for a GPU stays registered.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from benchmarks.search_step import NaiveSearch
from benchmarks.stand_in import FakeGpu, HostWaitError, Watch, _away
from litesnn.config import Recipe, SearchPoint
from litesnn.data.dataset import Dataset
from litesnn.genotype import Genotype
from litesnn.joint_search import Search
from litesnn.retraining import Retrain
from litesnn.step_graph import StepGraph
from tests.litesnn.conftest import tiny_dataset, tiny_genotype, tiny_recipe  # noqa: F401  # fixtures

POINT = SearchPoint(lambda1=1e-6, lambda2=1e-9, p=50)
VARIANTS: tuple[dict[str, Any], ...] = (
    {},
    {"precision": "bf16", "mask_n": 2, "input_skip": "conv1x1", "rate_gradient": True, "arch_batch": "held_out"}
    | {"size": "file", "norm_decay": False, "nesterov": True, "timestep_loss": 0.3, "label_smoothing": 0.1},
)


@pytest.fixture(scope="module")
def gpu() -> FakeGpu:
    return FakeGpu()


def search_of(gpu: FakeGpu, recipe: Recipe, dataset: Dataset, point: SearchPoint = POINT) -> Search:
    return gpu.build(lambda device: Search(point, recipe, gpu.dataset(dataset), device=device))


def retrain_of(gpu: FakeGpu, genotype: Genotype, recipe: Recipe, dataset: Dataset) -> Retrain:
    return gpu.build(lambda device: Retrain(genotype, recipe, gpu.dataset(dataset), device=device))


def batch(gpu: FakeGpu, run: Search | Retrain) -> tuple[Tensor, Tensor]:
    return gpu.move(torch.empty(8, *run.recipe.input_shape)), gpu.move(torch.empty(8, dtype=torch.int64))


@pytest.mark.parametrize(("changes", "p"), [({}, 50), (VARIANTS[1], 50), ({}, 0)])
def test_a_search_step(
    gpu: FakeGpu,
    tiny_recipe: Callable[..., Recipe],  # noqa: F811
    tiny_dataset: Dataset,  # noqa: F811
    changes: dict[str, Any],
    p: float,
) -> None:
    run = search_of(gpu, tiny_recipe(psi_warmup_epochs=0, **changes), tiny_dataset, replace(POINT, p=p))
    x, labels = batch(gpu, run)
    run.network.train()
    with gpu.watch(strict=False) as first:
        run.step(x, labels, x, labels)
    with gpu.watch(strict=True) as watch:
        loss = run.step(x, labels, x, labels)
    assert not first.waits  # it may move tables that stay there
    assert loss.device == gpu.device and loss.dim() == 0
    assert watch.launches["convolution_backward"] >= 2
    assert watch.launches["_fused_sgd_"] == len(run.weight_optimizer.param_groups)
    assert all(s.device == gpu.device for s in run.weight_optimizer.state.values() for s in s.values())


@pytest.mark.parametrize("changes", VARIANTS)
def test_a_retraining_step(
    gpu: FakeGpu,
    tiny_recipe: Callable[..., Recipe],  # noqa: F811
    tiny_genotype: Genotype,  # noqa: F811
    tiny_dataset: Dataset,  # noqa: F811
    changes: dict[str, Any],
) -> None:
    run = retrain_of(gpu, tiny_genotype, tiny_recipe(**changes), tiny_dataset)
    x, labels = batch(gpu, run)
    run.network.train()
    with gpu.watch(strict=False) as first:
        run.step(x, labels)
    with gpu.watch(strict=True) as watch:
        loss = run.step(x, labels)
    assert not first.waits and loss.device == gpu.device and watch.launches["_fused_adam_"] == 1


def test_naive_execution_runs_there(
    gpu: FakeGpu,
    tiny_recipe: Callable[..., Recipe],  # noqa: F811
    tiny_dataset: Dataset,  # noqa: F811
) -> None:
    """What the benchmark holds the search step against."""
    run = gpu.build(lambda device: NaiveSearch(POINT, tiny_recipe(), gpu.dataset(tiny_dataset), device=device))
    x, labels = batch(gpu, run)
    run.network.train()
    with gpu.watch(strict=False) as watch:
        loss = run.step(x, labels, x, labels)
    assert loss.device == gpu.device and watch.launches["convolution_backward"] >= 20


class DeviceAlone(TorchDispatchMode):
    """Refuses tensors of the host altogether, numbers in them too: a graph would keep the first ones."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if any(isinstance(leaf, Tensor) and not _away(leaf) for leaf in tree_leaves((args, kwargs))):
            raise HostWaitError(f"{func} reads a tensor of the host")
        return func(*args, **(kwargs or {}))


class SeenGraph:
    """Stands in for a graph: looks strictly at what is recorded."""

    def __init__(self, gpu: FakeGpu, kernels: bool) -> None:
        self.gpu, self.kernels, self.replays = gpu, kernels, 0

    def warm_up(self, call: Callable[[], Tensor]) -> Tensor:
        with self.gpu.watch(strict=False, kernels=self.kernels):
            return call()

    def record(self, call: Callable[[], Tensor]) -> Tensor:
        with self.gpu.watch(strict=True, kernels=self.kernels) as self.watch, DeviceAlone():
            return call()

    def replay(self) -> None:
        self.replays += 1


@pytest.mark.parametrize("kernels", [False, True])
@pytest.mark.parametrize("changes", VARIANTS)
@pytest.mark.parametrize("kind", ["search", "retrain"])
@pytest.mark.filterwarnings("error")  # one would say why nothing was recorded
def test_a_step_can_be_recorded(
    gpu: FakeGpu,
    tiny_recipe: Callable[..., Recipe],  # noqa: F811
    tiny_genotype: Genotype,  # noqa: F811
    tiny_dataset: Dataset,  # noqa: F811
    kind: str,
    changes: dict[str, Any],
    kernels: bool,
) -> None:
    """It reads nothing but the device, and from then on the host starts a copy per input, a rate per schedule, and the graph."""
    if kernels:
        pytest.importorskip("triton")
    recipe = tiny_recipe(psi_warmup_epochs=0, **changes)
    run: Search | Retrain = search_of(gpu, recipe, tiny_dataset)
    if kind == "retrain":
        run = retrain_of(gpu, tiny_genotype, recipe, tiny_dataset)
    run.network.train()
    inputs = batch(gpu, run) * (2 if kind == "search" else 1)
    optimizers = [part for part in run._parts().values() if isinstance(part, torch.optim.Optimizer)]
    graph, scheduled = SeenGraph(gpu, kernels), run._scheduled()
    step = StepGraph(run.step, graph, optimizers, scheduled)  # type: ignore[arg-type]
    for _ in range(3):
        with gpu.watch(strict=False) as watch:
            loss = step(*inputs)
    assert graph.replays == 2 and graph.watch.launches.total() > 100
    assert watch.launches == Counter({"copy_": len(inputs), "fill_": len(scheduled)})
    assert loss.device == gpu.device and all(isinstance(g["lr"], float) for o in optimizers for g in o.param_groups)


ROW, LABELS = torch.ones(6), torch.zeros(8, dtype=torch.int64)  # on the host
PLANTED: dict[str, Callable[[Tensor, Tensor], object]] = {
    "item": lambda loss, x: loss.item(),
    "float": lambda loss, x: float(loss.detach()),
    "bool": lambda loss, x: bool(loss > 0),
    "cpu": lambda loss, x: loss.cpu(),
    "copy_": lambda loss, x: torch.zeros(()).copy_(loss.detach()),
    "tolist": lambda loss, x: x[0, 0, 0].tolist(),
    "nonzero": lambda loss, x: x.nonzero(),
    "chosen by booleans": lambda loss, x: x[x > 0],
    "set by booleans": lambda loss, x: x.detach().clone().index_put_((x > 0,), loss.detach()),
    "masked_select": lambda loss, x: torch.masked_select(x, x > 0),
    "from the host": lambda loss, x: torch.tensor([1.0, 2.0]).to(x.device),
    "numpy": lambda loss, x: x.detach().numpy(),
    "work on the host": lambda loss, x: torch.rand(3) + 1,
    "two devices": lambda loss, x: x + ROW,
    "another device's labels": lambda loss, x: F.cross_entropy(x[:, 0, 0], LABELS),
}
WATCHED = set(PLANTED) - {"numpy", "two devices", "another device's labels"}


@pytest.fixture(scope="module")
def spoilt(gpu: FakeGpu) -> Retrain:
    """A run whose step the tests below change by one line."""
    recipe, genotype, dataset = (
        fixture.__wrapped__()  # type: ignore[attr-defined]
        for fixture in (tiny_recipe, tiny_genotype, tiny_dataset)
    )
    run = retrain_of(gpu, genotype, recipe(), dataset)
    run.network.train()
    return run


def test_without_it_the_step_goes_through(gpu: FakeGpu, spoilt: Retrain) -> None:
    with gpu.watch(strict=True):
        spoilt.step(*batch(gpu, spoilt))


@pytest.mark.parametrize("name", PLANTED)
def test_what_is_planted_in_a_step_is_found(
    gpu: FakeGpu, monkeypatch: pytest.MonkeyPatch, spoilt: Retrain, name: str
) -> None:
    forward, planted = spoilt.network.forward, PLANTED[name]

    def with_it(x: Tensor, timesteps: int) -> Any:
        output = forward(x, timesteps)
        planted(output.logits.sum(), x)
        return output

    monkeypatch.setattr(spoilt.network, "forward", with_it)
    refused = HostWaitError if name in WATCHED else RuntimeError  # the rest PyTorch refuses by itself
    with pytest.raises(refused), gpu.watch(strict=True):
        spoilt.step(*batch(gpu, spoilt))


def test_a_number_of_the_host_in_what_is_recorded_is_found(
    gpu: FakeGpu, monkeypatch: pytest.MonkeyPatch, spoilt: Retrain
) -> None:
    forward, number = spoilt.network.forward, torch.tensor(2.0)
    monkeypatch.setattr(spoilt.network, "forward", lambda x, timesteps: forward(x * number, timesteps))
    step = StepGraph(spoilt.step, SeenGraph(gpu, False), [], [])  # type: ignore[arg-type]
    with gpu.watch(strict=False):
        step(*batch(gpu, spoilt))
        with pytest.warns(
            UserWarning, match="steps without a graph on standin:0: aten.mul.Tensor reads a tensor of the host"
        ):
            step(*batch(gpu, spoilt))


def epoch(gpu: FakeGpu, run: Search | Retrain) -> Watch:
    with gpu.watch(strict=False) as watch:
        run._train_epoch(torch.Generator().manual_seed(0), lambda epoch, done, batches: None)
    return watch


@pytest.mark.parametrize("kind", ["search", "retrain"])
def test_an_epoch_waits_once_and_moves_draws_alone(
    gpu: FakeGpu,
    tiny_recipe: Callable[..., Recipe],  # noqa: F811
    tiny_genotype: Genotype,  # noqa: F811
    tiny_dataset: Dataset,  # noqa: F811
    kind: str,
) -> None:
    """Images stay where they are: what is copied is one index, two offsets and a few more integers per image."""
    waits, per_batch = [], []
    for size in (24, 12):
        recipe = tiny_recipe(search_batch=size, retrain_batch=size, crop_border="reflect")
        run: Search | Retrain = search_of(gpu, recipe, tiny_dataset)
        if kind == "retrain":
            run = retrain_of(gpu, tiny_genotype, recipe, tiny_dataset)
        watch = epoch(gpu, run)
        waits.append(watch.waits)
        samples = len(tiny_dataset.train)
        assert samples * 8 <= sum(watch.uploads) <= samples * 8 * 6
        per_batch.append(len(watch.uploads) / (samples // size))
        assert set(watch.on_host) <= {"randperm", "rand", "randint", "lt", "copy_", "bernoulli_", "bitwise_not"}
    assert waits == [["_local_scalar_dense"]] * 2  # the mean loss, after the last batch
    assert max(per_batch) <= 5


def test_augmentation_of_clips_draws_on_the_host_and_works_on_the_device(gpu: FakeGpu) -> None:
    from litesnn.data.augment_clips import add_noise, mask_span, warp_time

    x = gpu.move(torch.empty(4, 1, 40, 98))
    with gpu.watch(strict=False) as watch:
        generator = torch.Generator().manual_seed(0)
        out = mask_span(mask_span(warp_time(x, 5, 0.1, generator), 3, 9, generator), 2, 4, generator)
        assert add_noise(out, 0.1, generator).device == gpu.device
    assert not watch.waits and watch.launches["lerp"] == 1 and watch.launches["masked_fill"] == 2


def test_evaluation_waits_once_however_many_batches(
    gpu: FakeGpu,
    monkeypatch: pytest.MonkeyPatch,
    tiny_recipe: Callable[..., Recipe],  # noqa: F811
    tiny_genotype: Genotype,  # noqa: F811
    tiny_dataset: Dataset,  # noqa: F811
) -> None:
    run = retrain_of(gpu, tiny_genotype, tiny_recipe(), tiny_dataset)
    for size in (12, 5):
        monkeypatch.setattr("litesnn.evaluate.evaluate.__wrapped__.__defaults__", (size,))
        with gpu.watch(strict=False) as watch:
            found = run.evaluate(run.dataset.val, count_spikes=True)
        assert watch.waits == ["_local_scalar_dense"] and not watch.uploads and not watch.on_host
        assert found.rates.device == gpu.device and found.samples == 12
        assert watch.launches["argmax"] == -(-12 // size)


def test_an_epoch_with_held_out_batches_waits_once_as_well(
    gpu: FakeGpu,
    tiny_recipe: Callable[..., Recipe],  # noqa: F811
    tiny_dataset: Dataset,  # noqa: F811
) -> None:
    run = search_of(gpu, tiny_recipe(arch_batch="held_out", search_batch=4), tiny_dataset)
    run._halves = tuple(gpu.move(torch.empty(12, dtype=torch.int64)) for _ in range(2))  # fake labels have no classes
    watch = epoch(gpu, run)
    assert watch.waits == ["_local_scalar_dense"] and watch.launches["convolution_backward"] >= 3 * 4


@pytest.mark.parametrize("kind", ["search", "retrain"])
def test_a_checkpoint_from_a_cpu_goes_on_on_the_device(
    gpu: FakeGpu,
    tmp_path: Path,
    tiny_recipe: Callable[..., Recipe],  # noqa: F811
    tiny_genotype: Genotype,  # noqa: F811
    tiny_dataset: Dataset,  # noqa: F811
    kind: str,
) -> None:
    recipe, cpu = tiny_recipe(psi_warmup_epochs=0), torch.device("cpu")
    before: Search | Retrain = Search(POINT, recipe, tiny_dataset, device=cpu)
    run: Search | Retrain = search_of(gpu, recipe, tiny_dataset)
    if kind == "retrain":
        before = Retrain(tiny_genotype, recipe, tiny_dataset, device=cpu)
        run = retrain_of(gpu, tiny_genotype, recipe, tiny_dataset)
    before.run_epoch()
    before.save(tmp_path / "c.pt")
    with gpu.watch(strict=False) as watch:
        run.load(tmp_path / "c.pt")
    assert not watch.waits and run.epoch == 1
    x, labels = batch(gpu, run)
    run.network.train()
    with gpu.watch(strict=True):
        if isinstance(run, Search):
            run.step(x, labels, x, labels)
        else:
            run.step(x, labels)
    states = [part.state_dict() for part in run._parts().values()]
    tensors = [leaf for leaf in torch.utils._pytree.tree_leaves(states) if isinstance(leaf, Tensor)]
    assert len(tensors) > 30 and all(tensor.device == gpu.device for tensor in tensors)
