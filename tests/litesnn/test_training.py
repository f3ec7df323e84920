"""What search and retraining share: learning rates, groups of weights, rising pruning; each against its formula by hand."""

import math
from collections.abc import Callable

import pytest
import torch

from litesnn.config import Recipe, SearchPoint
from litesnn.data.dataset import Dataset
from litesnn.genotype import Genotype
from litesnn.joint_search import Search
from litesnn.retraining import Retrain
from litesnn.training import learning_rate, weight_optimizer

CPU = torch.device("cpu")


def rates(recipe: Recipe, highest: float, lowest: float, moments: tuple[float, ...]) -> list[float]:
    return [learning_rate(recipe, highest, lowest, progress) for progress in moments]


def test_without_a_warm_up_the_rate_falls_by_the_cosine() -> None:
    recipe = Recipe.preset("cifar10")
    assert rates(recipe, 0.025, 0.001, (0, 0.5, 1)) == pytest.approx([0.025, 0.013, 0.001])
    assert rates(recipe, 1, 0, (0.25,)) == pytest.approx([(1 + math.sqrt(0.5)) / 2])


def test_a_fifth_of_warm_up_and_a_linear_fall() -> None:
    recipe = Recipe.preset("cifar10", schedule="linear", warmup_share=0.2)
    # Up: 0, half and all of 0.5 at 0, 0.1 and 0.2; down: three quarters, half and none of the way to 0.1 left.
    moments = (0, 0.1, 0.2, 0.4, 0.6, 1)
    assert rates(recipe, 0.5, 0.1, moments) == pytest.approx([0, 0.25, 0.5, 0.4, 0.3, 0.1])


def test_both_phases_follow_the_schedule(
    tiny_recipe: Callable[..., Recipe], tiny_dataset: Dataset, tiny_genotype: Genotype
) -> None:
    recipe = tiny_recipe(schedule="linear", warmup_share=0.5, weight_lr=0.4, weight_lr_min=0.1, retrain_lr=0.4)
    search = Search(SearchPoint(lambda1=0, lambda2=0, p=50), recipe, tiny_dataset, device=CPU)
    for run, end in ((search, 0.1), (Retrain(tiny_genotype, recipe, tiny_dataset, device=CPU), 0.0)):
        seen: list[float] = []
        while not run.done:
            run.run_epoch(lambda *_, run=run, seen=seen: seen.append(run.weight_optimizer.param_groups[0]["lr"]))
        progress = [step / 9 for step in range(9)]
        expected = [0.4 * x / 0.5 if x < 0.5 else end + (0.4 - end) * (1 - x) / 0.5 for x in progress]
        assert seen == pytest.approx(expected)


def test_batch_norm_is_spared_the_decay(
    tiny_recipe: Callable[..., Recipe], tiny_dataset: Dataset, tiny_genotype: Genotype
) -> None:
    """After a step with no gradient a weight has shrunk by rate * decay, batch norm has not."""
    run = Retrain(tiny_genotype, tiny_recipe(norm_decay=False), tiny_dataset, device=CPU)
    optimizer = weight_optimizer(
        run.network, run.recipe.preset("digits", norm_decay=False, nesterov=False, weight_decay=0.1), 0.5
    )
    before = {name: parameter.detach().clone() for name, parameter in run.network.named_parameters()}
    for parameter in run.network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    norms = {
        f"{place}.{name}"
        for place, module in run.network.named_modules()
        if isinstance(module, torch.nn.BatchNorm2d)
        for name, _ in module.named_parameters()
    }
    assert len(norms) > 4
    for name, parameter in run.network.named_parameters():
        factor = 1 if name in norms or name.endswith("scores") else 1 - 0.5 * 0.1
        torch.testing.assert_close(parameter.detach(), before[name] * factor)


@pytest.mark.parametrize("nesterov", [False, True])
def test_momentum_is_the_ordinary_or_nesterovs(tiny_recipe: Callable[..., Recipe], nesterov: bool) -> None:
    layer = torch.nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        layer.weight.fill_(1.0)
    optimizer = weight_optimizer(layer, tiny_recipe(nesterov=nesterov, momentum=0.5, weight_decay=0.0), 0.1)
    weight, velocity = 1.0, 0.0
    for grad in (1.0, -2.0, 0.5):
        layer.weight.grad = torch.full_like(layer.weight, grad)
        optimizer.step()
        velocity = 0.5 * velocity + grad
        weight -= 0.1 * (grad + 0.5 * velocity if nesterov else velocity)
    assert layer.weight.item() == pytest.approx(weight)


def test_batch_norm_starts_at_the_recipes_weight(
    tiny_recipe: Callable[..., Recipe], tiny_dataset: Dataset, tiny_genotype: Genotype
) -> None:
    network = Retrain(tiny_genotype, tiny_recipe(norm_weight=0.25), tiny_dataset, device=CPU).network
    norms = [module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    assert len(norms) > 3 and all((norm.weight == 0.25).all() and (norm.bias == 0).all() for norm in norms)
