"""``report.html`` in real Chromium, opened from disk: its points are the table's, nothing is loaded, the live page says the same."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("selenium.webdriver")

from benchmarks.dashboard import browser_here, browsing, serving, wait
from tests.tune.dashboard_page import (
    EVIL,
    EVIL_REASON,
    TRIALS,
    add,
    click_point,
    drawn,
    figure,
    fill,
    inlined,
    point_at,
    press,
    rows,
    show,
    slide,
    text,
    write_page,
)
from tune import pareto
from tune.results.front import on_front
from tune.results.pick import pick
from tune.storage.objectives import BIT_SYNOPS, SIZE
from tune.storage.store import FINISHED, Experiment
from tune.views import report
from tune.views.look import MARKS, mark_colour

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(browser_here() is None, reason="needs chromium and chromedriver in PATH"),
]
TABS = ["trials", "cells", "stopped", "seeds", "published", "hypervolume", "parallel"]


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    experiment = Experiment(folder / "fronts")
    fill(experiment)
    add(experiment, "middle again", (3e-6, 2e-9, 80.0, 91.0, 92.0, 220_000, 0.9e6, 3), seed=1)
    return folder


@pytest.fixture(scope="module")
def page(storage: Path) -> Path:
    return write_page(storage, "fronts", "--compare", "paper")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with browsing() as browser:
        yield browser


def everything(browser: Any, address: str) -> dict[str, Any]:
    """What a page shows of the experiment, whatever it is fed by."""
    show(browser, address, "show=fronts&published=1")
    seen: dict[str, Any] = {"summary": text(browser, "#summary"), "taken": text(browser, "#taken")}
    seen |= {"legend": text(browser, "#legend"), "literature": text(browser, "#literature")}
    seen |= {name: figure(browser, name) for name in ("size-front", "synops-front")}
    for tab in TABS:
        show(browser, address, f"show=fronts&published=1&tab={tab}")
        if tab in ("hypervolume", "parallel"):
            wait(browser, "return document.getElementById(arguments[0])?.data?.length", tab)
            seen[tab] = figure(browser, tab)
        if tab == "cells":
            wait(browser, "return document.querySelectorAll('.cells svg').length === 3")
        seen[f"{tab} in words"] = text(browser, f"#part-{tab}")
    show(browser, address, "show=fronts&published=1&trial=fronts%2Fmiddle")
    wait(browser, "return document.querySelectorAll('#panel .curves .scatterlayer .trace').length === 8")
    return seen | {"panel": browser.execute_script("document.querySelector('#panel .files')?.remove();" + PANEL)}


PANEL = "return document.querySelector('#panel .body').innerText"


@pytest.mark.parametrize(("name", "column", "worth"), [("size-front", SIZE, 8e3), ("synops-front", BIT_SYNOPS, 1e6)])
def test_the_fronts_points_are_those_of_the_table(
    browser: Any, page: Path, storage: Path, name: str, column: str, worth: float
) -> None:
    show(browser, page.as_uri(), "published=0&together=0")
    table = Experiment(storage / "fronts").table()
    chosen = table[on_front(table, [column])].sort_values(column)
    assert len(chosen) == 3
    traces = {trace["name"]: trace for trace in figure(browser, name)}
    front, test = traces["front"], traces["test"]
    assert front["customdata"] == [f"fronts/{trial}" for trial in chosen["trial"]] == test["customdata"]
    np.testing.assert_allclose(front["x"], chosen[column] / worth)
    np.testing.assert_allclose(front["y"], 100 - chosen["val_accuracy"])
    np.testing.assert_allclose(test["y"], 100 - chosen["test_accuracy"])
    finished = set(table.loc[table["status"] == FINISHED, "trial"])
    assert set(traces["dominated"]["customdata"]) == {f"fronts/{trial}" for trial in finished - set(chosen["trial"])}
    assert drawn(browser, name) == set(table["trial"])


def test_the_live_page_shows_the_same(browser: Any, page: Path, storage: Path) -> None:
    """Everything of one experiment: the file's data are the server's answers, and both pages run the same scripts."""
    with serving(storage, interval=0.2) as address:
        live = everything(browser, address)
    browser.get("about:blank")
    found = everything(browser, page.as_uri())
    assert set(found) == set(live)
    for part in live:
        assert found[part] == live[part], part
    assert "95.00" in found["trials in words"] and "93.00 ± 2.83" in found["seeds in words"]
    assert "Dominated" not in found["literature"] and "21 networks from LitE-SNN (IJCAI 2024)" in found["literature"]


def test_a_small_page_is_little_more_than_plotly(page: Path) -> None:
    assert page.stat().st_size < 5_500_000


def test_the_files_data_are_the_servers_answers(page: Path, storage: Path) -> None:
    import httpx

    data = inlined(page)
    with serving(storage) as address, httpx.Client(base_url=address) as client:
        live = client.get("/api/experiments/fronts").json()
        assert data["list"] == {**client.get("/api/experiments").json(), "experiments": [listed_of(client)]}
        for key in set(live) - {"version"}:
            assert data["experiment"][key] == live[key], key
        details = client.get("/api/experiments/fronts/trials/middle").json()
        for key in set(details) - {"experiment", "trial", "model_bytes"}:
            assert data["details"]["middle"][key] == details[key], key


def listed_of(client: Any) -> dict[str, Any]:
    (found,) = client.get("/api/experiments").json()["experiments"]
    return {**found, "version": ""}


def test_the_picture_and_the_page_have_the_same_colours(browser: Any, page: Path) -> None:
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": "light"}]}
    )
    show(browser, page.as_uri(), "published=1&together=0")
    for trace in figure(browser, "size-front"):
        if trace["name"] in MARKS:
            colour = mark_colour(trace["name"])
            rgb = ",".join(str(int(colour[k : k + 2], 16)) for k in (1, 3, 5))
            assert trace["marker"]["color"] == f"rgb({rgb})", trace["name"]
            assert trace["marker"]["symbol"] == MARKS[trace["name"]]["symbol"]
    picture = np.asarray(Image.open(page.with_name("front.png")).convert("RGB"))
    for mark in ("front", "dominated", "published", "paper"):
        colour = [int(mark_colour(mark)[k : k + 2], 16) for k in (1, 3, 5)]
        assert (picture == colour).all(axis=-1).any(), mark


def test_published_networks_are_there_where_they_were_asked_for(browser: Any, page: Path, tmp_path: Path) -> None:
    show(browser, page.as_uri(), "tab=published")
    assert browser.execute_script("return document.getElementById('published').checked")
    sizes = {trace["name"]: trace["x"] for trace in figure(browser, "size-front")}
    assert len(sizes["published"]) + len(sizes["paper"]) == 21
    table = text(browser, "#published-table")
    assert "dominated by" in table and "LitE-SNN (IJCAI 2024), Table 2" in table
    networks = inlined(page)["experiment"]["comparison"]["networks"]
    browser.execute_script("document.querySelectorAll('#published-table tbody tr')[3].click()")
    wait(browser, "return document.getElementById('panel-title').textContent === arguments[0]", networks[3]["ours"])
    experiment = Experiment(tmp_path / "fronts")
    fill(experiment)
    plain = write_page(tmp_path, "fronts")
    show(browser, plain.as_uri(), "")
    assert browser.execute_script("return document.getElementById('published').parentElement.hidden")
    assert browser.execute_script("return document.querySelector('[data-tab=published]').hidden")
    assert not {"published", "paper"} & {trace["name"] for trace in figure(browser, "size-front")}


@pytest.mark.parametrize("name", ["size-front", "synops-front"])
def test_pointing_reads_a_network(browser: Any, page: Path, name: str) -> None:
    show(browser, page.as_uri(), "published=0&together=0")
    point_at(browser, "middle", name)
    assert " ".join(text(browser, "#tip").split()) == (
        "middle λ1 3e-6 λ2 2e-9 p 80 % C 144 bits 2 1 4 T 3 validation 95.00 % test 94.00 % "
        "a file of 50.0 kB (Eq. 18 25.0 kB, dense 75.0 kB) 0.800 M Bit-SynOps energy 1.00 µJ"
    )
    point_at(browser, EVIL, name)
    assert text(browser, "#tip").startswith(EVIL)


def test_pointing_reads_a_published_network(browser: Any, page: Path) -> None:
    show(browser, page.as_uri(), "published=1")
    networks = inlined(page)["experiment"]["comparison"]["networks"]
    sizes = {trace["name"]: trace for trace in figure(browser, "size-front")}
    for name, own in (("published", False), ("paper", True)):
        expected = [n for n in networks if n["own"] == own]
        np.testing.assert_allclose(sizes[name]["x"], [n["model_size_bits"] / 8e6 for n in expected])
        np.testing.assert_allclose(sizes[name]["y"], [100 - n["accuracy"] for n in expected])
    point_at(browser, "LitE-SNN small")
    assert "published: test " in text(browser, "#tip") and "LitE-SNN (IJCAI 2024), Table 2" in text(browser, "#tip")


def test_limits_name_the_network_that_pick_takes(browser: Any, page: Path, storage: Path) -> None:
    show(browser, page.as_uri(), "")
    slide(browser, "synops", 0.5)
    limit = float(browser.execute_script("return new URLSearchParams(location.hash.slice(1)).get('synops')"))
    chosen = pick(Experiment(storage / "fronts").table(), None, limit, None).network
    assert chosen is not None
    wait(browser, "return document.getElementById('taken-name').textContent === arguments[0]", chosen["trial"])


def test_a_click_opens_the_network_and_the_table_sorts(browser: Any, page: Path) -> None:
    show(browser, page.as_uri(), "published=0")
    click_point(browser, "middle")
    wait(browser, "return document.querySelectorAll('#panel .cell .op').length === 4")
    assert "95.00 %" in text(browser, "#panel") and "Timestep distribution ψ" in text(browser, "#panel")
    assert browser.execute_script("return document.querySelector('#panel .files')") is None  # what needs a server
    press(browser, "Escape", code="Escape", windowsVirtualKeyCode=27)
    wait(browser, "return document.getElementById('panel').hidden")
    browser.execute_script("document.querySelector('[data-column=val_accuracy]').click()")
    wait(browser, "return document.querySelector('th[aria-sort=descending] [data-column=val_accuracy]')")
    accuracies = [float(value) for value in rows(browser, 2)]
    assert accuracies == sorted(accuracies, reverse=True) and len(accuracies) == 9


def test_what_may_be_no_better_is_marked(browser: Any, tmp_path: Path) -> None:
    """Of 50 samples, 95 and 96 % cannot be told apart: the larger network is on the front, but not for sure."""
    experiment = Experiment(tmp_path / "sure")
    experiment.open({"dataset": "digits"})
    for name, p, accuracy, size in (("small", 50.0, 95.0, 40_000), ("large", 0.0, 96.0, 400_000)):
        add(experiment, name, (0.0, 0.0, p, accuracy, accuracy, size, size, 1))
        path = experiment.trial(name).path / "result.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"val_samples": 50}))
    show(browser, write_page(tmp_path, "sure").as_uri(), "")
    marks = dict(zip(rows(browser), rows(browser, 3), strict=True))
    assert marks == {"small": "5.1", "large": "4.5 ~"}
    assert dict(zip(rows(browser), rows(browser, -1 + len(header(browser))), strict=True)) == {
        "small": "",
        "large": "small",
    }
    assert "2 networks on the front, 1 of them for sure" in text(browser, "#summary")


def header(browser: Any) -> list[str]:
    return list(browser.execute_script("return [...document.querySelectorAll('#trials th')].map(h => h.innerText)"))


def test_networks_that_were_not_searched_have_no_lambda_and_no_curve_of_a_search(
    browser: Any, page: Path, tmp_path: Path
) -> None:
    experiment = Experiment(tmp_path / "families")
    experiment.open({"dataset": "digits", "strategy": "fixed"})
    for name, channels, size in (("narrow", 8, 40_000), ("wide", 16, 400_000)):
        add(experiment, name, (0.0, 0.0, 0.0, 90.0 + channels / 4, 90.0, size, size, 1), channels=channels)
        folder = experiment.trial(name)
        folder.write_records([record for record in folder.read_records() if record["phase"] == "retrain"])
    show(browser, page.as_uri(), "")
    assert {"λ1", "λ2", "C"} <= {heading.split()[0] for heading in header(browser)}
    show(browser, write_page(tmp_path, "families").as_uri(), "")
    headings = {heading.split()[0] for heading in header(browser)}
    assert "C" in headings and not {"λ1", "λ2"} & headings
    assert text(browser, "#summary").startswith("data digits · 2 trials: 2 finished")
    show(browser, write_page(tmp_path, "families").as_uri(), "trial=families/wide")
    wait(browser, "return document.querySelector('#panel .key')")
    assert text(browser, "#panel .key") == "retraining" and "λ1" not in text(browser, "#panel dl")


def test_lines_of_the_parallel_coordinates(browser: Any, page: Path, storage: Path) -> None:
    """One per finished network, the more accurate in later classes, all places between bottom and top; a λ of 0 is lowest."""
    show(browser, page.as_uri(), "tab=parallel")
    wait(browser, "return document.getElementById('parallel')?.data?.length")
    classes = [trace for trace in figure(browser, "parallel") if trace["name"] == "class"]
    table = Experiment(storage / "fronts").table().set_index("trial")
    names = [[key.partition("/")[2] for key in trace["customdata"][::9]] for trace in classes]
    assert sorted(sum(names, [])) == sorted(table.index[table["status"] == FINISHED])
    accuracies = [table.loc[group, "val_accuracy"] for group in names]
    assert all(low.max() <= high.min() for low, high in zip(accuracies, accuracies[1:], strict=False))
    places = [y for trace in classes for y in trace["y"] if y is not None]
    assert len(places) == 8 * 6 and min(places) == 0 and max(places) == 1
    large = classes[-1]["y"][-9:]
    assert names[-1][-1] == "large" and large[:3] == [0, 0, 0] and large[5] == 1
    ticks = browser.execute_script(
        "return document.getElementById('parallel').layout.annotations.map(a => [a.x, a.y, a.text])"
    )
    assert [0, 0, "0"] in ticks and all(-0.01 <= y <= 1.01 for _, y, _ in ticks)


@pytest.mark.parametrize("name", ["size-front", "synops-front", "hypervolume", "parallel"])
def test_figures_are_valid_for_plotly(browser: Any, page: Path, name: str) -> None:
    """Its own schema knows every attribute and takes every value."""
    show(browser, page.as_uri(), f"tab={name}&published=1")
    wait(browser, "return document.getElementById(arguments[0])?.data?.length", name)
    script = "const {data, layout} = document.getElementById(arguments[0]); return Plotly.validate(data, layout) ?? []"
    found = [(problem["code"], problem["msg"]) for problem in browser.execute_script(script, name)]
    # A trace without points is not drawn, and what depends on points is not read then.
    assert [problem for problem in found if problem[0] not in ("invisible", "unused")] == []


def test_a_box_over_an_axis_keeps_what_passes_through(browser: Any, page: Path) -> None:
    """Axis 4 is T, from 1 to 4: the box takes its upper half, T = 3 and 4."""
    show(browser, page.as_uri(), "tab=parallel")
    wait(browser, "return document.getElementById('parallel')?.data?.length")
    left, top, height = browser.execute_script(
        """const div = document.getElementById("parallel"); div.scrollIntoView({block: "center"});
        const {xaxis, yaxis} = div._fullLayout, box = div.getBoundingClientRect();
        return [box.x + xaxis._offset + xaxis.d2p(4), box.y + yaxis._offset + yaxis.d2p(1), yaxis.d2p(0) - yaxis.d2p(1)];"""
    )

    def mouse(kind: str, x: float, y: float, **more: Any) -> None:
        browser.execute_cdp_cmd("Input.dispatchMouseEvent", {"type": kind, "x": x, "y": y, **more})

    mouse("mouseMoved", left - 20, top - 4)
    mouse("mousePressed", left - 20, top - 4, button="left", clickCount=1)
    for share in (0.3, 0.6, 1.0):
        mouse("mouseMoved", left - 20 + 40 * share, top - 4 + share * height / 2, button="left")
    mouse("mouseReleased", left + 20, top - 4 + height / 2, button="left", clickCount=1)
    kept = "document.getElementById('parallel').data.find(t => t.name === 'kept').customdata.filter(Boolean)"
    found = wait(browser, f"return {kept}.length && {kept}")
    assert set(found) == {"fronts/middle", "fronts/middle again", "fronts/large"}


def test_nothing_that_is_data_runs_or_becomes_markup(browser: Any, tmp_path: Path) -> None:
    experiment = Experiment(tmp_path / f"fronts {EVIL}")
    fill(experiment)
    experiment.trial("lost").note(EVIL_REASON)
    show(browser, write_page(tmp_path, experiment.path.name).as_uri(), "tab=stopped")
    assert EVIL_REASON in text(browser, "#part-stopped")
    assert text(browser, "h1") == browser.title == experiment.path.name
    for tab in [
        *TABS,
        f"trials&trial={experiment.path.name}/{EVIL}".replace("&amp;", "%26amp%3B").replace("=x", "%3Dx"),
    ]:
        show(browser, browser.current_url.partition("#")[0], f"tab={tab}")
    assert browser.execute_script("return document.querySelectorAll('img, b:not(.key b)').length") == 0
    browser.execute_script(
        "const s = document.createElement('script'); s.textContent = 'window.evil = 3'; document.body.append(s)"
    )
    assert browser.execute_script("return window.evil ?? null") is None
    refused = "const [done] = arguments; fetch('data:,x').then(() => done('loaded'), () => done('refused'))"
    assert browser.execute_async_script(refused) == "refused"
    browser.get_log("browser")  # the refusals


@pytest.mark.parametrize("tab", TABS)
@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_does_not_scroll_sideways(browser: Any, page: Path, width: int, tab: str) -> None:
    metrics = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        show(browser, page.as_uri(), f"tab={tab}")
        wait(browser, "return innerWidth === arguments[0] && document.documentElement.scrollWidth <= innerWidth", width)
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_a_large_experiment_has_the_details_of_its_front(
    browser: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(Experiment(tmp_path / "fronts"))
    monkeypatch.setattr(report, "MOST_DETAILS", 7)
    address = write_page(tmp_path, "fronts").as_uri()
    show(browser, address, "trial=fronts/dominated")
    wait(browser, "return document.querySelector('#panel .body').innerText.includes('of the front\\'s networks only')")
    assert "94.00 %" in text(browser, "#panel")  # what its row says is there
    show(browser, address, "trial=fronts/middle")
    wait(browser, "return document.querySelector('#panel .cell')")


def test_a_merge_names_the_experiments_of_its_trials(browser: Any, tmp_path: Path) -> None:
    for name in ("first", "second"):
        fill(Experiment(tmp_path / name))
    assert (
        pareto.main(["merge", "first", "second", "--storage", str(tmp_path), "--out", "both", "--compare", "paper"])
        == 0
    )
    show(browser, (tmp_path / "both" / "report.html").as_uri(), "trial=both/second / middle")
    wait(browser, "return document.querySelector('#panel .cell')")
    assert text(browser, "#panel-title") == "second / middle"
    assert set(rows(browser)) == {
        f"{name} / {trial}" for name in ("first", "second") for trial in (*TRIALS, "behind", "lost", "at work")
    }
    (front,) = [trace for trace in figure(browser, "size-front") if trace["name"] == "front"]
    assert len(front["x"]) == 6  # one front over all, on which equal networks stay


def test_nothing_is_loaded_and_nothing_goes_wrong(browser: Any) -> None:
    """Runs last: whatever the tests above did is in the logs."""
    assert [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = {e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"}
    files = {url for url in asked if url.startswith("file:")}
    assert files and all(url.endswith("/report.html") for url in files)
    live = {url for url in asked if url.startswith("http://127.0.0.1:")}  # of the comparison with the server
    assert {url.partition(":")[0] for url in asked - files - live} <= {"data", "about", "blob"}
