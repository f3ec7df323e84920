"""The page in a real browser: a point is hovered and read, a click links the figures, tables sort, nothing is loaded."""

import json
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from litesnn import Genotype, Recipe
from tune.storage.objectives import Reference
from tune.storage.store import Experiment
from tune.views.report import write_report

webdriver = pytest.importorskip("selenium.webdriver")
CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
DRIVER = shutil.which("chromedriver")
needs_browser = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs chromium and chromedriver in PATH")

EVIL = "</script><script>window.evil = 1</script>&amp;<img src=x onerror='window.evil = 2'>"
# accuracy, test accuracy, size in bits, Bit-SynOps, bits, T
NETWORKS = [
    ("small", "finished", 88.0, 89.0, 40_000, 0.2e6, "1 1 2", 1),
    ("middle", "finished", 95.0, 94.0, 200_000, 0.8e6, "2 1 4", 3),
    (EVIL, "finished", 99.0, 98.5, 400_000, 4e6, "4 4 4", 4),
    ("dominated", "finished", 94.0, 97.0, 300_000, 2e6, "4 1 2", 2),
    ("many operations", "finished", 96.0, 95.0, 200_000, 5e6, "4 4 4", 4),
    ("ended early", "stopped", 70.0, None, 10_000, 0.1e6, "1 1 1", 1),
    ("broken", "diverged", None, None, None, None, None, None),
]


def table() -> pd.DataFrame:
    columns = ["trial", "status", "val_accuracy", "test_accuracy", "model_size_bits", "bit_synops", "bits", "timesteps"]
    trials = pd.DataFrame(NETWORKS, columns=columns)
    trials["lambda1"] = [1e-5, 3e-6, 0.0, 1e-6, 1e-5, 1e-4, 1e300]
    trials["lambda2"] = [1e-8, 2e-9, 0.0, 1e-9, 1e-8, 1e-7, 0.0]
    trials["p"] = [95.0, 80.0, 0.0, 50.0, 95.0, 95.0, 50.0]
    trials["seed"] = [0, 0, 0, 0, 1, 0, 0]
    trials["reason"] = ["", "", "", "", "", "behind <half> of the others", "loss is <b>not</b> finite & so on"]
    trials["ended_at"] = [f"2026-01-01T00:0{i}:00+0000" for i in range(len(trials))]
    trials["size_bits"] = trials["model_size_bits"]
    return trials.assign(phase="retrain", epoch=20, search_epochs=10, retrain_epochs=20, seconds=60.0, energy_mj=1e-3)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    experiment = Experiment(tmp_path_factory.mktemp("page") / "fronts & <more>")
    pairs = (((0, "skip"), (1, "conv3x3")), ((0, "conv3x3"), (2, "skip")))
    for name, *_, bits, timesteps in NETWORKS[:5]:
        folder = experiment.trial(name)
        folder.path.mkdir(parents=True)
        genotype = Genotype(nodes=pairs, bits=tuple(map(int, str(bits).split())), timesteps=int(str(timesteps)), p=0.0)
        folder.genotype.write_text(genotype.to_json())
    reference = Reference(accuracy=10.0, size_bits=1e6, bit_synops=10e6)
    recipe = Recipe.preset("digits")
    return Path(write_report(experiment, table(), reference, recipe)["report.html"])


@pytest.fixture(scope="module")
def browser(page: Path) -> Iterator[Any]:
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1400,1000"):
        options.add_argument(argument)
    options.binary_location = CHROMIUM
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SE_OFFLINE", "true")  # the driver lies here: nothing is to be looked up or downloaded
        driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    try:
        driver.get(page.as_uri())
        wait(
            driver,
            "return document.documentElement.dataset.ready && document.querySelectorAll('.cartesianlayer .points path').length",
        )
        yield driver
    finally:
        driver.quit()


def wait(browser: Any, script: str, *arguments: Any) -> Any:
    """The script's value once it is true, for at most ten seconds."""
    deadline = time.monotonic() + 10
    while not (value := browser.execute_script(script, *arguments)):
        assert time.monotonic() < deadline, script
        time.sleep(0.05)
    return value


def point(browser: Any, figure: str, trial: int) -> tuple[float, float]:
    """Where a trial's validation accuracy stands in the window."""
    x, y = browser.execute_script(
        """const div = document.getElementById(arguments[0]);
            div.scrollIntoView({block: "center"});
            const {xaxis, yaxis} = div._fullLayout, box = div.getBoundingClientRect();
            for (const {meta, x, y, customdata} of div.data) {
              const k = ["front", "elsewhere", "dominated"].includes(meta) ? customdata.indexOf(arguments[1]) : -1;
              if (k >= 0) return [box.x + xaxis._offset + xaxis.d2p(x[k]), box.y + yaxis._offset + yaxis.d2p(y[k])];
            }""",
        figure,
        trial,
    )
    return x, y


def mouse(browser: Any, kind: str, x: float, y: float, **more: Any) -> None:
    browser.execute_cdp_cmd("Input.dispatchMouseEvent", {"type": kind, "x": x, "y": y, **more})


def click(browser: Any, x: float, y: float) -> None:
    for away in (60, 0):
        mouse(browser, "mouseMoved", x, y + away)
        time.sleep(0.3)  # plotly looks for the point under the mouse at most every few frames
    for kind in ("mousePressed", "mouseReleased"):
        mouse(browser, kind, x, y, button="left", clickCount=1)


def hover(browser: Any, figure: str, trial: int) -> str:
    """The text that appears when the mouse comes to a network, a space for every line break."""
    x, y = point(browser, figure, trial)
    mouse(browser, "mouseMoved", x + 150, y + 90)
    time.sleep(0.3)
    mouse(browser, "mouseMoved", x, y)
    lines = "document.querySelectorAll(`#${arguments[0]} .hovertext text.nums tspan.line`)"
    script = f"return [...{lines}].map(line => line.textContent).join(' ')"
    return re.sub(r"\s+", " ", wait(browser, script, figure))


@pytest.mark.slow
@needs_browser
@pytest.mark.parametrize("figure", ["size-front", "synops-front"])
def test_hovering_reads_a_point(browser: Any, figure: str) -> None:
    assert hover(browser, figure, 1) == (
        "middle λ1 3e-06 λ2 2e-09 p 80 % bits 2 1 4 T 3 validation 95.00 % test 94.00 % 25.0 kB 0.800 M Bit-SynOps "
        "energy 1.00 µJ"
    )


@pytest.mark.slow
@needs_browser
def test_hovering_shows_markup_in_a_name_as_text(browser: Any) -> None:
    assert hover(browser, "size-front", 2).startswith(EVIL + " λ1 0 λ2 0 p 0 % bits 4 4 4 T 4 ")
    assert browser.execute_script("return window.evil ?? null") is None


@pytest.mark.slow
@needs_browser
def test_stopped_trials_are_no_points(browser: Any) -> None:
    drawn = browser.execute_script(
        "return document.getElementById('size-front').data.flatMap(t => t.customdata ?? []).sort()"
    )
    assert set(drawn) == {0, 1, 2, 3, 4}


@pytest.mark.slow
@needs_browser
def test_click_finds_the_network_everywhere(browser: Any) -> None:
    click(browser, *point(browser, "size-front", 1))
    marked = (
        "return [...document.querySelectorAll('.selected[data-trial]')].map(e => `${e.tagName} ${e.dataset.trial}`)"
    )
    assert sorted(wait(browser, marked)) == ["FIGURE 1", "TR 1", "TR 1"]
    rings = """return ["size-front", "synops-front"].map(id => {
        const ring = document.getElementById(id).data.find(t => t.meta === "selected"); return [ring.x[0], ring.y[0]]; })"""
    assert browser.execute_script(rings) == [[25.0, 5.0], [0.8, 5.0]]
    line = "return document.getElementById('parallel').data.find(t => t.meta === 'chosen').y.length"
    assert browser.execute_script(line) == 9  # eight axes and the gap
    click(browser, *point(browser, "size-front", 1))  # again: lets go
    wait(browser, "return document.querySelectorAll('.selected[data-trial]').length === 0")


@pytest.mark.slow
@needs_browser
def test_box_over_an_axis_keeps_what_passes_through(browser: Any) -> None:
    """Axis 4 is T: the box takes its upper half, T = 3 and 4."""
    left, top, width, height = browser.execute_script(
        """const div = document.getElementById("parallel"); div.scrollIntoView({block: "center"});
        const {xaxis, yaxis} = div._fullLayout, box = div.getBoundingClientRect();
        return [box.x + xaxis._offset + xaxis.d2p(4), box.y + yaxis._offset + yaxis.d2p(1), xaxis.d2p(1) - xaxis.d2p(0),
                yaxis.d2p(0) - yaxis.d2p(1)];"""
    )
    mouse(browser, "mouseMoved", left - 20, top - 4)
    mouse(browser, "mousePressed", left - 20, top - 4, button="left", clickCount=1)
    for share in (0.3, 0.6, 1.0):
        mouse(browser, "mouseMoved", left - 20 + 40 * share, top - 4 + share * height / 2, button="left")
    mouse(browser, "mouseReleased", left + 20, top - 4 + height / 2, button="left", clickCount=1)
    kept = "return document.getElementById('parallel').data.find(t => t.meta === 'kept').customdata"
    assert {row for row in wait(browser, f"{kept}.length && {kept.removeprefix('return ')}") if row is not None} == {
        1,
        2,
        4,
    }


@pytest.mark.slow
@needs_browser
def test_table_sorts_by_a_column_both_ways(browser: Any) -> None:
    sizes = "return [...document.querySelectorAll('#front tbody tr')].map(r => Number(r.cells[5].dataset.value))"
    header = "document.querySelectorAll('#front th button')[5].click();"
    assert browser.execute_script(header + sizes) == [400_000, 200_000, 200_000, 40_000]
    assert browser.execute_script(header + sizes) == [40_000, 200_000, 200_000, 400_000]
    state = "return document.querySelectorAll('#front th')[5].getAttribute('aria-sort')"
    assert browser.execute_script(state) == "ascending"


@pytest.mark.slow
@needs_browser
def test_every_network_of_the_front_has_its_cell_drawn(browser: Any) -> None:
    cells = browser.execute_script(
        """return [...document.querySelectorAll('.cells figure')].map(f => [
            f.dataset.trial, f.querySelectorAll('svg .op').length,
            f.querySelector('svg').getBoundingClientRect().width > 200])"""
    )
    assert cells == [["2", 4, True], ["4", 4, True], ["1", 4, True], ["0", 4, True]]


@pytest.mark.slow
@needs_browser
@pytest.mark.parametrize("width", [1400, 400])
def test_page_does_not_scroll_sideways(browser: Any, width: int) -> None:
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    wait(browser, "return innerWidth === arguments[0] && document.documentElement.scrollWidth <= innerWidth", width)
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@pytest.mark.slow
@needs_browser
def test_dark_and_light(browser: Any) -> None:
    seen = set()
    for scheme in ("dark", "light"):
        feature = {"name": "prefers-color-scheme", "value": scheme}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
        time.sleep(0.5)
        seen.add(
            browser.execute_script(
                """const {marker} = document.getElementById('size-front').data.find(t => t.meta === 'front');
                return marker.color + getComputedStyle(document.body).backgroundColor"""
            )
        )
    assert len(seen) == 2


@pytest.mark.slow
@needs_browser
def test_no_errors_and_nothing_loaded(browser: Any, page: Path) -> None:
    """Runs last: whatever the tests above did is in the logs."""
    assert [entry for entry in browser.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")] == []
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = {e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"}
    assert asked == {page.as_uri()}


def test_names_and_reasons_are_escaped(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert EVIL not in text and "<img" not in text.split("<script", 1)[0]
    assert "loss is &lt;b&gt;not&lt;/b&gt; finite &amp; so on" in text
    assert "<h1>fronts &amp; &lt;more&gt;</h1>" in text


def test_seeds_of_a_point_are_taken_together(page: Path) -> None:
    """ "small" and "many operations" are seeds 0 and 1 of one point: 88 and 96 %, 5 and 25 kB."""
    table = page.read_text(encoding="utf-8").split('<table id="seeds">', 1)[1].split("</table>", 1)[0]
    assert table.count("<tr>") == 2  # its head and that one point
    assert "92.00 ± 5.66" in table and "15.0 ± 14.1" in table


def test_page_is_one_file_that_may_load_nothing(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert "default-src 'none'" in text and 'lang="en"' in text and "<title>" in text
    assert not re.search(r"<(link|script|img|iframe)[^>]*\b(src|href)=", text.split("<script>", 1)[0])
    assert len(text) < 5_500_000


def test_figures_are_valid_for_plotly(page: Path) -> None:
    """plotly's own schema refuses attributes that it does not know."""
    import plotly.graph_objects as go

    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page.read_text(encoding="utf-8"))
    assert found is not None
    figures = json.loads(found[1])["figures"]
    assert set(figures) == {"size-front", "synops-front", "hypervolume", "parallel"}
    for figure in figures.values():
        go.Figure(figure)
