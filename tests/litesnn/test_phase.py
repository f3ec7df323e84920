"""Runs that stop and go on, of both phases: the result is bit for bit that of an undisturbed run."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from litesnn.checkpoint import save_checkpoint
from litesnn.checks import InputError
from litesnn.config import Recipe, SearchPoint
from litesnn.data.dataset import Dataset
from litesnn.genotype import Genotype
from litesnn.joint_search import Search, search
from litesnn.objective import DivergedError
from litesnn.phase import EpochRecord, Phase
from litesnn.retraining import Retrain, retrain
from litesnn.training import scores_and_weights

CPU = torch.device("cpu")
POINT = SearchPoint(lambda1=1e-5, lambda2=1e-8, p=50)

Build = Callable[..., Phase]


@pytest.fixture(params=["search", "retrain"])
def build(
    request: pytest.FixtureRequest,
    tiny_recipe: Callable[..., Recipe],
    tiny_dataset: Dataset,
    tiny_genotype: Genotype,
) -> Build:
    """Starts a fresh run of either phase; ``seed``, ``p`` and fields of the recipe can be set."""

    def start(*, seed: int = 0, p: float = 50, **overrides: Any) -> Phase:
        recipe = tiny_recipe(**overrides)
        if request.param == "search":
            point = SearchPoint(lambda1=POINT.lambda1, lambda2=POINT.lambda2, p=p)
            return Search(point, recipe, tiny_dataset, seed=seed, device=CPU)
        genotype = Genotype(nodes=tiny_genotype.nodes, bits=tiny_genotype.bits, timesteps=2, p=p)
        return Retrain(genotype, recipe, tiny_dataset, seed=seed, device=CPU)

    return start


def without_seconds(records: list[EpochRecord]) -> list[dict[str, Any]]:
    return [{k: v for k, v in record.to_dict().items() if k not in ("seconds", "core_seconds")} for record in records]


def state(run: Phase) -> dict[str, Any]:
    return {name: part.state_dict() for name, part in run._parts().items()}


def assert_identical(first: Any, second: Any) -> None:
    """Bit for bit, through nested containers."""
    assert type(first) is type(second)
    if isinstance(first, torch.Tensor):
        assert torch.equal(first, second)
    elif isinstance(first, dict):
        assert list(first) == list(second)
        for key in first:
            assert_identical(first[key], second[key])
    elif isinstance(first, list | tuple):
        assert len(first) == len(second)
        for a, b in zip(first, second, strict=True):
            assert_identical(a, b)
    else:
        assert first == second


def finish(run: Phase) -> Phase:
    while not run.done:
        run.run_epoch()
    return run


@pytest.mark.parametrize("stop", [1, 2, 3])
@pytest.mark.parametrize("p", [0, 50])
def test_a_resumed_run_equals_an_undisturbed_one(build: Build, tmp_path: Path, stop: int, p: float) -> None:
    undisturbed = finish(build(p=p))
    first = build(p=p)
    for _ in range(stop):
        first.run_epoch()
    first.save(tmp_path / "c.pt")
    torch.rand(17)  # whatever the process did in between
    resumed = build(p=p)
    resumed.load(tmp_path / "c.pt")
    assert resumed.epoch == stop
    finish(resumed)
    assert without_seconds(resumed.records) == without_seconds(undisturbed.records)
    assert_identical(state(resumed), state(undisturbed))
    if isinstance(resumed, Search) and isinstance(undisturbed, Search):
        assert resumed.genotype() == undisturbed.genotype()


def test_every_epoch_draws_its_own_batches(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    run = build()
    assert isinstance(run, Search | Retrain)
    first_batches: list[torch.Tensor] = []
    original: Callable[..., torch.Tensor] = run.step

    def step(x: torch.Tensor, *rest: torch.Tensor) -> torch.Tensor:
        first_batches.append(x)
        return original(x, *rest)

    monkeypatch.setattr(run, "step", step)
    finish(run)
    assert len(first_batches) == 9
    epochs = [torch.cat(first_batches[i : i + 3]) for i in (0, 3, 6)]
    assert not any(torch.equal(epochs[i], epochs[j]) for i, j in ((0, 1), (0, 2), (1, 2)))


def test_records_count_the_epochs(build: Build) -> None:
    run = finish(build())
    assert [record.epoch for record in run.records] == [1, 2, 3]
    assert all(record.epochs == 3 and record.phase == run.name for record in run.records)


class Stopped(Exception):
    pass


def stop_after(epoch: int) -> Callable[[EpochRecord], None]:
    def on_epoch(record: EpochRecord) -> None:
        if record.epoch == epoch:
            raise Stopped

    return on_epoch


def test_search_goes_on_where_it_was_killed(
    tiny_recipe: Callable[..., Recipe], tiny_dataset: Dataset, tmp_path: Path
) -> None:
    recipe, checkpoint = tiny_recipe(), tmp_path / "c.pt"
    whole = search(POINT, recipe, dataset=tiny_dataset)
    with pytest.raises(Stopped):
        search(POINT, recipe, dataset=tiny_dataset, checkpoint=checkpoint, on_epoch=stop_after(2))
    seen: list[int] = []
    again = search(POINT, recipe, dataset=tiny_dataset, checkpoint=checkpoint, on_epoch=lambda r: seen.append(r.epoch))
    assert seen == [3]
    assert again.genotype == whole.genotype
    assert without_seconds(again.records) == without_seconds(whole.records)


def test_retrain_goes_on_where_it_was_killed(
    tiny_recipe: Callable[..., Recipe], tiny_dataset: Dataset, tiny_genotype: Genotype, tmp_path: Path
) -> None:
    recipe, checkpoint = tiny_recipe(), tmp_path / "c.pt"
    whole = retrain(tiny_genotype, recipe, dataset=tiny_dataset)
    with pytest.raises(Stopped):
        retrain(tiny_genotype, recipe, dataset=tiny_dataset, checkpoint=checkpoint, on_epoch=stop_after(1))
    again = retrain(tiny_genotype, recipe, dataset=tiny_dataset, checkpoint=checkpoint)
    assert without_seconds(again.records) == without_seconds(whole.records)
    assert_identical(again.model.network.state_dict(), whole.model.network.state_dict())
    assert (again.cost, again.val_accuracy, again.test_accuracy) == (
        whole.cost,
        whole.val_accuracy,
        whole.test_accuracy,
    )
    # A finished run is read back and evaluated, not trained.
    once_more = retrain(tiny_genotype, recipe, dataset=tiny_dataset, checkpoint=checkpoint, on_epoch=stop_after(1))
    assert once_more.test_accuracy == whole.test_accuracy


def test_a_checkpoint_of_another_run_is_refused(build: Build, tmp_path: Path) -> None:
    run = build()
    run.run_epoch()
    run.save(tmp_path / "c.pt")
    others = {"seed": {"seed": 1}, "p": {"p": 90}, "tau": {"tau": 0.3}, "widths": {"widths": (1, 1)}}
    for name, change in others.items():
        with pytest.raises(
            InputError, match=rf"\Acheckpoint: expected one with {name} = [^\n]+, got one with [^\n]+\Z"
        ):
            build(**change).load(tmp_path / "c.pt")


def test_a_checkpoint_of_the_other_phase_is_refused(
    tiny_recipe: Callable[..., Recipe], tiny_dataset: Dataset, tiny_genotype: Genotype, tmp_path: Path
) -> None:
    runs: list[Phase] = [
        Search(POINT, tiny_recipe(), tiny_dataset, device=CPU),
        Retrain(tiny_genotype, tiny_recipe(), tiny_dataset, device=CPU),
    ]
    for run, other in (runs, reversed(runs)):
        run.save(tmp_path / "c.pt")
        with pytest.raises(InputError, match=r"\Acheckpoint: expected one with phase = [^\n]+\Z"):
            other.load(tmp_path / "c.pt")


def test_a_checkpoint_of_another_genotype_is_refused(
    tiny_recipe: Callable[..., Recipe], tiny_dataset: Dataset, tiny_genotype: Genotype, tmp_path: Path
) -> None:
    Retrain(tiny_genotype, tiny_recipe(), tiny_dataset, device=CPU).save(tmp_path / "c.pt")
    other = Genotype(nodes=tiny_genotype.nodes, bits=(4, 4), timesteps=2, p=50)
    with pytest.raises(InputError, match=r"\Acheckpoint: expected one with bits = \[4, 4\], got one with [^\n]+\Z"):
        Retrain(other, tiny_recipe(), tiny_dataset, device=CPU).load(tmp_path / "c.pt")


def test_a_checkpoint_without_its_parts_is_refused(build: Build, tmp_path: Path) -> None:
    run = build()
    save_checkpoint(tmp_path / "c.pt", {"phase": run.name, "identity": run.identity()})
    with pytest.raises(InputError, match=r"\Acheckpoint: [^\n]+\Z"):
        run.load(tmp_path / "c.pt")


def test_a_refused_checkpoint_stays_as_it_is(
    tiny_recipe: Callable[..., Recipe], tiny_dataset: Dataset, tmp_path: Path
) -> None:
    checkpoint = tmp_path / "c.pt"
    checkpoint.write_bytes(b"not mine")
    with pytest.raises(InputError):
        search(POINT, tiny_recipe(), dataset=tiny_dataset, checkpoint=checkpoint)
    assert checkpoint.read_bytes() == b"not mine"


def test_divergence_is_an_outcome(build: Build) -> None:
    run = build(weight_lr=1e30, weight_lr_min=1e30, retrain_lr=1e30)
    with pytest.raises(DivergedError, match=rf"\Athe loss became (nan|inf) in {run.name} epoch 1\Z"):
        finish(run)
    assert run.records == []


def test_a_run_leaves_the_global_random_state_alone_and_does_not_read_it(build: Build) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = build()
    first.run_epoch()
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    second = build()
    second.run_epoch()
    assert_identical(state(first), state(second))
    assert without_seconds(first.records) == without_seconds(second.records)


def test_another_seed_is_another_run(build: Build) -> None:
    first, second = build(seed=0), build(seed=1)
    initial = [[p.detach().clone() for p in run._parts()["network"].parameters()] for run in (first, second)]  # type: ignore[union-attr]
    assert any(not torch.equal(a, b) for a, b in zip(*initial, strict=True))
    assert first.run_epoch().loss != second.run_epoch().loss


def test_progress_is_told_batch_by_batch(build: Build) -> None:
    calls: list[tuple[int, ...]] = []
    build().run_epoch(lambda *numbers: calls.append(numbers))
    assert [call[-2:] for call in calls] == [(1, 3), (2, 3), (3, 3)]  # 24 samples in batches of 8


def test_the_learning_rate_follows_the_cosine_batch_by_batch(build: Build) -> None:
    run = build(weight_lr=0.5, weight_lr_min=0.1, retrain_lr=0.5)
    optimizer = run._parts()["weight_optimizer"]
    assert isinstance(optimizer, torch.optim.Optimizer)
    rates: list[float] = []
    while not run.done:
        run.run_epoch(lambda *_: rates.append(optimizer.param_groups[0]["lr"]))
    end = 0.1 if run.name == "search" else 0.0
    expected = [end + (0.5 - end) * (1 + math.cos(math.pi * i / 9)) / 2 for i in range(9)]
    assert rates == pytest.approx(expected)


def test_scores_are_told_from_weights(build: Build) -> None:
    network = build()._parts()["network"]
    assert isinstance(network, torch.nn.Module)
    scores, weights = scores_and_weights(network)
    names = [name for name, _ in network.named_parameters()]
    assert len(scores) == sum(name.endswith("scores") for name in names) > 0
    assert len(scores) + len(weights) == len(names)
    assert {id(p) for p in scores}.isdisjoint(id(p) for p in weights)


@pytest.mark.parametrize("where", ["step", "evaluate"])
def test_a_gpu_without_room_is_one_line(
    monkeypatch: pytest.MonkeyPatch,
    tiny_recipe: Callable[..., Recipe],
    tiny_genotype: Genotype,
    tiny_dataset: Dataset,
    where: str,
) -> None:
    def full(*arguments: object) -> None:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has …\nSee …")

    run = Retrain(tiny_genotype, tiny_recipe(), tiny_dataset, device=CPU)
    monkeypatch.setattr(run, where, full)
    with pytest.raises(
        InputError, match=r"\Aretrain_batch: expected [^\n]+ epoch 1 \(Tried to allocate 2.00 GiB\)[^\n]+\Z"
    ):
        run.run_epoch()
    assert not run.records
