"""``python -m benchmarks``: lists and finds its benchmarks, whose stored results can be printed."""

import json
import random
from importlib import import_module
from pathlib import Path

import pytest

from benchmarks import __main__ as command
from benchmarks import retrain_step, rule_parts
from benchmarks.replay import draw, read_curves
from litesnn.config import Recipe

RESULTS = Path(command.__file__).parent / "results"


def test_lists_every_benchmark_with_its_first_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    names = "aggregate dashboard inference lif limits loader performance replay retrain_step rule_parts scaling search_step startup"
    assert set(names.split()) <= {line.split()[0] for line in lines}
    assert all(len(line.split()) > 3 for line in lines)


def test_the_comparisons_are_found_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    found = command.modules()
    comparisons = {name for name, module in found.items() if module == f"benchmarks.comparisons.{name}"}
    assert comparisons == set(
        "ablation additions compconv distributions energy masks recipe sequential structure".split()
    )
    assert all(hasattr(import_module(module), "main") for module in found.values())
    with pytest.raises(SystemExit) as ended:
        command.main(["structure", "mnist"])
    assert ended.value.code == 2 and "invalid choice: 'mnist'" in capsys.readouterr().err


def test_an_unknown_benchmark_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["speed"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    "name", "aggregate dashboard inference lif limits loader precision retrain_step scaling search_step startup".split()
)
def test_stored_results_are_what_the_code_reads(name: str) -> None:
    result = json.loads((RESULTS / f"{name}.json").read_text())
    assert result["machine"]["cpu"] in import_module(f"benchmarks.{name}").report(result)


def test_the_drawn_genotype_fits_and_stays() -> None:
    recipe = Recipe.preset("cifar10", timesteps=5)
    random.seed(1)
    genotype = retrain_step.drawn_genotype(recipe)
    genotype.check_fits(recipe)
    assert genotype == retrain_step.drawn_genotype(recipe) and genotype.timesteps == 5


def test_parts_of_the_rule_change_what_it_does() -> None:
    curves = read_curves()
    import numpy as np

    found = rule_parts.ablation(curves, draw(list(curves), 2, np.random.default_rng(0)))
    assert found["the gate alone"]["spent"] > found["as shipped"]["spent"]
    assert all(0 < row["kept_worst"] <= row["kept"] <= 1 for row in found.values())
    assert rule_parts.correlations(curves)["retrain 15"]["val_accuracy"] == pytest.approx(1)
