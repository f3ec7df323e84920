"""Random cells of equal cost against searched ones: what is drawn, what counts as equal, and what the figures say."""

import json
import random
from pathlib import Path
from typing import Any

import pytest

from benchmarks.comparisons import structure
from benchmarks.comparisons.structure import Cell, assumed_cost, drawn_cell, matched, same_cell, share_of_splits
from benchmarks.record import RESULTS
from litesnn.checks import InputError
from litesnn.config import Recipe
from litesnn.genotype import Genotype

FOUR = Recipe.preset("digits", nodes=4)
CELL: Cell = (
    ((0, "conv3x3"), (1, "skip")),
    ((1, "conv3x3"), (2, "skip")),
    ((2, "conv3x3"), (3, "conv3x3")),
    ((0, "skip"), (3, "conv3x3")),
)
SEARCHED = Genotype(nodes=CELL, bits=(4, 2, 1), timesteps=3, p=50)
OPTIONS = (
    "digits --threads 1 --widths 1,2 --search-channels 4 --retrain-channels 4 --timesteps 2 --search-epochs 1 "
    "--psi-warmup-epochs 0 --retrain-epochs 1 --search-batch 200 --retrain-batch 200"
).split()


def test_every_drawn_cell_is_valid_and_all_are_drawn() -> None:
    draw = random.Random(0)
    cells = [drawn_cell(2, draw) for _ in range(600)]
    for cell in cells:
        Genotype(nodes=cell, bits=(1, 1, 1), timesteps=1).check_fits(Recipe.preset("digits"))
    assert len(set(cells)) == 4 * 12  # operations of two edges; the second node chooses two of three inputs


def test_cells_that_only_look_different_are_the_same() -> None:
    # Nodes 0 and 1 read the inputs alone: they may change places, if their readers follow.
    a: Cell = (((0, "conv3x3"), (1, "skip")), ((0, "skip"), (1, "skip")), ((2, "conv3x3"), (3, "skip")))
    b: Cell = (((0, "skip"), (1, "conv3x3")), ((0, "skip"), (1, "skip")), ((2, "skip"), (3, "conv3x3")))
    three, cheap = (Recipe.preset("digits", nodes=3, search_channels=24, input_skip=s) for s in ("conv3x3", "conv1x1"))
    assert same_cell(a, three) == same_cell(b, three)
    assert same_cell(a, cheap) != same_cell(b, cheap)
    # A skip from a node is no convolution.
    c: Cell = (*a[:2], ((2, "skip"), (3, "skip")))
    assert same_cell(a, three) != same_cell(c, three)
    draw, small = random.Random(1), Recipe.preset("digits")
    assert len({same_cell(drawn_cell(2, draw), small) for _ in range(600)}) == 5


def test_matched_networks_differ_and_cost_the_same() -> None:
    found: list[Genotype] = []
    for seed in range(3):
        without = [same_cell(genotype.nodes, FOUR) for genotype in found]
        found.append(matched(SEARCHED, FOUR, seed, 5, without))
    target = assumed_cost(SEARCHED, FOUR)
    for genotype in found:
        genotype.check_fits(FOUR)
        assert (genotype.bits, genotype.timesteps, genotype.p) == ((4, 2, 1), 3, 50)
        cost = assumed_cost(genotype, FOUR)
        assert cost.model_size_bits == pytest.approx(target.model_size_bits, rel=0.05)
        assert cost.bit_synops == pytest.approx(target.bit_synops, rel=0.05)
    assert len({same_cell(genotype.nodes, FOUR) for genotype in [SEARCHED, *found]}) == 4
    assert matched(SEARCHED, FOUR, 0, 5) == found[0]


def test_no_match_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(structure, "DRAWS", 300)
    smallest: Cell = (((0, "conv3x3"), (1, "conv3x3")), ((0, "conv3x3"), (2, "skip")))  # the next has 11 % more
    with pytest.raises(InputError, match="tolerance: expected other cells within ±5 %"):
        matched(Genotype(nodes=smallest, bits=(1, 1, 1), timesteps=1, p=0), Recipe.preset("digits"), 0, 5)


def test_the_permutation_test_by_hand() -> None:
    # Of six splits of 1 2 3 4 in two pairs, {1 2} and {3 4} are the two that are farthest apart.
    assert share_of_splits([3, 4], [1, 2]) == pytest.approx(2 / 6)
    assert share_of_splits([1, 4], [2, 3]) == 1
    assert share_of_splits([5, 6, 7, 8, 9], [0, 1, 2, 3, 4]) == pytest.approx(2 / 252)


def run(variant: str, seed: int, accuracy: float, size: float = 8e3, count: float = 1e6) -> dict[str, Any]:
    return {
        "variant": variant,
        "seed": seed,
        "test_accuracy": accuracy,
        "model_size_bits": size,
        "bit_synops": count,
    }


def test_the_verdict_follows_from_the_figures() -> None:
    better = [run("searched", s, 95 + s) for s in range(4)] + [run("random", s, 85 + s, 8.4e3, 9e5) for s in range(4)]
    first, size, count = structure.verdict(better)
    # Variance 5/3 of both; 2 of the 70 splits are as far apart.
    assert "+10.00 ± 0.91 points" in first and " 3 % of all" in first and "more than chance makes" in first
    assert size.endswith("+5.0 % +5.0 % +5.0 % +5.0 %") and count.endswith("-10.0 % -10.0 % -10.0 % -10.0 %")
    worse = [run("searched", s, 90 + s) for s in range(4)] + [run("random", s, 91 + s) for s in range(4)]
    assert "-1.00" in structure.verdict(worse)[0] and "no more than chance makes" in structure.verdict(worse)[0]


@pytest.mark.slow
def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "x.json"
    options = [*OPTIONS, "--work", str(tmp_path / "work"), "--out", str(out)]
    assert structure.main([*options, "--count", "1"]) == 0
    first = json.loads(out.read_text())["presets"]["digits"]["runs"]
    assert structure.main([*options, "--count", "2"]) == 0
    result = json.loads(out.read_text())
    found = result["presets"]["digits"]
    assert found["recipe"]["nodes"] == 4 and found["runs"][:2] == first
    assert [(row["variant"], row["seed"]) for row in found["runs"]] == [
        ("searched", 0),
        ("random", 0),
        ("searched", 1),
        ("random", 1),
    ]
    for searched, drawn in zip(found["runs"][::2], found["runs"][1::2], strict=True):
        assert (drawn["bits"], drawn["timesteps"]) == (searched["bits"], searched["timesteps"])
        assert drawn["model_size_bits"] == pytest.approx(searched["model_size_bits"], rel=0.05)
        assert drawn["genotype"]["nodes"] != searched["genotype"]["nodes"]
    assert "searched less random" in capsys.readouterr().out
    assert structure.main([*options, "--tolerance", "0"]) == 2
    assert "structure: tolerance: expected" in capsys.readouterr().err


def test_stored_results_are_what_the_code_reads() -> None:
    result = json.loads((RESULTS / "structure.json").read_text())
    assert result["machine"]["cpu"] in structure.report(result)
    assert len(result["presets"]["digits"]["runs"]) == 10
