"""Times the dashboard's page in headless Chromium with an experiment of 2,000 trials.

The experiment is written to a temporary folder by the code that a run uses, the dashboard's own server shows it, and
Chromium opens it anew for every repeat. Times of the page are its own: from the start of navigation, or from an input,
until the frame with both fronts has been painted. A new trial counts from the moment its last file is written until the
page shows it, the server's interval between two looks at the storage included.

    python -m benchmarks dashboard
    python -m benchmarks dashboard --pictures docs/images --storage RESULTS   # screenshots, nothing is measured
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import uvicorn

from benchmarks.record import begin, command, heading, parser, progress, spread, table
from litesnn.checks import InputError, check_integer
from litesnn.config import Recipe
from litesnn.genotype import Genotype
from tune.storage.objectives import Reference
from tune.storage.places import write_text
from tune.storage.store import DIVERGED, FAILED, FINISHED, STOPPED, Experiment
from tune.views.dashboard.server import app

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
    recipe = Recipe.preset("cifar10")
    experiment = Experiment(storage / NAME)
    experiment.open(recipe.to_dict(), _REFERENCE)
    for index in range(trials):
        write_trial(experiment, f"trial-{index:05}", recipe, generator)
    return experiment


def write_trial(
    experiment: Experiment, name: str, recipe: Recipe, generator: random.Random, status: str | None = None
) -> None:
    """One trial with a random point and figures that such a point might have."""
    status = status or generator.choices([FINISHED, STOPPED, "", FAILED, DIVERGED], [55, 35, 6, 2, 2])[0]
    folder = experiment.trial(name)
    cheapness = generator.random()
    point = {
        "lambda1": 10 ** generator.uniform(-9, -5),
        "lambda2": 10 ** generator.uniform(-12, -8),
        "p": generator.choice([0.0, 50.0, 80.0, 95.0]),
        "seed": 0,
    }
    size = int(3e7 * 10 ** (-1.5 * cheapness + generator.gauss(0, 0.15)))
    synops = 3e9 * 10 ** (-2 * cheapness + generator.gauss(0, 0.2))
    best = 95.5 - 12 * cheapness**2 - abs(generator.gauss(0, 2))
    timesteps = 1 + int(5.9 * generator.random())
    figures = {"model_size_bits": size, "bit_synops": synops, "timesteps": timesteps}
    epochs = 20 if status == FINISHED else generator.randint(2, 18)
    records = [
        {
            "phase": "search" if epoch < 10 else "retrain",
            "epoch": epoch % 10 + 1,
            "epochs": 10,
            "loss": 2.3 * 0.87**epoch,
            "val_accuracy": best - (best - 20) * 0.8**epoch,
            **figures,
            "seconds": 60.0,
        }
        for epoch in range(epochs)
    ]
    folder.write_start(point, recipe.to_dict())
    folder.write_metrics(records)
    if status == FINISHED:
        bits = tuple(generator.choice([1, 2, 4]) for _ in range(len(recipe.widths)))
        genotype = Genotype(nodes=_NODES, bits=bits, timesteps=timesteps, p=point["p"])
        write_text(folder.genotype, genotype.to_json())
        more = {"val_accuracy": best, "test_accuracy": best - 0.4, "bits": list(bits), "energy_mj": synops * 1e-10}
        folder.write_result(FINISHED, **figures, **more)
    elif status == STOPPED:
        folder.write_result(STOPPED, reason=f"stopped at epoch {epochs}: rank 7 of 9")
    elif status:
        folder.write_result(status, reason="loss is not finite")


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
    deadline = time.monotonic() + _PATIENCE_S
    while not (value := browser.execute_script(script, *arguments)):
        if time.monotonic() > deadline:
            raise TimeoutError(script)
        time.sleep(0.02)
    return value


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


def measure(trials: int, repeats: int, storage: Path) -> dict[str, Any]:
    """Everything that is kept but the head."""
    started = time.perf_counter()
    experiment = write_experiment(storage, trials)
    progress(f"{trials} trials written in {time.perf_counter() - started:.0f} s")
    opened: dict[str, list[float]] = {"open": [], "filter": [], "slider frame": [], "new trial": []}
    memory: list[float] = []
    with serving(storage) as address, browsing() as browser:
        version = browser.capabilities["browserVersion"]
        started = time.perf_counter()
        browser.get(f"{address}api/experiments/{NAME}")
        first_read = time.perf_counter() - started
        recipe, generator = Recipe.preset("cifar10"), random.Random(1)
        for repeat in range(repeats):
            browser.get("about:blank")
            browser.get(address)
            mark = f"return performance.getEntriesByName('{_FIRST}')[0]?.startTime"
            opened["open"].append(wait(browser, mark))
            time.sleep(0.5)
            for _ in range(2):
                opened["filter"].append(browser.execute_async_script(_TIMED % (_DRAWN, _FILTER)))
            opened["slider frame"] += browser.execute_async_script(_DRAG)
            name = f"new-{repeat}"
            write_trial(experiment, name, recipe, generator, FINISHED)
            written = time.time()
            shown = browser.execute_async_script(_SHOWN, f"{NAME}/{name}")
            opened["new trial"].append(shown - 1e3 * written)
            browser.execute_cdp_cmd("HeapProfiler.collectGarbage", {})
            browser.execute_cdp_cmd("Performance.enable", {})
            found = browser.execute_cdp_cmd("Performance.getMetrics", {})["metrics"]
            memory.append(next(m["value"] for m in found if m["name"] == "JSHeapUsedSize") / 2**20)
            progress(f"{repeat + 1}/{repeats}: opened in {opened['open'][-1]:.0f} ms")
    return {
        "chromium": version,
        "milliseconds": {name: spread(values) for name, values in opened.items()},
        "page_memory_mib": spread(memory),
        "first_read_seconds": round(first_read, 2),
        "aim_open_ms": AIM_MS,
    }


def report(result: dict[str, Any]) -> str:
    """A result as the text that is printed."""
    lines = [*heading(result)]
    rows = [
        [name, *(f"{found[key]:.0f}" for key in ("median", "min", "p90", "max")), str(found["count"])]
        for name, found in result["milliseconds"].items()
    ]
    lines += table(["milliseconds", "median", "min", "p90", "max", "count"], rows)
    slowest, aim = result["milliseconds"]["open"]["max"], result["aim_open_ms"]
    lines += [
        "",
        f"memory of the page {result['page_memory_mib']['median']:.0f} MiB; Chromium {result['chromium']}; the server read "
        f"all files for the first time in {result['first_read_seconds']:.1f} s",
        f"aim: open within {aim} ms; slowest {slowest:.0f} ms: {'met' if slowest < aim else 'missed'}",
    ]
    return "\n".join(lines)


def take_pictures(storage: Path, folder: Path) -> None:
    """``dashboard.png``, ``dashboard-panel.png`` and ``dashboard-phone.png`` of the first experiment in a storage.

    Raises:
        InputError: nothing in it has finished.
    """
    from tune.results.pick import pick
    from tune.views.dashboard.snapshot import Snapshot

    names = Snapshot(storage).names()
    trials = Experiment(storage / names[0]).table() if names else None
    best = None if trials is None else pick(trials).network
    if trials is None or best is None:
        raise InputError(f"storage: expected an experiment with a finished network in {storage}, got none")
    finished = trials[trials["status"] == FINISHED]
    size = statistics.median(finished["size_bits"])
    with serving(storage) as address, browsing() as browser:
        for file, view, scheme, width in (
            ("dashboard.png", f"size={size:g}", "light", 1280),
            ("dashboard-panel.png", f"trial={quote(names[0] + '/' + str(best['trial']), safe='')}", "dark", 1280),
            ("dashboard-phone.png", f"size={size:g}", "light", 390),
        ):
            features = [{"name": "prefers-color-scheme", "value": scheme}]
            browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
            screen = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
            browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
            browser.get("about:blank")
            browser.get(f"{address}#{view}")
            wait(browser, "return document.documentElement.dataset.ready")
            time.sleep(2)  # for what comes after the fronts
            browser.save_screenshot(str(folder / file))


def main(arguments: list[str] | None = None) -> int:
    """Reads the command line, measures, prints, writes the JSON; returns the exit code."""
    made = parser("dashboard", __doc__, repeats=5)
    made.add_argument("--trials", type=int, default=2000, help="trials of the experiment (default 2000)")
    made.add_argument("--pictures", type=Path, metavar="FOLDER", help="only take the screenshots of the documentation")
    made.add_argument("--storage", type=Path, help="of the experiment in the screenshots")
    options = made.parse_args(arguments)
    if options.pictures is not None:
        return _pictures(options)

    def run() -> dict[str, Any]:
        check_integer("trials", options.trials, minimum=10)
        settings = {"trials": options.trials, "repeats": options.repeats, "interval_s": INTERVAL_S}
        head = begin("dashboard", settings, ("plotly", "fastapi", "uvicorn"))
        with tempfile.TemporaryDirectory(prefix="dashboard-") as folder:
            return head | measure(options.trials, options.repeats, Path(folder))

    return command(options, run, report)


def _pictures(options: argparse.Namespace) -> int:
    try:
        if options.storage is None:
            raise InputError("storage: expected the folder of an experiment's results, got none")
        take_pictures(options.storage, options.pictures)
    except InputError as error:
        print(f"dashboard: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
