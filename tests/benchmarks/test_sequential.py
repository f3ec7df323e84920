"""Sequential against joint optimisation: what every step may decide, that budgets are equal, and what is reported."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.comparisons import sequential
from benchmarks.comparisons.repeats import report, run
from benchmarks.comparisons.sequential import POINTS, scored, split_epochs, stages
from benchmarks.record import load
from litesnn.checks import InputError
from litesnn.compconv import initial_scores
from litesnn.config import Recipe
from litesnn.genotype import Genotype

NODES = (((0, "conv3x3"), (1, "skip")), ((1, "conv3x3"), (2, "skip")))
DIGITS, POINT = Recipe.preset("digits"), POINTS["digits"]
OPTIONS = (
    "digits --seeds 1 --threads 1 --widths 1,2 --search-channels 4 --retrain-channels 4 --timesteps 2 --search-epochs 5 "
    "--psi-warmup-epochs 1 --retrain-epochs 1 --search-batch 200 --retrain-batch 200"
).split()


@pytest.mark.parametrize(
    ("epochs", "shares"), [(4, (1, 1, 1, 1)), (8, (2, 2, 2, 2)), (10, (3, 3, 2, 2)), (50, (13, 13, 12, 12))]
)
def test_the_steps_share_all_epochs(epochs: int, shares: tuple[int, ...]) -> None:
    assert split_epochs(epochs) == shares and sum(shares) == epochs


def test_fewer_epochs_than_steps_are_refused() -> None:
    with pytest.raises(InputError, match="search_epochs: expected at least 4"):
        split_epochs(3)


def test_every_step_decides_one_thing_and_keeps_what_was_decided() -> None:
    found = Genotype(nodes=NODES, bits=(1, 2, 4), timesteps=3, p=50)
    steps = [stages(POINT, DIGITS, found if index else None, index) for index in range(4)]
    assert [at.p for at, _, _ in steps] == [0, 50, 50, 50]
    assert {(at.lambda1, at.lambda2) for at, _, _ in steps} == {(POINT.lambda1, POINT.lambda2)}
    assert [held.nodes for _, _, held in steps] == [None, NODES, NODES, NODES]
    assert [held.bits for _, _, held in steps] == [(4, 4, 4), (1, 2, 4), None, (1, 2, 4)]
    assert [held.timesteps for _, _, held in steps] == [4, 4, 4, None]
    assert [held.masks for _, _, held in steps] == [True, False, True, True]
    assert sum(recipe.search_epochs for _, recipe, _ in steps) == DIGITS.search_epochs
    assert [recipe.psi_warmup_epochs for _, recipe, _ in steps][3] == 0


def test_pruning_starts_from_the_weights_it_finds() -> None:
    weight = torch.randn(2, 3, 4, 3, 3)
    before = {"a.weight": weight, "a.scores": torch.zeros_like(weight), "b.weight": torch.ones(2)}
    after = scored(before)
    assert torch.equal(after["a.scores"], initial_scores(weight)) and before["a.scores"].abs().max() == 0
    assert after["a.weight"] is weight and after.keys() == before.keys()


@pytest.mark.slow
def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "x.json"
    options = [*OPTIONS, "--out", str(out)]
    assert run(sequential, [*options, "--variants", "sequential"]) == 0
    first = json.loads(out.read_text())["presets"]["digits"]["runs"]
    assert run(sequential, options) == 0  # the other three
    runs = {row["variant"]: row for row in json.loads(out.read_text())["presets"]["digits"]["runs"]}
    assert [runs["sequential"]] == first and runs.keys() == set(sequential.VARIANTS)
    assert runs["sequential"]["search_epochs"] == [2, 1, 1, 1]
    for row in runs.values():
        assert sum(row["search_epochs"]) == 5 and row["genotype"]["p"] == 50
        parts = [*row["search_cpu_seconds"], row["retrain_cpu_seconds"]]
        assert min(parts) > 0 and row["design_cpu_seconds"] == pytest.approx(sum(parts))
    assert runs["full-t"]["timesteps"] == runs["t2"]["timesteps"] == 2
    printed = capsys.readouterr().out
    assert "2+1+1+1" in printed and printed.count("less joint, by seed (1)") == 3
    content = out.read_bytes()
    for bad, line in (
        (("--search-epochs", "3"), "search_epochs: expected at least 4"),
        (("--timesteps", "1"), "held.timesteps: expected at most the recipe's 1"),
    ):
        other = tmp_path / "other.json"
        assert run(sequential, [*options, *bad, "--out", str(other)]) == 2
        error = capsys.readouterr().err
        assert f"sequential: {line}" in error and not other.exists()
    assert out.read_bytes() == content


def row(variant: str, seed: int, accuracy: float, size: float, count: float, cpu: float) -> dict[str, Any]:
    return {
        "variant": variant,
        "seed": seed,
        "test_accuracy": accuracy,
        "model_size_bits": size,
        "bit_synops": count,
        "bits": [1, 2],
        "timesteps": seed + 1,
        "search_epochs": [8] if variant == "joint" else [2, 2, 2, 2],
        "search_cpu_seconds": [cpu / 2],
        "design_cpu_seconds": cpu,
    }


def test_the_differences_are_by_seed() -> None:
    runs = [row("joint", 0, 90, 8e3, 1e6, 10), row("joint", 1, 92, 8e3, 1e6, 10)]
    runs += [row("sequential", 1, 91, 16e3, 3e6, 9), row("sequential", 0, 92, 12e3, 2e6, 9)]
    (line,) = sequential.notes({"runs": runs})
    # +2 and -1 points; +0.5 and +1 kB; +1 and +2 M
    for part in ("(2): +0.50 ± 2.12 points", "+0.750 ± 0.354 kB", "+1.500 ± 0.707 M Bit-SynOps", "-1.0 ± 0.0 CPU s"):
        assert part in line
    text = report(sequential, {**load("sequential"), "presets": {"hand": {"recipe": {}, "runs": runs}}})
    assert "91.00 ± 1.41" in text and "2+2+2+2" in text and "1 2" in text and "full-t" not in text


def test_the_stored_record_names_no_folders() -> None:
    presets = load("sequential")["presets"]
    assert Recipe.from_dict(presets["digits"]["recipe"]).widths == DIGITS.widths
    assert "/" not in json.dumps([found["recipe"] for found in presets.values()])
