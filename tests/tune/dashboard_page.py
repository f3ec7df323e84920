"""What tests of the dashboard's page share: a small store, and hands and eyes in Chromium."""

import json
import re
import time
from pathlib import Path
from typing import Any

from benchmarks.dashboard import wait
from litesnn.config import Recipe
from litesnn.genotype import Genotype
from tune import pareto
from tune.storage.objectives import Reference
from tune.storage.store import DIVERGED, FINISHED, STOPPED, Experiment

EVIL = "<img src=x onerror='window.evil = 1'>&amp;<b>"
EVIL_REASON = "</script><script>window.evil = 2</script><!-- loss is <b>not</b> finite"
REFERENCE = Reference(accuracy=10, size_bits=1e7, bit_synops=1e9)
NETWORK = Genotype(
    nodes=(((0, "conv3x3"), (1, "skip")), ((0, "skip"), (2, "conv3x3"))), bits=(2, 1, 4), timesteps=3, p=50
)
# λ1, λ2, p, validation, test, size in bits, Bit-SynOps, T
TRIALS = {
    "small": (1e-5, 1e-8, 95.0, 88.0, 89.0, 40_000, 0.2e6, 1),
    "middle": (3e-6, 2e-9, 80.0, 95.0, 94.0, 200_000, 0.8e6, 3),
    "large": (0.0, 0.0, 0.0, 99.0, 98.5, 400_000, 4e6, 4),
    "dominated": (1e-6, 1e-9, 50.0, 94.0, 97.0, 300_000, 2e6, 2),
    EVIL: (1e-6, 1e-9, 60.0, 90.0, 90.0, 250_000, 3e6, 2),
}


INSIDE = {
    "timestep_shares": [0.1, 0.2, 0.6, 0.1],
    "inherited_accuracy": 30.0,
    "alpha_entropy": 0.9,
    "beta_entropy": 0.5,
    "psi_entropy": 0.8,
}
"""What a search records of itself."""


def add(
    experiment: Experiment,
    name: str,
    values: tuple[float, ...],
    status: str = FINISHED,
    reason: str = "",
    **stated: int,
) -> None:
    lambda1, lambda2, p, accuracy, test, size, synops, timesteps = values
    figures = {"model_size_bits": size, "bit_synops": synops, "timesteps": timesteps}
    trial = experiment.trial(name)
    trial.write_start({"lambda1": lambda1, "lambda2": lambda2, "p": p, "seed": 0, **stated}, {})
    epochs = [("search", 1), ("search", 2), ("retrain", 1), ("retrain", 2)]
    trial.write_records(
        [
            {"phase": phase, "epoch": k, "epochs": 2, "loss": 2.0 / (i + 1), "val_accuracy": 40.0 + i, "seconds": 1.0}
            | figures
            | (INSIDE if name == "middle" and phase == "search" else {})
            for i, (phase, k) in enumerate(epochs[: 4 if status == FINISHED else 2])
        ]
    )
    if status == FINISHED:
        trial.genotype.write_text(NETWORK.to_json())
        trial.model.write_bytes(b"network of " + name.encode())
        trial.write_result(
            FINISHED,
            val_accuracy=accuracy,
            test_accuracy=test,
            bits=[1, 1, 1] if name == "small" else [2, 1, 4],
            energy_mj=1e-3,
            **figures,
            **({} if name == "large" else {"file_bits": 2 * size, "dense_bits": 3 * size}),  # of an earlier version
        )
    elif status:
        trial.write_result(status, reason=reason)


def fill(experiment: Experiment) -> None:
    """Trials in every state, on a data set of which networks are published."""
    experiment.open(Recipe.preset("cifar10", search_epochs=2, retrain_epochs=2).to_dict(), REFERENCE)
    for name, values in TRIALS.items():
        add(experiment, name, values)
    add(experiment, "behind", TRIALS["small"], STOPPED, "stopped at search epoch 2: rank 3 of 4")
    add(experiment, "lost", TRIALS["large"], DIVERGED, EVIL_REASON)
    add(experiment, "at work", TRIALS["middle"], "")


def inlined(page: Path) -> dict[str, Any]:
    """The data in a report: ``list``, ``experiment`` and ``details``."""
    found = re.search(r'<script type="application/json" id="answers">(.*?)</script>', page.read_text(encoding="utf-8"))
    assert found is not None
    answers: dict[str, Any] = json.loads(found[1])
    return answers


def show(browser: Any, address: str, view: str = "show=fronts") -> None:
    """Opens a view: by its address alone where the page is there already, as for somebody who follows a link."""
    if browser.current_url.partition("#")[0] != address:
        browser.get(f"{address}#{view}")
        wait(browser, "return document.documentElement.dataset.ready")
        return
    browser.execute_async_script(
        """const [view, done] = arguments;
        history.replaceState(null, "", `#${view}`);
        dispatchEvent(new Event("hashchange"));
        const drawn = () => performance.getEntriesByName("fronts-drawn").at(-1).detail === location.hash;
        const look = () => drawn() ? done() : setTimeout(look, 10);
        look();""",
        view,
    )


def text(browser: Any, selector: str) -> str:
    return str(browser.execute_script("return document.querySelector(arguments[0]).innerText", selector))


def drawn(browser: Any, figure: str = "size-front") -> set[str]:
    """Names of the trials that stand in a front's figure."""
    keys = browser.execute_script(
        "return document.getElementById(arguments[0]).data.flatMap(t => t.customdata).filter(k => typeof k === 'string')",
        figure,
    )
    return {key.partition("/")[2] for key in keys}


def rows(browser: Any, column: int = 0) -> list[str]:
    script = (
        "return [...document.querySelectorAll('#trials tbody tr')].map(r => r.cells[arguments[0]].innerText.trim())"
    )
    return list(browser.execute_script(script, column))


def press(browser: Any, key: str, **more: Any) -> None:
    for kind in ("keyDown", "keyUp"):
        browser.execute_cdp_cmd("Input.dispatchKeyEvent", {"type": kind, "key": key, **more})


def focused(browser: Any) -> str:
    return str(browser.execute_script("const e = document.activeElement; return e.dataset.key ?? e.id ?? e.tagName"))


def slide(browser: Any, limit: str, share: float) -> None:
    browser.execute_script(
        """const s = document.getElementById(`limit-${arguments[0]}`);
        s.value = Math.round(Number(s.max) * arguments[1]); s.dispatchEvent(new Event("input", {bubbles: true}));""",
        limit,
        share,
    )


def point_at(browser: Any, trial: str, figure: str = "size-front") -> tuple[float, float]:
    """Brings the mouse to where the trial, or the first published network of that method, stands; gives the place."""
    x, y = browser.execute_script(
        """const div = document.getElementById(arguments[0]); div.scrollIntoView({block: "center"});
        const {xaxis, yaxis} = div._fullLayout, box = div.getBoundingClientRect();
        for (const {name, x, y, customdata} of div.data) {
          const k = name === "test" ? -1 : customdata.findIndex((d) => d === `fronts/${arguments[1]}` || d.method === arguments[1]);
          if (k >= 0) return [box.x + xaxis._offset + xaxis.d2p(x[k]), box.y + yaxis._offset + yaxis.d2p(y[k])];
        }""",
        figure,
        trial,
    )
    for away in (60, 0):
        browser.execute_cdp_cmd("Input.dispatchMouseEvent", {"type": "mouseMoved", "x": x, "y": y + away})
        time.sleep(0.3)  # plotly looks for the point under the mouse at most every few frames
    return x, y


def click_point(browser: Any, trial: str, figure: str = "size-front") -> None:
    """With the mouse, where the trial stands."""
    x, y = point_at(browser, trial, figure)
    for kind in ("mousePressed", "mouseReleased"):
        event = {"type": kind, "x": x, "y": y, "button": "left", "clickCount": 1}
        browser.execute_cdp_cmd("Input.dispatchMouseEvent", event)


def write_page(storage: Path, name: str, *more: str) -> Path:
    """The page of an experiment as a file."""
    assert pareto.main(["report", "--storage", str(storage), "--name", name, *more]) == 0
    return storage / name / "report.html"


def figure(browser: Any, name: str) -> list[dict[str, Any]]:
    """The traces of one of the page's figures."""
    script = """return document.getElementById(arguments[0]).data.map(
        ({name, x, y, customdata, mode, marker, line}) => ({name, x, y, customdata, mode, marker, line}))"""
    return list(browser.execute_script(script, name))
