"""The joint optimisation: what each of the two passes of an iteration moves, by how much, and on which data."""

import copy
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from litesnn.config import Recipe, SearchPoint
from litesnn.cost import CostModel
from litesnn.data import load
from litesnn.data.dataset import Dataset, Split
from litesnn.joint_search import Search, search
from litesnn.objective import search_loss

CPU = torch.device("cpu")
POINT = SearchPoint(lambda1=1e-4, lambda2=1e-8, p=50)


def snapshot(run: Search) -> dict[str, list[Tensor]]:
    groups = {
        "weights": run.weights,
        "scores": run.scores,
        "alpha": [run.arch.alpha],
        "beta": [run.arch.beta],
        "psi": [run.arch.psi],
    }
    return {name: [p.detach().clone() for p in group] for name, group in groups.items()}


def moved(before: dict[str, list[Tensor]], after: dict[str, list[Tensor]]) -> set[str]:
    return {
        name for name in before if any(not torch.equal(a, b) for a, b in zip(before[name], after[name], strict=True))
    }


def watch_passes(run: Search, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, list[Tensor]]]:
    """Snapshots at the start of every forward pass; the parameters that a pass moves differ in the next one."""
    snapshots: list[dict[str, list[Tensor]]] = []
    original = run._loss

    def loss(x: Tensor, labels: Tensor, *, with_cost: bool) -> Tensor:
        snapshots.append(snapshot(run))
        return original(x, labels, with_cost=with_cost)

    monkeypatch.setattr(run, "_loss", loss)
    return snapshots


@pytest.mark.parametrize("arch_batch", ["same", "held_out"])
def test_the_two_passes_move_disjoint_parameters(
    tiny_recipe: Callable[..., Recipe], tiny_dataset: Dataset, monkeypatch: pytest.MonkeyPatch, arch_batch: str
) -> None:
    run = Search(POINT, tiny_recipe(psi_warmup_epochs=0, arch_batch=arch_batch), tiny_dataset, device=CPU)
    snapshots = watch_passes(run, monkeypatch)
    run.run_epoch()
    snapshots.append(snapshot(run))
    assert len(snapshots) > 2
    for number, (before, after) in enumerate(zip(snapshots[:-1], snapshots[1:], strict=True)):
        assert moved(before, after) == ({"weights"} if number % 2 == 0 else {"alpha", "beta", "scores", "psi"})


def test_a_pass_starts_when_the_graph_of_the_one_before_is_gone(
    tiny_recipe: Callable[..., Recipe], tiny_dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A loss that lives on keeps what the nodes of its graph hold: a tenth of a step's memory on the paper's supernet."""
    run = Search(POINT, tiny_recipe(), tiny_dataset, device=CPU)
    original, losses = run._loss, []

    def loss(x: Tensor, labels: Tensor, *, with_cost: bool) -> Tensor:
        assert [ref for ref in losses if ref() is not None] == []
        made = original(x, labels, with_cost=with_cost)
        losses.append(weakref.ref(made))
        return made

    monkeypatch.setattr(run, "_loss", loss)
    run.run_epoch()
    assert len(losses) > 2


def test_every_parameter_of_its_group_is_moved(tiny_recipe: Callable[..., Recipe], tiny_dataset: Dataset) -> None:
    run = Search(POINT, tiny_recipe(psi_warmup_epochs=0), tiny_dataset, device=CPU)
    before = snapshot(run)
    run.run_epoch()
    after = snapshot(run)
    for name in before:
        assert all(not torch.equal(a, b) for a, b in zip(before[name], after[name], strict=True))


def test_psi_stays_uniform_in_the_warm_up(tiny_recipe: Callable[..., Recipe], tiny_dataset: Dataset) -> None:
    run = Search(POINT, tiny_recipe(psi_warmup_epochs=2), tiny_dataset, device=CPU)
    uniform = []
    for _ in range(3):
        run.run_epoch()
        uniform.append(run.arch.psi.softmax(0).tolist() == [0.5, 0.5])
    assert uniform == [True, True, False]


def test_without_pruning_the_scores_stay(tiny_recipe: Callable[..., Recipe], tiny_dataset: Dataset) -> None:
    run = Search(SearchPoint(lambda1=0, lambda2=0, p=0), tiny_recipe(), tiny_dataset, device=CPU)
    before = {name: p.detach().clone() for name, p in run.network.named_parameters() if name.endswith("scores")}
    run.run_epoch()
    after = dict(run.network.named_parameters())
    assert before and all(torch.equal(value, after[name]) for name, value in before.items())


def loss_by_hand(run: Search, x: Tensor, labels: Tensor) -> Tensor:
    shares = run.arch.shares()
    output = run.network(x, 2, shares, measure_rates=True)
    assert output.rates is not None
    cost = CostModel(run.recipe, 4, 3, POINT.p)(shares, output.rates.detach())
    return search_loss(output.logits, labels, shares.timesteps, cost, POINT, run.recipe)


def test_one_iteration_equals_the_update_rules_written_out(
    tiny_recipe: Callable[..., Recipe], tiny_dataset: Dataset
) -> None:
    recipe = tiny_recipe(
        psi_warmup_epochs=0,
        weight_lr=0.3,
        weight_decay=0.1,
        grad_clip=0.5,
        alpha_lr=0.02,
        beta_lr=0.03,
        score_lr=0.04,
        psi_lr=0.7,
    )
    run = Search(POINT, recipe, tiny_dataset, device=CPU)
    run.network.train()
    by_hand = copy.deepcopy(run)
    x, labels = tiny_dataset.normalise(tiny_dataset.train.inputs[:8]), tiny_dataset.train.labels[:8]
    x2, labels2 = tiny_dataset.normalise(tiny_dataset.train.inputs[8:16]), tiny_dataset.train.labels[8:16]
    run.step(x, labels, x2, labels2)

    # First pass: SGD with weight decay on the clipped gradient; momentum has nothing to add yet.
    grads = torch.autograd.grad(loss_by_hand(by_hand, x, labels), by_hand.weights)
    norm = sum(float((g.double() ** 2).sum()) for g in grads) ** 0.5
    assert norm > 0.5
    with torch.no_grad():
        for weight, grad in zip(by_hand.weights, grads, strict=True):
            weight -= 0.3 * (grad * 0.5 / norm + 0.1 * weight)
    for got, expected in zip(run.weights, by_hand.weights, strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-6)
        assert isinstance(got, Tensor)

    # Second pass, on the other batch and with the new weights: a first Adam step is lr * g / (|g| + eps), SGD for psi.
    with torch.no_grad():  # exactly the same weights, so that no spike differs by rounding
        for weight, value in zip(by_hand.weights, run.weights, strict=True):
            weight.copy_(value)
    groups = [([by_hand.arch.alpha], 0.02), ([by_hand.arch.beta], 0.03), (by_hand.scores, 0.04)]
    leaves = [p for group, _ in groups for p in group]
    *grads, psi_grad = torch.autograd.grad(loss_by_hand(by_hand, x2, labels2), [*leaves, by_hand.arch.psi])
    rates = [rate for group, rate in groups for _ in group]
    updated = [run.arch.alpha, run.arch.beta, *run.scores]
    for got, leaf, grad, rate in zip(updated, leaves, grads, rates, strict=True):
        torch.testing.assert_close(got, leaf - rate * grad / (grad.abs() + 1e-8), rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(run.arch.psi, by_hand.arch.psi - 0.7 * psi_grad, rtol=1e-4, atol=1e-7)


def test_the_costs_push_towards_fewer_bits_and_timesteps(
    tiny_recipe: Callable[..., Recipe], tiny_dataset: Dataset
) -> None:
    # With costs that outweigh the cross entropy by far, Adam moves every beta by its rate per step.
    point = SearchPoint(lambda1=1e3, lambda2=1e3, p=50)
    recipe = tiny_recipe(beta_lr=0.05, psi_lr=1e-9, psi_warmup_epochs=0, search_epochs=4)
    genotype = search(point, recipe, dataset=tiny_dataset).genotype
    assert genotype.bits == (1, 1)
    assert genotype.timesteps == 1


def rates_of_gradient(recipe: Recipe, dataset: Dataset) -> list[Tensor]:
    run = Search(SearchPoint(lambda1=0, lambda2=1e-4, p=50), recipe, dataset, device=CPU)
    run.network.train()
    x, labels = dataset.normalise(dataset.train.inputs[:8]), dataset.train.labels[:8]
    return list(torch.autograd.grad(run._loss(x, labels, with_cost=True), run.weights))


def test_the_gradient_through_the_rates_is_an_option(tiny_recipe: Callable[..., Recipe], tiny_dataset: Dataset) -> None:
    without = rates_of_gradient(tiny_recipe(), tiny_dataset)
    free = rates_of_gradient(tiny_recipe(cost_batch=1), tiny_dataset)
    with_rates = rates_of_gradient(tiny_recipe(rate_gradient=True), tiny_dataset)
    # Without it, the weights do not feel lambda2 at all.
    assert all(torch.equal(a, b) for a, b in zip(without, free, strict=True))
    assert any(not torch.allclose(a, b) for a, b in zip(without, with_rates, strict=True))


def dataset_of(count: int) -> Dataset:
    """Image i is i + 1 all over, so that a batch tells which samples it holds."""

    def split(first: int, size: int) -> Split:
        inputs = torch.arange(first, first + size, dtype=torch.uint8)[:, None, None, None].repeat(1, 1, 6, 6)
        return Split(inputs, torch.arange(size) % 3)

    return Dataset.build("numbered", ("a", "b", "c"), split(1, count), split(100, 6), split(110, 6))


def batches_of(recipe: Recipe, dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> list[tuple[set[int], set[int]]]:
    """Which samples each iteration's two passes see, over all epochs."""
    run = Search(POINT, recipe, dataset, device=CPU)
    seen: list[tuple[set[int], set[int]]] = []

    def numbers(x: Tensor) -> set[int]:
        return set((x[:, 0, 3, 3] * dataset.std.flatten() + dataset.mean.flatten()).mul(255).round().int().tolist())

    original = run.step

    def step(x: Tensor, labels: Tensor, arch_x: Tensor, arch_labels: Tensor) -> Tensor:
        for batch, classes in ((x, labels), (arch_x, arch_labels)):
            assert len(batch) == len(classes)
        seen.append((numbers(x), numbers(arch_x)))
        return original(x, labels, arch_x, arch_labels)

    monkeypatch.setattr(run, "step", step)
    while not run.done:
        run.run_epoch()
    return seen


def fields(**overrides: Any) -> dict[str, Any]:
    return {"crop_padding": 0, "horizontal_flip": False, "search_epochs": 4, **overrides}


def test_same_batch_feeds_both_passes(tiny_recipe: Callable[..., Recipe], monkeypatch: pytest.MonkeyPatch) -> None:
    seen = batches_of(tiny_recipe(**fields(search_batch=8)), dataset_of(24), monkeypatch)
    assert len(seen) == 12
    assert all(weights == arch and len(weights) == 8 for weights, arch in seen)


@pytest.mark.parametrize(("samples", "batch"), [(24, 4), (25, 4), (24, 20), (17, 3)])
def test_held_out_passes_never_share_a_sample(
    tiny_recipe: Callable[..., Recipe], monkeypatch: pytest.MonkeyPatch, samples: int, batch: int
) -> None:
    recipe = tiny_recipe(**fields(search_batch=batch, arch_batch="held_out"))
    seen = batches_of(recipe, dataset_of(samples), monkeypatch)
    weights = set().union(*(first for first, _ in seen))
    arch = set().union(*(second for _, second in seen))
    assert weights.isdisjoint(arch)
    assert len(weights) + len(arch) > 0.9 * samples  # both halves are in use


def test_records_describe_the_network_that_decoding_gives(
    tiny_recipe: Callable[..., Recipe], tiny_dataset: Dataset
) -> None:
    result = search(POINT, tiny_recipe(), dataset=tiny_dataset)
    last = result.records[-1]
    assert last.timesteps == result.genotype.timesteps
    assert result.genotype.p == 50
    # By hand: stem 9*1*6, cell 1 (3 channels per node), cell 2 (6 per node), classifier 12*3; half of each is kept.
    width = {0: [6, 6, 3], 1: [6, 6, 6]}  # channels of cell input 0, cell input 1 and node 0
    size = 4 * 27 + 4 * 18
    for cell, bits in enumerate(result.genotype.bits):
        for pairs in result.genotype.nodes:
            for source, op in pairs:
                if op == "conv3x3" or source < 2:
                    size += bits * (9 * width[cell][source] * [3, 6][cell] + 1) // 2
    assert last.model_size_bits == pytest.approx(size, abs=8)


def test_a_search_on_another_data_set(tiny_recipe: Callable[..., Recipe], tiny_dataset: Dataset) -> None:
    # CIFAR-100 networks are searched on CIFAR-10: other classes, same cells.
    recipe = tiny_recipe(classes=7, search_dataset="folder:other", search_classes=3, search_epochs=1)
    assert search(POINT, recipe, dataset=tiny_dataset).genotype.timesteps in (1, 2)


def test_every_epoch_says_what_share_each_number_of_timesteps_has() -> None:
    recipe = Recipe.preset(
        "digits", search_epochs=2, psi_warmup_epochs=1, search_channels=4, widths=(1,), timesteps=3, search_batch=64
    )
    search = Search(SearchPoint(lambda1=0, lambda2=1e-7, p=0), recipe, load(recipe), device=torch.device("cpu"))
    first, second = search.run_epoch(), search.run_epoch()
    assert first.timestep_shares == pytest.approx([1 / 3] * 3, abs=1e-6)
    assert second.timestep_shares == pytest.approx(search.arch.psi.softmax(0).tolist(), abs=1e-6)
    assert second.timestep_shares != first.timestep_shares and second.to_dict()["timestep_shares"]
