"""The benchmark of GPUs: without one it says so; what it would do there runs on a CPU. Estimates follow from what is counted."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks import gpu, launches
from benchmarks.record import RESULTS
from litesnn.config import Recipe

SMALL = Recipe.preset("cifar10-small", widths=(1, 2), search_channels=4, retrain_channels=4, search_batch=4, retrain_batch=4)  # fmt: skip


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "gpu.json"
    assert gpu.main(["--out", str(out)]) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.count("\n") == 1 and "expected a GPU" in printed.err
    assert not out.exists()


def test_every_row_is_timed_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "WARM_UP", 0)
    monkeypatch.setattr(gpu.neurons, "__defaults__", ((2, 1, 4, 4, 4),))
    result = {**gpu.measure(SMALL, torch.device("cpu"), 1), "load_after": 0}
    names = [f"{what}, {p}" for p in ("fp32", "bf16") for what in ("search step", "retraining step", "evaluation")]
    assert [row["what"] for row in result["rows"]] == [*names, "neurons, fp32"]
    text = gpu.report(result)
    assert all(name in text for name in names) and "TFLOP/s" in text


def test_launches_are_those_of_operators_and_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    from litesnn import gpu as kernels

    monkeypatch.setattr(kernels, "_start", lambda *given: None)
    x = torch.ones(3, device="meta")

    def work() -> None:
        y = x + x
        y.view(3).mul_(2)
        kernels.launch(None, (1,), x)

    assert gpu.launches_of(work) == 1  # what is on no device launches nothing
    monkeypatch.setattr("benchmarks.stand_in._away", lambda tensor: True)
    assert gpu.launches_of(work) == 3


def test_estimates_by_hand() -> None:
    chip = launches.Chip(
        name="one", tflops={"fp32": 10.0}, terabytes=2.0, product_share=0.5, memory_share=0.5, launch_microseconds=4.0
    )
    found = launches.step_seconds(chip, "fp32", flops=5e12, moved=2e12, launches=1000)
    assert found == {"products": 1.0, "memory": 2.0, "host": pytest.approx(0.004), "step": 3.0}
    assert launches.step_seconds(chip, "fp32", 5, 2, 1000)["step"] == pytest.approx(0.004)
    recipe = replace(Recipe(), search_epochs=2, search_batch=45_000, retrain_epochs=4, retrain_batch=22_500)
    hours = launches.recipe_hours(recipe, {"search": 3600.0, "retrain": 1800.0})
    # A step and a ninth of a third of one, and two steps and twice that.
    assert hours["search"] == pytest.approx(2 * (1 + 1 / 27)) and hours["retrain"] == pytest.approx(2 * (2 + 2 / 27))
    assert hours["both"] == hours["search"] + hours["retrain"]


def test_the_stored_counts_are_a_fifth_and_the_estimates_follow_from_them() -> None:
    result = json.loads((RESULTS / "launches.json").read_text())
    assert result["chip"] == vars(launches.H100)
    rows = {(row["precision"], row["way"]): row for row in result["rows"]}
    for (precision, way), row in rows.items():
        seconds = {}
        for phase, found in row["phases"].items():
            again = launches.step_seconds(launches.H100, precision, found["flops"], found["moved"], found["launches"])
            assert found["estimated_seconds"] == pytest.approx(again)
            seconds[phase] = again["step"]
            if way == "kernels":
                assert found["launches"] <= rows[precision, "plain"]["phases"][phase]["launches"] / 5
        recipe = Recipe.preset("cifar10", precision=precision)
        assert row["estimated_hours"] == pytest.approx(launches.recipe_hours(recipe, seconds))
    assert result["machine"]["cpu"] in launches.report(result)
    page = Path(gpu.__file__).parents[1] / "docs" / "gpu.md"
    assert launches.page_tables(result) in page.read_text(encoding="utf-8")
