"""The dashboard's page in real Chromium over a real server and store: points arrive, filters, sliders, the panel, keys."""

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("selenium.webdriver")

from benchmarks.dashboard import browser_here, browsing, serving, wait
from tests.tune.clusters import PARETO, RECIPE, Cluster
from tests.tune.dashboard_page import (
    EVIL,
    REFERENCE,
    TRIALS,
    add,
    click_point,
    drawn,
    fill,
    focused,
    press,
    rows,
    show,
    slide,
    text,
)
from tune.results.pick import pick
from tune.storage.store import Experiment
from tune.views.page.files import STATIC, served_page

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(browser_here() is None, reason="needs chromium and chromedriver in PATH"),
]


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dashboard")
    fill(Experiment(folder / "fronts"))
    other = Experiment(folder / f"other {EVIL}")
    other.open({"dataset": "digits"}, REFERENCE)
    add(other, "second", TRIALS["middle"])
    return folder


@pytest.fixture(scope="module")
def downloads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("downloads")


@pytest.fixture(scope="module")
def address(storage: Path) -> Iterator[str]:
    with serving(storage, interval=0.2) as address:
        yield address


@pytest.fixture(scope="module")
def browser(downloads: Path) -> Iterator[Any]:
    with browsing(downloads) as browser:
        yield browser


def test_both_fronts_and_every_state_are_drawn(browser: Any, address: str) -> None:
    show(browser, address)
    assert drawn(browser) == drawn(browser, "synops-front") == {*TRIALS, "behind", "lost", "at work"}
    looks = browser.execute_script(
        "return document.getElementById('size-front').data.map(t => [t.name, t.marker?.symbol, t.customdata.length])"
    )
    assert dict((name, (symbol, count)) for name, symbol, count in looks) == {
        "stopped": ("square-open", 1),
        "dominated": ("circle-open", 2),
        "failed": ("x-thin-open", 1),
        "unfinished": ("triangle-right", 1),
        "front": ("circle", 3),
        "test": ("circle-open", 3),
        "gap": (None, 0),
    }
    words = text(browser, "#summary")
    assert "8 trials: 5 finished, " in words
    assert all(part in words for part in ("1 unfinished", "1 stopped", "1 diverged", "saved by stopping early"))
    assert text(browser, "#connection") == "live"


def test_a_point_arrives_without_a_reload_and_the_view_stays(browser: Any, address: str, storage: Path) -> None:
    show(browser, address)
    browser.execute_script(
        "window.kept = 1; Plotly.relayout('size-front', {'xaxis.range[0]': 0.5, 'xaxis.range[1]': 1.9})"
    )
    click_point(browser, "middle")
    wait(browser, "return document.querySelector('#panel .cell')")
    add(Experiment(storage / "fronts"), "newcomer", (1e-6, 1e-9, 80.0, 96.0, 95.0, 150_000, 0.7e6, 3))
    wait(
        browser, "return document.getElementById('size-front').data.some(t => t.customdata.includes('fronts/newcomer'))"
    )
    wait(browser, "return document.getElementById('trials').innerText.includes('newcomer')")
    view = browser.execute_script(
        """return [window.kept, document.getElementById('size-front')._fullLayout.xaxis.range,
        document.querySelector('#panel-title').textContent, document.querySelector('tr[aria-selected=true]').dataset.key]"""
    )
    assert view == [1, [0.5, 1.9], "middle", "fronts/middle"]
    folder = storage / "fronts" / "trials" / "newcomer"
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
    wait(browser, "return !document.getElementById('trials').innerText.includes('newcomer')")
    browser.get("about:blank")  # the zoom goes with the page


def test_filters_hide_trials_and_are_kept_in_the_address(browser: Any, address: str) -> None:
    show(browser, address)
    browser.execute_script("document.querySelector('[data-filter=timesteps] summary').click()")
    wait(browser, "return document.querySelector('[data-filter=timesteps]').open")
    boxes = "document.querySelectorAll('[data-filter=timesteps] input')"
    assert browser.execute_script(f"return [...{boxes}].map(b => b.parentElement.innerText.trim())") == [
        "1",
        "2",
        "3",
        "4",
    ]
    browser.execute_script(f"{boxes}[0].click(); {boxes}[3].click()")
    wait(browser, "return document.querySelector('#summary').textContent.includes('4 pass the filters')")
    wait(browser, "return new Set(document.getElementById('size-front').data.flatMap(t => t.customdata)).size === 4")
    assert drawn(browser) == {"middle", "dominated", EVIL, "at work"} == set(rows(browser))
    fragment = browser.execute_script("return location.hash")
    assert "timesteps=2%2C3" in fragment
    show(browser, address, fragment[1:] + "&status=finished")  # what is sent to somebody else
    assert drawn(browser) == {"middle", "dominated", EVIL}
    show(browser, address, "show=fronts&lambda1=2e-6..")
    assert drawn(browser) == {"small", "middle", "behind", "at work"}
    browser.execute_script("document.getElementById('reset-filters').click()")
    wait(browser, "return document.querySelectorAll('#trials tbody tr').length === 8")


def test_only_what_trials_differ_in_has_a_filter_and_an_axis(browser: Any, address: str) -> None:
    """All trials here have the same width; bits are texts, of which every one is a box."""
    show(browser, address)
    shown = "[...document.querySelectorAll('[data-filter]')].filter(m => !m.hidden).map(m => m.dataset.filter)"
    assert browser.execute_script(f"return {shown}") == ["lambda1", "lambda2", "p", "bits", "timesteps", "status"]
    boxes = "document.querySelectorAll('[data-filter=bits] input')"
    texts = browser.execute_script(f"return [...{boxes}].map(b => b.parentElement.textContent.trim())")
    assert texts == ["1 1 1", "2 1 4"]
    browser.execute_script(f"{boxes}[1].click()")
    wait(browser, "return document.querySelectorAll('#trials tbody tr').length === 1")
    fragment = browser.execute_script("return location.hash")
    show(browser, address)
    show(browser, address, fragment[1:])
    assert set(rows(browser)) == {"small"}
    show(browser, address, "tab=parallel")
    wait(browser, "return document.getElementById('parallel')?.layout?.xaxis?.ticktext?.length")
    axes = browser.execute_script("return document.getElementById('parallel').layout.xaxis.ticktext")
    assert "T" in axes and "C" not in axes


@pytest.mark.parametrize(
    "shares",
    [{}, {"size": 0.6}, {"synops": 0.5}, {"size": 0.9, "accuracy": 0.8}, {"size": 0.1, "accuracy": 0.9, "synops": 0.2}],
)
def test_sliders_name_the_network_that_pick_takes(
    browser: Any, address: str, storage: Path, shares: dict[str, float]
) -> None:
    show(browser, address)
    for limit, share in shares.items():
        slide(browser, limit, share)
    found = wait(browser, "return document.getElementById('taken-name').textContent")
    given = dict(re.findall(r"(size|synops|accuracy)=([^&]+)", browser.execute_script("return location.hash")))
    assert set(given) == set(shares)
    limits = {key: float(value) for key, value in given.items()}
    chosen = pick(
        Experiment(storage / "fronts").table(), limits.get("size"), limits.get("synops"), limits.get("accuracy")
    )
    assert chosen.network is not None
    wait(browser, "return document.getElementById('taken-name').textContent === arguments[0]", chosen.network["trial"])
    words = text(browser, "#taken")
    assert ("No network fits" in words) == bool(chosen.excess), found
    for excess in chosen.excess:
        assert excess.text in words
    if shares:
        browser.execute_script("document.getElementById('reset-limits').click()")
        wait(browser, "return !/size|synops|accuracy/.test(location.hash)")


def test_a_click_opens_the_network(browser: Any, address: str, storage: Path, downloads: Path) -> None:
    show(browser, address)
    click_point(browser, "middle", "synops-front")
    wait(browser, "return document.querySelectorAll('#panel .cell .op').length === 4")
    wait(browser, "return document.querySelectorAll('#panel .curves .scatterlayer .trace').length === 8")
    panel = text(browser, "#panel")
    for words in (
        "middle",
        "fronts · finished · on the front",
        "95.00 %",
        "25.0 kB",
        "50.0 kB",  # its packed file
        "75.0 kB",  # dense
        "Timestep distribution ψ",
        "Dotted: the network that decoding would give",
        "Undecided: entropy of α",
    ):
        assert words in panel
    lines = browser.execute_script("return document.querySelector('#panel .curves').data.map(d => [d.name, d.y])")
    assert ["search inherited_accuracy", [30, 30]] in lines and ["search beta_entropy", [0.5, 0.5]] in lines
    assert browser.execute_script("return document.querySelectorAll('#panel .bars')[0].innerText").split() == (
        "2 1 1 2 4 3".split()
    )
    assert browser.execute_script("return document.querySelectorAll('#panel .bars')[1].innerText").split() == (
        "10 % 1 20 % 2 60 % 3 10 % 4".split()
    )
    browser.execute_script("document.querySelector('[data-file=\"genotype.json\"]').click()")
    deadline = time.monotonic() + 20
    while not (files := [path for path in downloads.iterdir() if path.suffix == ".json"]):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    written = storage / "fronts" / "trials" / "middle" / "genotype.json"
    assert files[0].read_bytes() == written.read_bytes() and "middle" in files[0].name
    assert (
        browser.execute_script(
            "return fetch(document.querySelector('[data-file=\"model.safetensors\"]').href).then(a => a.text())"
        )
        == "network of middle"
    )
    press(browser, "Escape", code="Escape", windowsVirtualKeyCode=27)
    wait(browser, "return document.getElementById('panel').hidden")
    assert "trial=" not in browser.execute_script("return location.hash")


def test_the_table_sorts_and_is_worked_by_keys(browser: Any, address: str) -> None:
    show(browser, address)
    browser.execute_script("document.querySelector('[data-column=model_size_bits]').focus()")
    sizes = []
    for direction in ("descending", "ascending"):
        press(browser, "Enter", code="Enter", windowsVirtualKeyCode=13, text="\r")
        wait(browser, f"return document.querySelector('th[aria-sort={direction}] [data-column=model_size_bits]')")
        sizes.append([float(size) for size in rows(browser, 6)])
    assert sizes[0] == sorted(sizes[0], reverse=True) and sizes[1] == sorted(sizes[0])
    browser.execute_script("document.querySelector('#trials tbody tr[tabindex=\"0\"]').focus()")
    press(browser, "End", code="End", windowsVirtualKeyCode=35)
    last = rows(browser)[-1]
    assert focused(browser) == f"fronts/{last}"
    wait(browser, "return document.querySelector('#size-front .layer .selected')")  # ringed in the figure
    press(browser, "ArrowUp", code="ArrowUp", windowsVirtualKeyCode=38)
    chosen = focused(browser)
    assert chosen == f"fronts/{rows(browser)[-2]}"
    press(browser, "Enter", code="Enter", windowsVirtualKeyCode=13, text="\r")
    wait(browser, "return !document.getElementById('panel').hidden")
    assert browser.execute_script("return document.activeElement.closest('#panel') !== null")
    press(browser, "Escape", code="Escape", windowsVirtualKeyCode=27)
    wait(browser, "return document.getElementById('panel').hidden")
    assert focused(browser) == chosen


def test_published_networks_of_the_same_data_set(browser: Any, address: str) -> None:
    show(browser, address)
    browser.execute_script("document.getElementById('published').click()")
    counts = """return ['size-front', 'synops-front'].map(id => document.getElementById(id).data
        .filter(t => ['published', 'paper'].includes(t.name)).reduce((sum, t) => sum + t.x.length, 0))"""
    wait(browser, "return document.getElementById('size-front').data.some(t => t.name === 'published')")
    assert browser.execute_script(counts) == [21, 15]  # six of the table give no Bit-SynOps
    assert "LitE-SNN (IJCAI 2024)" in text(browser, "#literature") and "cifar10" in text(browser, "#literature")
    show(
        browser,
        address,
        "published=1&show=" + "other%20" + EVIL.replace("&", "%26").replace("=", "%3D").replace(";", "%3B"),
    )
    wait(
        browser,
        "return document.getElementById('literature').textContent.startsWith('No published networks for digits')",
    )


def test_experiments_side_by_side(browser: Any, address: str) -> None:
    show(browser, address)
    browser.execute_script("document.querySelectorAll('#experiments input')[1].click()")
    wait(browser, "return document.getElementById('size-front').data.filter(t => t.name === 'front').length === 2")
    colours = (
        "return document.getElementById('size-front').data.filter(t => t.name === 'front').map(t => t.marker.color)"
    )
    assert len(set(browser.execute_script(colours))) == 2
    assert set(rows(browser)) == {"fronts", f"other {EVIL}"}


def test_details_are_drawn_when_they_are_opened(browser: Any, address: str) -> None:
    browser.get("about:blank")
    show(browser, address)
    assert browser.execute_script("return document.getElementById('parallel')") is None
    browser.execute_script("document.querySelector('[data-tab=stopped]').click()")
    wait(browser, "return document.getElementById('stopped')")
    stopped = text(browser, "#part-stopped")
    assert "rank 3 of 4" in stopped and "loss is <b>not</b> finite" in stopped
    assert "2 (7\u00a0%) saved by stopping early" in text(browser, "#summary")
    browser.execute_script("document.querySelector('[data-tab=stopped]').focus()")
    for _ in range(3):  # over the seeds and the published networks
        press(browser, "ArrowRight", code="ArrowRight", windowsVirtualKeyCode=39)
    wait(browser, "return document.querySelector('#hypervolume .scatterlayer .point')")
    browser.execute_script("document.querySelector('[data-tab=parallel]').click()")
    lines = "document.getElementById('parallel')?.data?.filter(t => t.name === 'class').flatMap(t => t.customdata)"
    wait(browser, f"return {lines}?.length === 5 * 9")
    browser.execute_script("document.querySelector('[data-tab=space]').click()")
    wait(browser, "return document.querySelector('#space canvas') || document.querySelector('#part-space .note')")


def test_names_and_reasons_stay_text(browser: Any, address: str) -> None:
    show(browser, address)
    click_point(browser, EVIL)
    wait(browser, "return document.querySelector('#panel .cell')")
    assert text(browser, "#panel-title") == EVIL and EVIL in rows(browser)
    assert f"other {EVIL}" in text(browser, "#experiments")
    assert browser.execute_script("return document.querySelectorAll('img, b:not(.key b)').length") == 0
    assert browser.execute_script("return window.evil ?? null") is None


def contrast(one: str, other: str) -> float:
    def light(colour: str) -> float:
        parts = [int(v) / 255 for v in re.findall(r"\d+", colour)[:3]]
        linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((light(one), light(other)))
    return (high + 0.05) / (low + 0.05)


def test_light_and_dark(browser: Any, address: str) -> None:
    backgrounds = set()
    for scheme in ("dark", "light"):
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        show(browser, address, "show=fronts&size=1&trial=fronts%2Flost")
        seen = browser.execute_script(
            """const of = (q, what) => getComputedStyle(document.querySelector(q))[what];
            const front = document.getElementById('size-front').data.find(t => t.name === 'front').marker.color;
            return {paper: of('body', 'backgroundColor'), raised: of('.limits', 'backgroundColor'),
              texts: ['body', '#summary', '.slider label', '.legend', '.plain', '.link', '.excess', '.panel .state',
                'td[data-state=stopped]', 'td[data-state=diverged]', 'td[data-state=unfinished]'].map(q => of(q, 'color')), front}"""
        )
        for colour in seen["texts"]:
            assert contrast(colour, seen["paper"]) >= 4.5 and contrast(colour, seen["raised"]) >= 4.5, (scheme, colour)
        backgrounds.add((seen["paper"], seen["front"]))
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    assert len(backgrounds) == 2
    before = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    browser.execute_script("const b = document.getElementById('theme'); b.click(); b.click()")  # system, light, dark
    assert browser.execute_script("return getComputedStyle(document.body).backgroundColor") != before
    browser.execute_script("document.getElementById('theme').click()")


def test_a_phone_needs_no_sideways_scrolling(browser: Any, address: str) -> None:
    metrics = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        for view in ("", "&trial=fronts%2Fmiddle", "&tab=parallel", "&tab=stopped"):
            show(browser, address, "show=fronts&published=1&size=100000" + view)
            wait(browser, "return innerWidth === 390 && document.documentElement.scrollWidth <= 390")
        show(browser, address)
        small = browser.execute_script(
            """return [...document.querySelectorAll('.menu summary, .chip, [role=tab], .slider input')].filter(e => {
            const box = e.getBoundingClientRect(); return !e.closest('[hidden]') && (box.height < 24 || box.width < 24); }).map(e => e.outerHTML)"""
        )
        assert small == []
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_an_empty_storage_says_what_to_run_and_fills(browser: Any, tmp_path: Path) -> None:
    with serving(tmp_path / "later", interval=0.2) as address:
        browser.get(address)
        wait(browser, "return !document.getElementById('nothing').hidden")
        assert "python tune/pareto.py --storage" in text(browser, "#nothing")
        experiment = Experiment(tmp_path / "later" / "first")
        experiment.open({"dataset": "digits"}, REFERENCE)
        wait(browser, "return document.getElementById('tab-panels').textContent.includes('No trial has started.')")
        add(experiment, "a", TRIALS["small"])
        wait(browser, "return document.documentElement.dataset.ready && document.getElementById('size-front').data")
        assert drawn(browser) == {"a"} and not browser.execute_script(
            "return document.getElementById('content').hidden || !document.getElementById('nothing').hidden"
        )


def test_damage_and_a_lost_server_are_said_and_healed(browser: Any, tmp_path: Path) -> None:
    experiment = Experiment(tmp_path / "results" / "digits")
    experiment.open({"dataset": "digits"}, REFERENCE)
    add(experiment, "a", TRIALS["small"])
    (experiment.path / "experiment.json").write_text("{")
    with serving(tmp_path / "results", interval=0.2) as address:
        show(browser, address, "")
        assert "digits" in text(browser, "#problem") and "damaged" in text(browser, "#problem")
        assert drawn(browser) == {"a"} and str(tmp_path) not in text(browser, "#problem")
    wait(browser, "return document.getElementById('connection').dataset.state === 'lost'")
    assert "does not answer" in text(browser, "#problem") and drawn(browser) == {"a"}
    port = int(address.rstrip("/").rpartition(":")[2])
    add(experiment, "b", TRIALS["middle"])
    with serving(tmp_path / "results", port, interval=0.2):
        wait(browser, "return document.getElementById('connection').dataset.state === 'live'")
        wait(browser, "return document.getElementById('size-front').data.some(t => t.customdata.includes('digits/b'))")
    browser.get("about:blank")


@pytest.mark.cluster
def test_a_real_run_is_followed_from_nothing_to_its_front(
    standing_cluster: Cluster, browser: Any, tmp_path: Path
) -> None:
    """The command beside the page: its trials appear while they run, without a reload, and end as its own table says."""
    storage = tmp_path / "results"
    # Two points: with early stopping the worse of them may be stopped after its search.
    options = "--retrain-epochs 25 --no-early-stopping --name digits --points".split()
    with serving(storage, interval=0.2) as address:
        browser.get(address)
        wait(browser, "return !document.getElementById('nothing').hidden")
        place = ["--storage", str(storage), "--address", standing_cluster.address]
        run = standing_cluster.start([*PARETO, *place, *RECIPE, *options, "0,0,0 1e-6,1e-9,50"], tmp_path)
        try:
            wait(browser, "return document.getElementById('summary').textContent.includes('unfinished')")
            output, _ = run.communicate(timeout=300)
        finally:
            run.kill()
        assert run.returncode == 0, output
        wait(browser, "return document.getElementById('summary').textContent.includes('2 trials: 2 finished')")
        table = Experiment(storage / "digits").table()
        wait(browser, "return document.getElementById('size-front').data?.flatMap(t => t.customdata).length >= 2")
        assert drawn(browser) == set(table["trial"]) == set(rows(browser))
        assert sorted(map(float, rows(browser, 2))) == sorted(round(value, 2) for value in table["val_accuracy"])
    browser.get("about:blank")


def test_nothing_is_loaded_from_elsewhere_and_nothing_goes_wrong(browser: Any) -> None:
    """Runs last of those with the shared browser: whatever the tests above did is in the logs."""
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = {e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"}
    assert {re.match(r"https?://127\.0\.0\.1:\d+/|data:|blob:|about:", url) is not None for url in asked} == {True}
    logged = [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    assert [entry["message"] for entry in logged if "net::ERR_" not in entry["message"]] == []


def test_the_page_has_no_markup_from_data_and_no_inline_code() -> None:
    folder = Path(__file__).parents[3] / "tune" / "views" / "page" / "static"
    page = served_page().replace('<script type="application/json"', "")  # which does not run
    assert not re.search(r"\son\w+=|<script>|javascript:|https?://", page)
    paths = list(folder.rglob("*.js"))
    assert len(paths) > 20
    for path in paths:
        source = path.read_text()
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", source), (
            path
        )
        name = path.relative_to(folder).as_posix()
        assert name in STATIC and f"/static/{name}" in page
