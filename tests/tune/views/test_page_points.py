"""Points over their seeds on ``report.html`` in real Chromium: figures, switch, table and addresses."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("selenium.webdriver")

from benchmarks.dashboard import browser_here, browsing, wait
from litesnn.config import Recipe
from tests.tune.dashboard_page import (
    REFERENCE,
    add,
    click_point,
    drawn,
    figure,
    fill,
    point_at,
    show,
    text,
    write_page,
)
from tune import pareto
from tune.results.seeds import points
from tune.storage.objectives import BIT_SYNOPS, SIZE
from tune.storage.store import Experiment

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(browser_here() is None, reason="needs chromium and chromedriver in PATH"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with browsing() as browser:
        yield browser


ACCURACIES = {"wide": (97.0, 86.0, 87.0), "narrow": (89.5, 89.0, 88.5), "tiny": (60.5, 60.0, 59.5)}


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of three points with three seeds each; the largest may be no better than the second."""
    folder = tmp_path_factory.mktemp("many")
    experiment = Experiment(folder / "fronts")
    experiment.open({"dataset": "digits"})
    for p, (name, accuracies) in enumerate(ACCURACIES.items()):
        for seed, accuracy in enumerate(accuracies):
            size = 400_000 / 4**p + seed
            trial = f"{name}-seed_{seed}"
            add(experiment, trial, (0.0, 0.0, float(p), accuracy, accuracy, size, size, p + 1), seed=seed)
            path = experiment.trial(trial).path / "result.json"
            path.write_text(json.dumps(json.loads(path.read_text()) | {"val_samples": 400}))
    return write_page(folder, "fronts")


def errors_of(browser: Any, name: str) -> dict[str, Any]:
    script = """const {x, y, error_y} = document.getElementById(arguments[0]).data.find(({name}) => name === "interval");
        return {x, y, array: error_y.array, arrayminus: error_y.arrayminus}"""
    return dict(browser.execute_script(script, name))


@pytest.mark.parametrize("name", ["size-front", "synops-front"])
def test_seeds_are_one_point_with_its_interval(browser: Any, many: Path, name: str) -> None:
    show(browser, many.as_uri(), "")
    table = points(Experiment(many.parent).table()).set_index("point")
    assert dict(table["front"]) == {"wide": "unsure", "narrow": "sure", "tiny": "sure"}
    traces = {trace["name"]: trace for trace in figure(browser, name)}
    assert set(traces) == {"sure", "unsure", "steps", "interval"}
    assert traces["unsure"]["customdata"] == ["fronts/wide-seed_0"]  # the most accurate of its seeds
    assert traces["sure"]["customdata"] == ["fronts/tiny-seed_0", "fronts/narrow-seed_0"]
    np.testing.assert_allclose(traces["sure"]["y"], 100 - table.loc[["tiny", "narrow"], "val_accuracy"])
    worth = 8e3 if name == "size-front" else 1e6
    column = SIZE if name == "size-front" else BIT_SYNOPS
    np.testing.assert_allclose(traces["steps"]["x"], table.loc[["tiny", "narrow", "wide"], column] / worth)
    bars, widths = errors_of(browser, name), table.loc[["tiny", "narrow", "wide"], "val_interval"]
    np.testing.assert_allclose(bars["array"], widths)
    np.testing.assert_allclose(bars["arrayminus"], np.minimum(widths, np.array(bars["y"]) - 1e-6))
    legend = text(browser, "#legend")
    assert "on the front for sure" in legend and "90 % interval" in legend and "test accuracy" not in legend


def test_the_switch_shows_the_networks_and_stays_in_the_address(browser: Any, many: Path) -> None:
    show(browser, many.as_uri(), "")
    assert browser.execute_script("return document.getElementById('together').checked")
    browser.execute_script("document.getElementById('together').click()")
    wait(browser, "return document.getElementById('size-front').data.some(({name}) => name === 'front')")
    names = {trace["name"] for trace in figure(browser, "size-front")}
    assert "test" in names and not names & {"sure", "unsure", "interval"}
    assert len(drawn(browser)) == 9 and "together=0" in browser.execute_script("return location.hash")
    show(browser, many.as_uri(), "together=1")
    assert len(drawn(browser)) == 3


def test_a_point_says_what_it_is_and_opens_its_best_network(browser: Any, many: Path) -> None:
    show(browser, many.as_uri(), "")
    point_at(browser, "wide-seed_0")
    assert " ".join(text(browser, "#tip").split()).startswith(
        "wide λ1 0 λ2 0 p 0 % C 144 mean of 3 seeds validation 90.00 % ± 10.5 ~ test 90.00 %"
    )
    click_point(browser, "wide-seed_0")
    wait(browser, "return document.getElementById('panel-title').textContent === 'wide-seed_0'")
    show(browser, many.as_uri(), "trial=fronts%2Fwide-seed_1")  # another network of the same point rings it
    ring = "return [...document.querySelectorAll('#size-front .layer .selected')].map(r => r.getAttribute('cx'))"
    of_one = wait(browser, ring)
    show(browser, many.as_uri(), "trial=fronts%2Fwide-seed_0")
    assert browser.execute_script(ring) == of_one and len(of_one) == 1


def test_what_is_sure_is_so_among_the_points_shown(browser: Any, many: Path) -> None:
    show(browser, many.as_uri(), "p=0,2")
    traces = {trace["name"]: trace for trace in figure(browser, "size-front")}
    assert traces["sure"]["customdata"] == ["fronts/tiny-seed_0", "fronts/wide-seed_0"] and "unsure" not in traces
    show(browser, many.as_uri(), "timesteps=2")
    assert drawn(browser) == {"narrow-seed_0"}


def test_the_table_of_points(browser: Any, many: Path) -> None:
    show(browser, many.as_uri(), "tab=seeds")
    script = "return [...document.querySelectorAll('#seeds tr')].map(r => [...r.cells].map(c => c.innerText.trim()))"
    titles, *cells = browser.execute_script(script)
    front, width = (next(k for k, title in enumerate(titles) if title.startswith(start)) for start in ("front", "± 90"))
    assert [row[front] for row in cells] == ["unsure", "sure", "sure"]
    assert [row[width] for row in cells] == ["10.5 ~", "2.7", "4.1"]
    browser.execute_script("document.querySelectorAll('#seeds tbody tr')[1].click()")
    wait(browser, "return document.getElementById('panel-title').textContent === 'narrow-seed_0'")


def test_with_one_seed_each_nothing_is_said_of_seeds(browser: Any, tmp_path: Path) -> None:
    fill(Experiment(tmp_path / "fronts"))
    show(browser, write_page(tmp_path, "fronts").as_uri(), "together=1")
    assert browser.execute_script("return document.getElementById('together').parentElement.hidden")
    assert browser.execute_script("return document.querySelector('[data-tab=seeds]').hidden")
    assert not {"sure", "unsure", "interval", "steps"} & {trace["name"] for trace in figure(browser, "size-front")}
    assert "interval" not in text(browser, "#legend") and "for sure" not in text(browser, "#legend")


def test_points_that_differ_in_what_they_state_are_told_apart_over_seeds(browser: Any, tmp_path: Path) -> None:
    experiment = Experiment(tmp_path / "stated")
    experiment.open({})
    for bits in (1, 4):
        for seed in (0, 1):
            values = (0.0, 0.0, 0.0, 90.0 + bits, 90.0, 100_000 * bits, 1e6, 2)
            add(experiment, f"{bits}-{seed}", values, held_bits=bits, held_timesteps=2)
    show(browser, write_page(tmp_path, "stated").as_uri(), "tab=seeds")
    script = "return [...document.querySelectorAll('#seeds tr')].map(r => [...r.cells].map(c => c.innerText.trim()))"
    header, *rows = browser.execute_script(script)
    places = [next(k for k, title in enumerate(header) if title.split()[0] == name) for name in ("bits", "T", "seeds")]
    assert sorted([row[place] for place in places] for row in rows) == [["1", "2", "2"], ["4", "2", "2"]]


def test_points_of_a_merge_name_their_experiments(browser: Any, tmp_path: Path) -> None:
    for name, size in (("first", 40_000), ("second", 80_000)):
        experiment = Experiment(tmp_path / name)
        experiment.open(Recipe.preset("digits").to_dict(), REFERENCE)
        for seed in (0, 1):
            add(experiment, f"point-seed_{seed}", (0.0, 0.0, 0.0, 90.0 + seed, 90.0, size, size, 1), seed=seed)
    assert pareto.main(["merge", "first", "second", "--storage", str(tmp_path), "--out", "fronts"]) == 0
    show(browser, (tmp_path / "fronts" / "report.html").as_uri(), "tab=seeds")
    script = "return [...document.querySelectorAll('#seeds tbody tr')].map(r => r.cells[0].innerText.trim())"
    assert sorted(browser.execute_script(script)) == ["first", "second"]
    assert drawn(browser) == {"first / point-seed_1", "second / point-seed_1"}
    point_at(browser, "first / point-seed_1")
    assert text(browser, "#tip").startswith("first / point\n")


def test_nothing_goes_wrong(browser: Any) -> None:
    """Runs last: whatever the tests above did is in the log."""
    assert [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []
