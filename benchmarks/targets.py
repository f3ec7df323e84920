"""What is aimed at, and whether the records reach it: the first table of docs/performance.md."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from operator import ge, gt, le
from typing import Any

from benchmarks.record import markdown

NOT_MEASURED = "not measured"
BEYOND_CACHE = 4_000_000
"""Neurons from which on the LIF target is judged."""

Results = dict[str, dict[str, Any]]
Judge = Callable[[float, float], bool]


def table(results: Results) -> str:
    """What is aimed at, and whether it is reached."""
    rows = []
    for what, where, target, value, judge, aim, form in _targets(results):
        verdict = "–" if value is None else "met" if judge(value, aim) else "missed"
        rows.append([what, where, target, NOT_MEASURED if value is None else form.format(value), verdict])
    return markdown(["what", "on", "target", "measured", ""], rows)


def _targets(results: Results) -> Iterator[tuple[str, str, str, float | None, Judge, float, str]]:
    """Rows: what, on what, target, measured (None: not), how it is held against what, and how it is written."""
    fp32, bf16 = (_fused(results.get("search_step"), dtype) for dtype in ("fp32", "bf16"))
    step = "search step, C = 48, T = 6, 8 cells × 4 nodes, batch 8"
    for row, aim, dtype in ((fp32, 10, "fp32"), (bf16, 14, "bf16")):
        yield step, "CPU", f"≥ {aim} × naive in {dtype}", _over_naive(row), ge, aim, "{:.1f} ×"
    share = 100 * fp32["share_of_convolution_rate"] if fp32 else None
    memory = fp32["step_memory_of_naive"] if fp32 else None
    yield "the same", "CPU", "≥ 65 % of the convolution rate", share, ge, 65, "{:.0f} %"
    yield "peak memory of a search step", "CPU", "≤ 0.30 of naive", memory, le, 0.3, "{:.2f}"
    ratio = _over_naive(_fused(results.get("retrain_step"), "fp32"))
    yield "retrain step, C = 144, T = 5, p = 80", "CPU", "≥ 8 × naive", ratio, ge, 8, "{:.1f} ×"
    large = [size for size in results.get("lif", {}).get("sizes", []) if size["neurons"] >= BEYOND_CACHE]
    least = min((100 * size["ways"]["litesnn"]["share_of_copy"] for size in large), default=None)
    name = "LIF forwards and backwards, least of the sizes beyond the cache"
    yield name, "CPU", "≥ 60 % of bandwidth", least, ge, 60, "{:.0f} %"
    yield from _on_gpus(results.get("gpu"))
    slowest, form = min(_over_jelly(results), default=None), "{:.1f} × as fast, at least"
    yield "inference of a small network, batch 1", "CPU", "faster than SpikingJelly", slowest, gt, 1, form
    startup = results.get("startup")
    until = startup["cases"]["reused, shared"]["later"]["until_first_step"] if startup else None
    yield "trial start-up after the first on a node", "CPU", "≤ 1 s", until, le, 1, "{:.2f} s"


def _on_gpus(result: dict[str, Any] | None) -> Iterator[tuple[str, str, str, float | None, Judge, float, str]]:
    """Rows of ``python -m benchmarks gpu``, as ``_targets`` has them; a step is in fp32 with the kernels, at batch 30 and 120."""
    found = {row["what"]: row["kernels"] for row in result["rows"]} if result else {}
    searches = [f"search step, batch {batch}, fp32" for batch in (30, 120)]
    names = [*searches, *map("naive {}".format, searches), "retraining step, batch 50, fp32", "neurons, fp32", "a copy"]
    lif = busy = naive = recipe = hours = None
    if found.keys() >= set(names):
        times = {name: statistics.median(found[name]["seconds"]) for name in names}
        lif = 100 * times["a copy"] / times["neurons, fp32"] / 2  # the copy moves twice the bytes
        shares = [0 if found[s]["waits"] else 100 * found[s]["kernel_seconds"] / times[s] for s in searches]
        busy, naive = min(shares), min(times[f"naive {name}"] / times[name] for name in searches)
        hours = 77_778 * times[names[0]] / 3600, 186_667 * times[names[4]] / 3600
        recipe = max(hours[0] / 0.75, hours[1] / 2.5)
    yield "LIF forwards and backwards", "GPU", "≥ 75 % of bandwidth", lif, ge, 75, "{:.0f} %"
    step = "search step, batch 30 and 120"
    yield step, "H200", "no host synchronisation, GPU busy ≥ 90 %", busy, ge, 90, "{:.0f} %"
    yield step, "H200", "≥ 20 × naive", naive, ge, 20, "{:.1f} ×"
    form = f"{hours[0]:.2f} h, {hours[1]:.2f} h" if hours else ""
    yield "the paper's recipe, extrapolated", "H200", "search ≤ 45 min, retrain ≤ 2.5 h", recipe, le, 1, form


def _over_naive(row: dict[str, Any] | None) -> float | None:
    return row["naive_over_this"]["of_medians"] if row else None


def _fused(result: dict[str, Any] | None, dtype: str) -> dict[str, Any] | None:
    """The fastest side of a dtype that is not naive."""
    rows = [row for name, row in (result or {}).get("sides", {}).items() if name != "naive" and row["dtype"] == dtype]
    return min(rows, key=lambda row: row["seconds"]["median"], default=None)


def _over_jelly(results: Results) -> Iterator[float]:
    """Per network, how much longer SpikingJelly's faster variant takes at batch 1."""
    for network in results.get("inference", {}).get("networks", {}).values():
        for row in network["batches"]:
            others = [value for way, value in row["slower_than_frozen"].items() if way.startswith("SpikingJelly")]
            if row["batch"] == 1 and others:
                yield min(others)
