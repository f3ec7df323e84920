"""``python -m benchmarks``: lists and finds its benchmarks; small runs of those that have no test of their own."""

import json
import random
from pathlib import Path

import pytest

from benchmarks import __main__ as command
from benchmarks import retrain_step, rule_parts, search_step, sides
from benchmarks.replay import draw, read_curves
from litesnn.config import Recipe

RESULTS = Path(command.__file__).parent / "results"


def test_lists_every_benchmark_with_its_first_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert {"search_step", "retrain_step", "replay", "aggregate", "startup"} <= {line.split()[0] for line in lines}
    assert all(len(line.split()) > 3 for line in lines)


def test_an_unknown_benchmark_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["speed"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("name", ["search_step", "retrain_step"])
def test_stored_results_are_what_the_code_reads(name: str) -> None:
    assert f"naive / fused: {json.loads((RESULTS / f'{name}.json').read_text())['ratio']['of_medians']:.2f}" in (
        sides.report(json.loads((RESULTS / f"{name}.json").read_text()))
    )


@pytest.mark.slow
@pytest.mark.parametrize("benchmark", [search_step, retrain_step])
def test_a_small_run_measures_both_sides(benchmark: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "result.json"
    options = ["--repeats", "1", "--batch", "2", "--channels", "8", "--timesteps", "2", "--threads", "1"]
    assert benchmark.main([*options, "--out", str(out)]) == 0  # type: ignore[attr-defined]
    result = json.loads(out.read_text())
    assert result["fused"]["median"] > 0 and result["naive"]["median"] > 0
    assert "naive / fused" in capsys.readouterr().out


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
