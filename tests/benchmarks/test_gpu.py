"""The benchmark of GPUs: without one it says so; what it would do there runs on a CPU. The page's estimates follow from what is counted."""

from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import gpu, launches
from benchmarks.pages import DOCS
from benchmarks.record import begin, load, run
from benchmarks.sides import random_data
from litesnn.config import Recipe
from tests.litesnn.recording import RecordedGraph
from tune.running.gpu_share import step_seconds, trials_per_gpu

PAGE = (DOCS / "gpu.md").read_text(encoding="utf-8")
TINY = {"widths": (1, 2), "search_channels": 4, "retrain_channels": 4, "search_batch": 4, "retrain_batch": 4}
SMALL = Recipe.preset("cifar10-small", **TINY)


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
    beside = {"cifar10-small": {"1": 100.0, "2": 190.0, "4": 350.0, "8": 400.0}}
    result = {**begin("gpu"), "settings": {}, "device": "cpu", "rows": rows, "side_by_side": beside}
    steps = [f"search step{how}, batch {batch}" for how in ("", " with graphs") for batch in (4, 16)]
    steps += ["retraining step, batch 4", "retraining step with graphs, batch 4", "evaluation"]
    names = {f"{what}, {precision}" for what in steps for precision in ("fp32", "bf16")}
    names |= {f"naive search step, batch {batch}, fp32" for batch in (4, 16)} | {"neurons, fp32", "a copy"}
    assert {row["what"] for row in rows} == names and len(rows) == len(names)
    text = gpu.report(result)
    assert all(f"| {name} |" in text for name in names) and "TFLOP/s" in text and "GB/s" in text
    assert "| cifar10-small | 100 | 190 | 350 | 400 |" in text


def test_with_and_without_kernels_a_step_has_a_graph_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("litesnn.native.kernels", lambda: None)
    monkeypatch.setattr("litesnn.prune._on_host", lambda tensor: False)
    monkeypatch.setattr("litesnn.phase.wanted", lambda device: True)
    monkeypatch.setattr("litesnn.phase.CudaGraph", RecordedGraph)
    monkeypatch.setattr(RecordedGraph, "replays", 0)
    data, cpu = random_data(SMALL, 4), torch.device("cpu")
    made = launches.steps(SMALL, data, data.normalise(data.train.inputs), data.train.labels, cpu)["retrain"]
    work = gpu.stepping(made, graphs=True)
    replays = []
    for name in gpu.WAYS:
        with gpu.way(name):
            for _ in range(3):
                work()
                replays.append(RecordedGraph.replays)
    assert replays == [0, 1, 2, 2, 3, 4]  # the first step of each is taken as ever


@pytest.mark.slow
def test_processes_beside_each_other_add_their_steps() -> None:
    """Each takes at least one round of ten steps; nothing is said about how many a CPU has time for."""
    assert all(gpu.together(SMALL, torch.device("cpu"), count, 0.01) > 0 for count in (1, 2))


def test_what_does_not_fit_is_left_out(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def seconds_of(work: object, device: object, repeats: int) -> list[float]:
        raise torch.OutOfMemoryError("no more")

    monkeypatch.setattr(gpu, "NEURONS", (2, 1, 4, 4, 4))
    monkeypatch.setattr(gpu, "seconds_of", seconds_of)
    assert gpu.rows(SMALL, torch.device("cpu"), 1) == []
    assert "naive search step, batch 16, fp32: not enough memory" in capsys.readouterr().err


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
    rows = {(row["preset"], row["precision"], row["way"]): row["phases"] for row in load("launches")["rows"]}
    assert {preset for preset, _, _ in rows} == {"cifar10", *launches.SMALL}
    for (preset, precision, way), phases in rows.items():
        for phase, found in phases.items():
            recipe = Recipe.preset(preset, precision=precision)
            assert found["flops"] == launches.operations(recipe)[phase]
            if way == "kernels" and preset == "cifar10":
                assert found["launches"] <= rows[preset, precision, "plain"][phase]["launches"] / 5


def seconds(row: dict[str, Any], found: dict[str, Any]) -> tuple[float, float, float]:
    """Of products, memory and host, by the formulas of docs/gpu.md: 494.7 and 989.4 TFLOP/s by 0.3, 3.35 TB/s by 0.6, 10 µs a launch."""
    rate = {"fp32": 494.7e12, "bf16": 989.4e12}[row["precision"]] * 0.3
    return found["flops"] / rate, found["moved"] / (3.35e12 * 0.6), found["launches"] * 1e-5


def test_the_estimates_of_the_page_follow_from_the_counts() -> None:
    for row in load("launches")["rows"]:
        for phase, found in row["phases"].items():
            products, memory, host = seconds(row, found)
            if row["preset"] == "cifar10":
                times = (products, memory, host, max(products + memory, host))
                cells = [f"{phase} step, {row['precision']}, {launches.WAYS[row['way']]}"]
                cells += [f"{1e3 * time:.1f} ms" for time in times]
            else:
                device = products + memory
                cells = [f"{row['preset']}, {phase} step", f"{1e3 * host:.2f} ms", f"{1e3 * device:.2f} ms"]
                cells += [f"{host / device:.1f}"]
            assert f"| {' | '.join(cells)} |" in PAGE


def test_the_estimates_of_graphs_follow_from_the_counts() -> None:
    """``test_a_step_can_be_recorded`` counts what the host starts then: a copy per input, a rate per schedule, the graph."""
    for row in load("launches")["rows"]:
        for phase, found in row["phases"].items():
            products, memory, host = seconds(row, found)
            started = {"search": 4 + 1 + 1, "retrain": 2 + 2 + 1}[phase]
            times = [1e3 * max(products + memory, each) for each in (host, started * 1e-5)]
            digits = 1 if row["preset"] == "cifar10" else 2
            cells = [f"{row['preset']}, {row['precision']}, {phase} step", *(f"{time:.{digits}f} ms" for time in times)]
            assert (f"| {' | '.join(cells)} |" in PAGE) is (row["way"] == "kernels")


def test_the_share_of_a_trial_follows_the_counts() -> None:
    """What ``tune`` estimates from a recipe is within a quarter, for the networks small enough to share a GPU."""
    for row in load("launches")["rows"]:
        if row["preset"] != "cifar10":
            products, memory, host = seconds(row, row["phases"]["retrain"])
            by_rule = step_seconds(Recipe.preset(row["preset"]))
            assert by_rule == pytest.approx((host, products + memory), rel=0.25), row["preset"]
            assert f"| `{row['preset']}` | {trials_per_gpu(Recipe.preset(row['preset']))} |" in PAGE
