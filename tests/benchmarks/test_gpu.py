"""The benchmark of GPUs: without one it says so; what it would do there runs on a CPU. The page's estimates follow from what is counted."""

from pathlib import Path

import pytest
import torch

from benchmarks import gpu, launches
from benchmarks.pages import DOCS
from benchmarks.record import begin, load, run
from litesnn.config import Recipe

SMALL = Recipe.preset("cifar10-small", widths=(1, 2), search_channels=4, retrain_channels=4, search_batch=4, retrain_batch=4)  # fmt: skip


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "gpu.json"
    assert run(gpu, ["--out", str(out)]) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.count("\n") == 1 and "expected a GPU" in printed.err
    assert not out.exists()


def test_every_row_is_timed_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "WARM_UP", 0)
    monkeypatch.setattr(gpu, "NEURONS", (2, 1, 4, 4, 4))
    rows = gpu.rows(SMALL, torch.device("cpu"), 1)
    result = {**begin("gpu"), "settings": {}, "device": "cpu", "rows": rows}
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


def test_the_stored_counts_are_a_fifth() -> None:
    rows = {(row["precision"], row["way"]): row["phases"] for row in load("launches")["rows"]}
    for (precision, way), phases in rows.items():
        for phase, found in phases.items():
            assert found["flops"] == launches.operations(Recipe.preset("cifar10", precision=precision))[phase]
            if way == "kernels":
                assert found["launches"] <= rows[precision, "plain"][phase]["launches"] / 5


def test_the_estimates_of_the_page_follow_from_the_counts() -> None:
    """By the formulas of docs/gpu.md: 494.7 and 989.4 TFLOP/s by 0.3, 3.35 TB/s by 0.6, 10 microseconds a launch."""
    page = (DOCS / "gpu.md").read_text(encoding="utf-8")
    for row in load("launches")["rows"]:
        for phase, found in row["phases"].items():
            products = found["flops"] / ({"fp32": 494.7e12, "bf16": 989.4e12}[row["precision"]] * 0.3)
            memory, host = found["moved"] / (3.35e12 * 0.6), found["launches"] * 1e-5
            times = (products, memory, host, max(products + memory, host))
            name = f"{phase} step, {row['precision']}, {launches.WAYS[row['way']]}"
            assert f"| {name} | {' | '.join(f'{1e3 * time:.1f} ms' for time in times)} |" in page
