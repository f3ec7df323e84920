"""What is aimed at, and whether the results reach it: the first table of docs/performance.md."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

NOT_MEASURED = "not measured"
BEYOND_CACHE = 4_000_000
"""Neurons from which on the LIF target is judged."""

Results = dict[str, dict[str, Any]]
"""By the name of the benchmark; those without a result are missing."""


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of the page."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def targets(results: Results) -> str:
    """What is aimed at, and whether it is reached."""
    verdict = {True: "met", False: "missed", None: "–"}
    rows = [[*row, verdict[ok]] for *row, ok in _targets(results)]
    return markdown(["what", "on", "target", "measured", ""], rows)


def _targets(results: Results) -> Iterator[tuple[str, str, str, str, bool | None]]:
    """Rows: what, on what, target, measured, and whether it is met (None: not measured)."""
    search, retrain = results.get("search_step"), results.get("retrain_step")
    name = "search step, C = 48, T = 6, 8 cells × 4 nodes, batch 8"
    for dtype, aim in (("fp32", 10.0), ("bf16", 14.0)):
        row = _fused(search, dtype)
        ratio = row["naive_over_this"]["of_medians"] if row else None
        yield name, "CPU", f"≥ {aim:g} × naive in {dtype}", *_judged(ratio, at_least(aim), "{:.1f} ×")
    row = _fused(search, "fp32")
    share = 100 * row["share_of_convolution_rate"] if row else None
    yield "the same", "CPU", "≥ 65 % of the convolution rate", *_judged(share, at_least(65), "{:.0f} %")
    memory = row["step_memory_of_naive"] if row else None
    yield "peak memory of a search step", "CPU", "≤ 0.30 of naive", *_judged(memory, lambda v: v <= 0.30, "{:.2f}")
    row = _fused(retrain, "fp32")
    ratio = row["naive_over_this"]["of_medians"] if row else None
    yield "retrain step, C = 144, T = 5, p = 80", "CPU", "≥ 8 × naive", *_judged(ratio, at_least(8), "{:.1f} ×")
    shares = [
        100 * size["ways"]["litesnn"]["share_of_copy"]
        for size in results.get("lif", {}).get("sizes", [])
        if size["neurons"] >= BEYOND_CACHE
    ]
    least = min(shares) if shares else None
    yield (
        *("LIF forwards and backwards, least of the sizes beyond the cache", "CPU", "≥ 60 % of bandwidth"),
        *_judged(least, at_least(60), "{:.0f} %"),
    )
    yield "LIF forwards and backwards", "GPU", "≥ 75 % of bandwidth", NOT_MEASURED, None
    yield "search step, batch 30 and 120", "H200", "no host synchronisation, GPU busy ≥ 90 %", NOT_MEASURED, None
    yield "search step, batch 30 and 120", "H200", "≥ 20 × naive", NOT_MEASURED, None
    yield "the paper's recipe, extrapolated", "H200", "search ≤ 45 min, retrain ≤ 2.5 h", NOT_MEASURED, None
    slowest = min(_over_jelly(results), default=None)
    yield (
        *("inference of a small network, batch 1", "CPU", "faster than SpikingJelly"),
        *_judged(slowest, lambda v: v > 1, "{:.1f} × as fast, at least"),
    )
    startup = results.get("startup")
    until = startup["cases"]["reused, shared"]["later"]["until_first_step"] if startup else None
    yield "trial start-up after the first on a node", "CPU", "≤ 1 s", *_judged(until, lambda v: v <= 1, "{:.2f} s")


def at_least(aim: float) -> Callable[[float], bool]:
    """Whether a figure reaches ``aim``."""
    return lambda value: value >= aim


def _fused(result: dict[str, Any] | None, dtype: str) -> dict[str, Any] | None:
    """The fastest side of a dtype that is not naive."""
    rows = [row for name, row in (result or {}).get("sides", {}).items() if name != "naive" and row["dtype"] == dtype]
    return min(rows, key=lambda row: row["seconds"]["median"], default=None)


def _judged(value: float | None, met: Callable[[float], bool], form: str) -> tuple[str, bool | None]:
    return (NOT_MEASURED, None) if value is None else (form.format(value), met(value))


def _over_jelly(results: Results) -> list[float]:
    """Per network, how much longer SpikingJelly's faster variant takes at batch 1."""
    found = []
    for network in results.get("inference", {}).get("networks", {}).values():
        for row in network["batches"]:
            others = [value for way, value in row["slower_than_frozen"].items() if way.startswith("SpikingJelly")]
            if row["batch"] == 1 and others:
                found.append(min(others))
    return found
