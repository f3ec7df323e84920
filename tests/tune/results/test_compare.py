"""Published networks beside ours: who dominates whom by hand, and ``--compare paper`` from the command to the page."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from litesnn import Recipe
from tests.tune.dashboard_page import inlined
from tune import pareto
from tune.results.compare import compare
from tune.results.published import published
from tune.storage.store import Experiment

SPEECH = Recipe.preset("gsc-small")
# In the paper: accuracy, MB, Bit-SynOps M of the networks for Speech Commands
#   Yılmaz 75.20 0.468 -     Orchard 88.97 0.952 -     Yang 92.90 0.36 768     LitE-SNN 94.14 0.30 37
OURS = [("a", 93.0, 0.35, 70.0), ("b", 80.0, 0.1, 5.0)]


def ours(rows: list[tuple[str, float, float, float]]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["trial", "test_accuracy", "model_size_bits", "bit_synops"])
    return frame.assign(
        model_size_bits=frame["model_size_bits"] * 8e6,
        bit_synops=frame["bit_synops"] * 1e6,
        row=range(5, 5 + len(frame)),
    )


def relations(rows: list[tuple[str, float, float, float]]) -> list[tuple[object, ...]]:
    table = compare(ours(rows), SPEECH).table
    return list(table[["relation", "dominated_by", "trial"]].itertuples(index=False, name=None))


def test_every_row_of_the_papers_tables_is_there_with_its_source() -> None:
    networks = pd.DataFrame(published())
    assert dict(networks["dataset"].value_counts()) == {"cifar10": 21, "cifar100": 15, "gsc12": 4}
    assert set(networks["source"]) == {"LitE-SNN (IJCAI 2024), Table 2", "LitE-SNN (IJCAI 2024), Table 3"}
    medium = networks[(networks["method"] == "LitE-SNN medium") & (networks["dataset"] == "cifar100")].iloc[0]
    assert tuple(medium[["accuracy", "model_size_mb", "bit_synops_m"]]) == (74.51, 1.27, 1110)


def test_who_dominates_whom() -> None:
    assert relations(OURS) == [
        ("dominated", 2, "a"),  # by both in accuracy and size, all that is given; a is the more accurate
        ("dominated", 1, "a"),
        ("dominated", 1, "a"),
        ("dominates", 0, "a"),
    ]
    assert relations(OURS[1:])[1:] == [("neither", 0, "b")] * 3  # smaller, but less accurate
    assert relations([("equal", 94.14, 0.30, 37.0)])[3] == ("neither", 0, "equal")
    assert relations([("smaller", 94.14, 0.29, 37.0)])[3] == ("dominated", 1, "smaller")


def test_the_nearest_is_so_in_decades() -> None:
    """From LitE-SNN's error 5.86 %, 0.30 MB, 37 M: one decade of size against half a decade in two others."""
    half = 10**0.5
    size, others = ("size", 94.14, 0.03, 37.01), ("others", 100 - 5.86 * half, 0.30, 37 / half)
    assert [row[2] for row in relations([size, others])][3] == "others"  # sqrt(0.5) of a decade away
    assert [row[2] for row in relations([("size", 94.14, 0.15, 37.01), others])][3] == "size"


def test_without_networks_of_ours_there_is_nothing_to_compare() -> None:
    found = compare(ours([("a", np.nan, 0.1, 5.0)]), SPEECH)
    assert set(found.table["relation"]) == {""} and set(found.table["row"]) == {-1}
    assert "ours dominate 0 of 4" in found.sentence()


@pytest.mark.parametrize(
    ("recipe", "count", "note"),
    [
        (Recipe.preset("cifar10"), 21, "published networks for cifar10"),
        (Recipe.preset("cifar100"), 15, "published networks for cifar100"),
        (
            Recipe.preset("cifar10-small", dataset="folder:/x"),
            21,
            "folder:/x is taken for cifar10 by its shape and classes",
        ),
        (Recipe.preset("gsc", dataset="folder:/x"), 4, "folder:/x is taken for speech_commands"),
        (Recipe.preset("gsc", dataset="folder:/x", classes=35), 0, "no published networks for folder:/x"),
        (Recipe.preset("digits"), 0, "no published networks for digits"),
    ],
)
def test_which_networks_suit_the_data(recipe: Recipe, count: int, note: str) -> None:
    found = compare(ours(OURS), recipe)
    assert len(found.table) == count and found.sentence().startswith(note)


def write_experiments(storage: Path) -> Path:
    """Experiments on speech, of two finished trials, and on digits."""
    for name, recipe, networks in (("speech", SPEECH, OURS), ("digits", Recipe.preset("digits"), OURS[:1])):
        experiment = Experiment(storage / name)
        experiment.open(recipe.to_dict())
        for p, (_, accuracy, size, count) in enumerate(networks):
            folder = experiment.trial(f"l1_0-l2_0-p_{p}-seed_0")
            folder.write_start({"lambda1": 0.0, "lambda2": 0.0, "p": float(p), "seed": 0}, recipe.to_dict())
            numbers = {"val_accuracy": accuracy + 1, "test_accuracy": accuracy, "bit_synops": count * 1e6}
            costs: dict[str, Any] = {"model_size_bits": int(size * 8e6), "energy_mj": 1e-3, "side_bits": 0}
            folder.write_result("finished", **numbers, **costs, timesteps=2, bits=[2, 1, 1])
    return storage


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    return write_experiments(tmp_path)


def test_a_report_with_published_networks(storage: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = ["--storage", str(storage), "--name", "speech"]
    folder = storage / "speech"
    assert pareto.main(["report", *place]) == 0
    plain = {name: (folder / name).read_bytes() for name in ("report.html", "front.png", "front.csv", "trials.csv")}
    assert not (folder / "comparison.csv").exists()
    assert inlined(folder / "report.html")["experiment"]["comparison"] is None
    assert "compare" not in capsys.readouterr().out

    assert pareto.main(["report", *place, "--compare", "paper"]) == 0
    printed = capsys.readouterr().out
    assert "compare: published networks for speech_commands; on the test split ours dominate 3 of 4" in printed
    assert str(folder / "comparison.csv") in printed
    table = pd.read_csv(folder / "comparison.csv").set_index("method")
    yang = table.loc["Yang et al. 2022"]
    assert (yang["relation"], yang["trial"], yang["bit_synops_m"]) == ("dominated", "l1_0-l2_0-p_0-seed_0", 768)
    assert yang["our_model_size_mb"] == pytest.approx(0.35) and yang["our_accuracy"] == 93
    assert np.isnan(table.loc["Orchard et al. 2021", "bit_synops_m"])
    for name in ("front.csv", "trials.csv"):
        assert (folder / name).read_bytes() == plain[name]
    with Image.open(folder / "front.png") as picture:
        assert picture.size == (1650, 720) and (folder / "front.png").read_bytes() != plain["front.png"]

    found = inlined(folder / "report.html")["experiment"]["comparison"]
    assert found["sentence"].startswith(
        "published networks for speech_commands; on the test split ours dominate 3 of 4"
    )
    networks = {network["method"]: network for network in found["networks"]}
    assert len(networks) == 4 and [network["own"] for network in networks.values()].count(True) == 1
    shown = networks["Yang et al. 2022"]
    assert (shown["relation"], shown["ours"], shown["our_accuracy"]) == ("dominated", "l1_0-l2_0-p_0-seed_0", 93)
    assert shown["model_size_bits"] == pytest.approx(0.36 * 8e6) and shown["bit_synops"] == 768e6
    assert networks["Orchard et al. 2021"]["bit_synops"] is None

    assert pareto.main(["report", *place]) == 0
    assert (folder / "front.png").read_bytes() == plain["front.png"]
    assert (folder / "report.html").read_bytes() == plain["report.html"]


def test_merged_reports_say_of_which_experiment_ours_is(storage: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert pareto.main(["merge", "speech", "--storage", str(storage), "--out", "all", "--compare", "paper"]) == 0
    assert set(pd.read_csv(storage / "all" / "comparison.csv")["experiment"]) == {"speech"}
    found = inlined(storage / "all" / "report.html")["experiment"]["comparison"]["networks"]
    assert {network["ours"] for network in found} == {"speech / l1_0-l2_0-p_0-seed_0"}


def test_data_without_published_networks_is_no_error(storage: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert pareto.main(["report", "--storage", str(storage), "--name", "digits", "--compare", "paper"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines.count("compare: no published networks for digits, nothing is overlaid") == 1
    assert not (storage / "digits" / "comparison.csv").exists()


def test_a_run_compares_as_well(storage: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its one trial is over, so it needs no cluster."""
    place = ["--storage", str(storage), "--points", "0,0,0"]
    assert pareto.main(["run", *place, "--compare", "paper"]) == 0
    assert "compare: no published networks for digits" in capsys.readouterr().out
    assert pareto.main(["run", *place]) == 0
    assert "published" not in capsys.readouterr().out


@pytest.mark.parametrize("command", [["report"], ["merge", "speech", "--out", "all"]])
def test_an_unknown_source_is_one_line(command: list[str], storage: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(storage.rglob("*"))
    assert pareto.main([*command, "--storage", str(storage), "--compare", "book"]) == 2
    assert capsys.readouterr().err == "pareto.py: compare: expected one of paper, got 'book'\n"
    assert sorted(storage.rglob("*")) == before
