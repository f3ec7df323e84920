"""Times the dashboard's page in headless Chromium with an experiment of 2,000 trials.

The experiment is written to a temporary folder by the code that a run uses, the dashboard's own server shows it, and
Chromium opens it anew for every repeat. Times of the page are its own: from the start of navigation, or from an input,
until the frame with both fronts has been painted. A new trial counts from the moment its last file is written until the
page shows it, the server's interval between two looks at the storage included.

    python -m benchmarks dashboard
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn

from benchmarks.record import add_repeats, made_on, markdown, progress, seconds, spread
from litesnn.checks import InputError, check_integer
from litesnn.config import Recipe
from litesnn.genotype import Genotype
from tune.storage.objectives import Reference
from tune.storage.paths import write_text
from tune.storage.store import DIVERGED, FAILED, FINISHED, STOPPED, Experiment
from tune.views.dashboard.server import app
from tune.views.report import write_report

PACKAGES = ("plotly", "fastapi", "uvicorn")
NAME = "many"
INTERVAL_S = 1.0
AIM_MS = 2000
# Marks that the page sets when both fronts have been painted: the first time, and the last.
_FIRST, _DRAWN = "fronts-first", "fronts-drawn"
_PATIENCE_S = 120
_REFERENCE = Reference(accuracy=10, size_bits=1e8, bit_synops=1e10)
_NODES = (((0, "conv3x3"), (1, "skip")), ((1, "conv3x3"), (2, "conv3x3")))


def write_experiment(storage: Path, trials: int) -> Experiment:
    """An experiment as a run would leave it: most trials finished, many stopped, some running, a few failed."""
    generator = random.Random(0)
    experiment = Experiment(storage / NAME)
    experiment.open(Recipe.preset("cifar10").to_dict(), _REFERENCE)
    for index in range(trials):
        status = generator.choices([FINISHED, STOPPED, "", FAILED, DIVERGED], [55, 35, 6, 2, 2])[0]
        write_trial(experiment, f"trial-{index:05}", generator, status)
    return experiment


def write_trial(experiment: Experiment, name: str, generator: random.Random, status: str) -> None:
    """One trial with a random point and figures that such a point might have."""
    folder, draw = experiment.trial(name), generator.uniform
    cheapness, recipe = generator.random(), Recipe.preset("cifar10")
    point = {"lambda1": 10 ** draw(-9, -5), "lambda2": 10 ** draw(-12, -8), "p": generator.choice([0, 50, 80, 95])}
    figures = {
        "model_size_bits": int(3e7 * 10 ** (-1.5 * cheapness + draw(-0.3, 0.3))),
        "bit_synops": 3e9 * 10 ** (-2 * cheapness + draw(-0.4, 0.4)),
        "timesteps": generator.randint(1, 6),
    }
    best = 95.5 - 12 * cheapness**2 - draw(0, 4)
    epochs = 20 if status == FINISHED else generator.randint(2, 18)
    folder.write_start({**point, "seed": 0}, recipe.to_dict())
    records = []
    for index in range(epochs):
        when: dict[str, Any] = {
            "phase": "search" if index < 10 else "retrain",
            "epoch": index % 10 + 1,
            "epochs": 10,
            "seconds": 60.0,
        }
        records.append({**when, **figures, "loss": 1.0, "val_accuracy": best - (best - 20) * 0.8**index})
    folder.write_records(records)
    if status == FINISHED:
        bits = tuple(generator.choice([1, 2, 4]) for _ in recipe.widths)
        genotype = Genotype(nodes=_NODES, bits=bits, timesteps=int(figures["timesteps"]), p=float(point["p"]))
        write_text(folder.genotype, genotype.to_json())
        more = {"test_accuracy": best - 0.4, "bits": list(bits), "energy_mj": figures["bit_synops"] * 1e-10}
        folder.write_result(FINISHED, val_accuracy=best, **figures, **more)
    elif status:
        folder.write_result(status, reason=f"{status} at epoch {epochs}")


@contextmanager
def serving(storage: Path, port: int = 0, interval: float = INTERVAL_S) -> Iterator[str]:
    """The dashboard's server in a thread of this process; gives its address."""
    stopping = threading.Event()
    server = uvicorn.Server(uvicorn.Config(app(storage, None, stopping, interval), log_level="error"))
    with socket.create_server(("127.0.0.1", port)) as listening:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
        finally:
            stopping.set()
            server.should_exit = True
            thread.join(20)


def browser_here() -> tuple[str, str] | None:
    """Where Chromium and its driver are; None where one of them is not."""
    names = ("chromium", "chromium-browser", "google-chrome")
    chromium = next((found for name in names if (found := shutil.which(name))), None)
    driver = shutil.which("chromedriver")
    return (chromium, driver) if chromium and driver else None


@contextmanager
def browsing(downloads: Path | None = None, width: int = 1400, height: int = 900) -> Iterator[Any]:
    """A headless Chromium.

    Raises:
        InputError: it, its driver or selenium is not installed.
    """
    try:
        from selenium import webdriver
        from selenium.webdriver.chrome.service import Service
    except ImportError:
        raise InputError("dashboard: expected selenium to be installed, got none") from None
    found = browser_here()
    if found is None:
        raise InputError("dashboard: expected chromium and chromedriver in PATH, got none")
    options = webdriver.ChromeOptions()
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--hide-scrollbars"):
        options.add_argument(argument)
    options.add_argument(f"--window-size={width},{height}")
    options.add_argument("--enable-unsafe-swiftshader")  # WebGL without a graphics card
    if downloads is not None:
        options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    options.binary_location = found[0]
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    os.environ.setdefault("SE_OFFLINE", "true")  # the driver lies here: nothing is to be looked up or downloaded
    driver = webdriver.Chrome(options=options, service=Service(found[1]))
    try:
        driver.set_script_timeout(_PATIENCE_S)
        yield driver
    finally:
        driver.quit()


def wait(browser: Any, script: str, *arguments: Any) -> Any:
    """The script's value once it is true."""
    from selenium.webdriver.support.wait import WebDriverWait

    return WebDriverWait(browser, _PATIENCE_S, 0.02).until(lambda page: page.execute_script(script, *arguments), script)


# Does something in the page and answers with the milliseconds until the next frame with both fronts is painted.
_TIMED = """
const done = arguments[arguments.length - 1], drawn = () => performance.getEntriesByName("%s").at(-1).startTime;
const started = performance.now();
(%s)();
const look = () => drawn() > started ? done(drawn() - started) : setTimeout(look, 5);
look();
"""
_FILTER = """() => {
  const box = document.querySelector('[data-filter="status"] input[type=checkbox]');
  box.checked = !box.checked;
  box.dispatchEvent(new Event("change", {bubbles: true}));
}"""
# Moves a slider once per frame and answers with the milliseconds of every frame.
_DRAG = """
const done = arguments[arguments.length - 1], slider = document.getElementById("limit-size"), frames = [];
let last = null, step = 0;
const next = (now) => {
  if (last !== null) frames.push(now - last);
  last = now;
  if (++step > 40) return done(frames);
  slider.value = String(360 - 8 * step);
  slider.dispatchEvent(new Event("input", {bubbles: true}));
  requestAnimationFrame(next);
};
requestAnimationFrame(next);
"""
_SHOWN = """
const [key, done] = arguments;
const look = () => document.getElementById("size-front").data.some(({customdata}) => customdata.includes(key))
  ? requestAnimationFrame(() => done(Date.now())) : setTimeout(look, 10);
look();
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Size and repeats."""
    add_repeats(parser, 5)
    parser.add_argument("--trials", type=int, default=2000, help="trials of the experiment (default 2000)")


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Times of the page, and its memory."""
    trials = check_integer("trials", options.trials, minimum=10)
    settings = {"trials": trials, "repeats": options.repeats, "interval_s": INTERVAL_S}
    with tempfile.TemporaryDirectory(prefix="dashboard-") as folder:
        return {"settings": settings, **visit(trials, options.repeats, Path(folder))}


def visit(trials: int, repeats: int, storage: Path) -> dict[str, Any]:
    """Opens the page of a new experiment and works on it, again and again."""
    experiment, generator = write_experiment(storage, trials), random.Random(1)
    taken: dict[str, list[float]] = {"open": [], "filter": [], "slider frame": [], "new trial": []}
    memory: list[float] = []
    with serving(storage) as address, browsing() as browser:
        first_read = seconds(lambda: browser.get(f"{address}api/experiments/{NAME}"))
        for repeat in range(repeats):
            browser.get("about:blank")
            browser.get(address)
            mark = f"return performance.getEntriesByName('{_FIRST}')[0]?.startTime"
            taken["open"].append(wait(browser, mark))
            time.sleep(0.5 + INTERVAL_S * generator.random())  # at any moment between two looks of the server
            for _ in range(2):
                taken["filter"].append(browser.execute_async_script(_TIMED % (_DRAWN, _FILTER)))
            taken["slider frame"] += browser.execute_async_script(_DRAG)
            write_trial(experiment, f"new-{repeat}", generator, FINISHED)
            written = time.time()
            shown = browser.execute_async_script(_SHOWN, f"{NAME}/new-{repeat}")
            taken["new trial"].append(shown - 1e3 * written)
            browser.execute_cdp_cmd("HeapProfiler.collectGarbage", {})
            browser.execute_cdp_cmd("Performance.enable", {})
            found = browser.execute_cdp_cmd("Performance.getMetrics", {})["metrics"]
            memory.append(next(m["value"] for m in found if m["name"] == "JSHeapUsedSize") / 2**20)
            progress(f"{repeat + 1}/{repeats}: opened in {taken['open'][-1]:.0f} ms")
        version = browser.capabilities["browserVersion"]
    page = write_report(experiment, experiment.table(), _REFERENCE, Recipe.preset("cifar10"))["report.html"]
    return {
        "chromium": version,
        "milliseconds": {name: spread(values) for name, values in taken.items()},
        "page_memory_mib": spread(memory),
        "file_mb": round(page.stat().st_size / 1e6, 1),
        "first_read_seconds": round(first_read, 2),
        "aim_open_ms": AIM_MS,
    }


def report(result: dict[str, Any]) -> str:
    """A row for everything that is timed."""
    keys = ("median", "min", "p90", "max", "count")
    rows = [[name, *(f"{found[key]:.0f}" for key in keys)] for name, found in result["milliseconds"].items()]
    slowest, aim = result["milliseconds"]["open"]["max"], result["aim_open_ms"]
    return (
        f"{markdown(['milliseconds', *keys], rows)}\n\nMemory of the page {result['page_memory_mib']['median']:.0f} MiB, in one file {result['file_mb']} MB; Chromium "
        f"{result['chromium']}; the server read all files for the first time in {result['first_read_seconds']:.1f} s. Aim: open "
        f"within {aim} ms; slowest {slowest:.0f} ms: {'met' if slowest < aim else 'missed'}.\n\n{made_on(result)}"
    )
