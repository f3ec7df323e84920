"""Which cells are equal in function, scores that agree with the search's own, and a command that continues."""

from pathlib import Path

import pandas as pd
import pytest

import litesnn
from benchmarks import cells
from benchmarks.cell_space import cells_of, name_of
from benchmarks.cells import POINT, searched
from litesnn import Recipe
from litesnn.data import load
from litesnn.held import Held

SHORT = (
    "digits --input-skip conv1x1 --widths 1,2 --search-channels 4 --retrain-channels 4 --search-epochs 1 --retrain-epochs 1 "
    "--search-batch 200 --retrain-batch 200"
).split()


def test_skips_of_inputs_and_names_of_nodes_make_no_other_cell() -> None:
    recipe = Recipe.preset("digits")
    ways = [
        (((0, "conv3x3"), (1, "conv3x3")), ((0, "skip"), (1, "skip"))),
        (((0, "skip"), (1, "conv3x3")), ((0, "conv3x3"), (1, "skip"))),
    ]
    assert {name_of(nodes, recipe) for nodes in ways} == {"0:3 1:3 / 0:3 1:3"}
    apart = Recipe.preset("digits", input_skip="conv1x1")
    assert [name_of(nodes, apart) for nodes in ways] == ["0:1 1:1 / 0:3 1:3", "0:1 1:3 / 0:3 1:1"]
    deep = (((0, "conv3x3"), (1, "conv3x3")), ((1, "skip"), (2, "skip")))
    assert name_of(deep, recipe) == "0:3 1:3 / 1:3 2:0"


def test_nodes_change_places_only_where_each_still_reads_earlier_ones() -> None:
    recipe = Recipe.preset("digits", nodes=3, search_channels=18)
    first, shallow, deep = ((0, "skip"), (1, "skip")), ((0, "skip"), (1, "skip")), ((1, "skip"), (2, "conv3x3"))
    assert name_of((first, shallow, deep), recipe) == name_of((first, deep, shallow), recipe)
    assert name_of((first, deep, ((1, "skip"), (3, "conv3x3"))), recipe) == "0:3 1:3 / 1:3 2:3 / 1:3 3:3"


def test_a_space_has_so_many_cells() -> None:
    """With 3 × 3 skips, node 1 alone can differ: no, conv or identity of node 0, beside either input. With 1 × 1, by hand 32 + 10."""
    alike, apart = Recipe.preset("digits"), Recipe.preset("digits", input_skip="conv1x1")
    assert len(cells_of(alike)) == 5 and len(cells_of(apart)) == 2 * 2 * 2 * 4 + 4 * 5 // 2
    assert sum(map(len, cells_of(apart).values())) == 4 * 3 * 4
    assert list(cells_of(apart)) == list(cells_of(apart)) != sorted(cells_of(apart))


@pytest.mark.parametrize("skip", ["conv3x3", "conv1x1"])
def test_the_best_score_is_the_decoded_cell_with_the_accuracy_that_its_record_has(skip: str) -> None:
    changes = {"widths": (1, 2), "search_channels": 4, "retrain_channels": 4, "search_epochs": 1, "search_batch": 200}
    recipe = Recipe.preset("digits", input_skip=skip, **changes)
    data, held = load(recipe, searching=True), Held(bits=(2, 2), timesteps=2)
    rows = searched(cells_of(recipe), recipe, held, data, seed=3)
    found = litesnn.search(POINT, recipe, dataset=data, seed=3, held=held)
    best = max(rows, key=lambda row: row["alpha_score"])
    assert best["cell"] == name_of(found.genotype.nodes, recipe)
    assert best["inherited_accuracy"] == found.records[-1].inherited_accuracy


def test_the_command_continues_and_keeps_other_spaces(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, picture = tmp_path / "cells.csv", tmp_path / "cells.png"
    command = [*SHORT, "--cells", "3", "--searches", "2", "--seeds", "2", "--out", str(out)]
    assert cells.main([*command, "--picture", str(picture)]) == 0
    shown = capsys.readouterr()
    assert "Kendall's tau over 3 cells" in shown.out and "search 1" in shown.err
    assert picture.read_bytes().startswith(b"\x89PNG")
    kept = out.read_text(encoding="utf-8")
    assert len(pd.read_csv(out)) == 3 * (2 + 2)
    assert cells.main(command) == 0
    again = capsys.readouterr()
    assert out.read_text(encoding="utf-8") == kept and again.out == shown.out and "search" not in again.err
    assert cells.main([*command, "--held-bits", "1"]) == 0
    rows = pd.read_csv(out)
    assert rows.groupby("space").size().tolist() == [12, 12] and out.read_text(encoding="utf-8").startswith(kept)


def test_cells_that_searches_prefer_are_retrained_as_well(tmp_path: Path) -> None:
    out = tmp_path / "cells.csv"
    command = [*SHORT, "--cells", "2", "--searches", "2", "--seeds", "2", "--taken", "--out", str(out)]
    assert cells.main(command) == 0
    rows = pd.read_csv(out)
    searches, retrainings = (rows[rows["phase"] == phase] for phase in ("search", "retrain"))
    assert searches.groupby("seed").size().tolist() == [42, 42]
    best = {
        frame.sort_values(score, ascending=False, kind="stable")["cell"].iloc[0]
        for _, frame in searches.groupby("seed")
        for score in ("alpha_score", "inherited_accuracy")
    }
    drawn = set(list(cells_of(Recipe.preset("digits", input_skip="conv1x1")))[:2])
    assert best - drawn and set(retrainings["cell"]) == best | drawn


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ("--cells 1", "cells: cells: expected an integer of at least 2, got 1"),
        ("--searches 0", "cells: searches: expected an integer of at least 2, got 0"),
        ("--seeds 1", "cells: seeds: expected an integer of at least 2, got 1"),
        ("--held-bits 3", "cells: held.bits: expected one of 1, 2, 4, got 3"),
        ("--held-timesteps 9", "cells: held.timesteps: expected at most the recipe's 4, got 9"),
    ],
)
def test_bad_input_is_one_line(given: str, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cells.main(["digits", *given.split()]) == 2
    assert capsys.readouterr().err == line + "\n"
