"""Writes the tables and pictures of docs/performance.md anew, from the results in ``benchmarks/results`` alone.

The page's text is written by hand; a table stands between ``<!-- begin NAME -->`` and ``<!-- end NAME -->``. Nothing is measured
here. ``--check`` changes nothing and fails if the page is not what the results give.

    python -m benchmarks performance
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.plots import plot_lif, plot_scaling
from benchmarks.precision import PRECISIONS, difference
from benchmarks.record import RESULTS
from benchmarks.targets import NOT_MEASURED, Results, markdown, targets
from litesnn.checks import InputError
from litesnn.files import write_text

DOCS = Path(__file__).parents[1] / "docs"
PAGE = DOCS / "performance.md"


def load(folder: Path) -> Results:
    """All results of a folder.

    Raises:
        InputError: a file is no JSON.
    """
    found = {}
    for path in sorted(folder.glob("*.json")):
        try:
            found[path.stem] = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise InputError(f"results: expected JSON, got {path} ({error})") from None
    return found


def made_on(result: dict[str, Any]) -> str:
    """The line under a table: when, on what, under which load."""
    took = f", {result['took_seconds']:.0f} s in all" if "took_seconds" in result else ""
    versions = "".join(f", {name} {version}" for name, version in result.get("versions", {}).items())
    loads = f"load {result['load_before']} before, {result['load_after']} after"
    return f"\n\n{result['measured_at'][:10]}, {machine.one_line(result['machine'])}{versions}; {loads}{took}."


def steps(result: dict[str, Any]) -> str:
    """A benchmark of a training step."""
    header = ["", "median", "min – max", "naive / this", "memory of the step", "of the process", "GFLOP/s",
              "of the convolution rate", "of its peak", "of bandwidth"]  # fmt: skip
    rows = []
    for name, row in result["sides"].items():
        times, ratio = row["seconds"], row["naive_over_this"]
        rows.append(
            [
                name,
                f"{times['median']:.3f} s",
                f"{times['min']:.3f} – {times['max']:.3f} s",
                f"{ratio['of_medians']:.2f} ({ratio['min']:.2f} – {ratio['max']:.2f})",
                f"{row['step_memory_mib']:.0f} MiB ({row['step_memory_of_naive']:.2f})",
                f"{row['peak_memory_mib']:.0f} MiB ({row['peak_memory_of_naive']:.2f})",
                f"{row['gflop_s']:.0f}",
                *(f"{100 * row[key]:.0f} %" for key in _SHARES),
            ]
        )
    settings = ", ".join(f"{key} {value}" for key, value in result["settings"].items())
    rates = "; ".join(
        f"convolution rate in {dtype} {rate['own_shapes']:.0f} GFLOP/s over the step's own shapes, peak {rate['peak']:.0f} "
        f"({rate['peak_shape']})"
        for dtype, rate in result["limits"].items()
        if dtype != "bandwidth_gb_s"
    )
    moved = ", ".join(f"{count / 2**20:.0f} MiB in {dtype}" for dtype, count in result["work"]["least_bytes"].items())
    work = f"A step: {result['work']['flops'] / 1e9:.1f} GFLOP in convolutions, at least {moved} moved."
    copy = f"memory {result['limits']['bandwidth_gb_s']['best']:.1f} GB/s"
    return f"{markdown(header, rows)}\n\n{settings}. {work} Limits in the same run: {rates}; {copy}.{made_on(result)}"


def small_steps(result: dict[str, Any]) -> str:
    """Steps of small networks."""
    parts = list(next(iter(result["networks"].values()))["parts"])
    rows = []
    for name, found in result["networks"].items():
        before, now = (found["sides"][side] for side in ("before", "now"))
        ratio, whole = found["before_over_now"], sum(found["parts"].values())
        rows.append(
            [
                name,
                *(f"{1e3 * side['cpu_seconds']['median']:.1f} ms" for side in (before, now)),
                f"{ratio['median']:.2f} ({ratio['min']:.2f} – {ratio['max']:.2f})",
                *(f"{side['gflop_s']:.0f}" for side in (before, now)),
                f"{1e3 * found['data']:.1f} ms",
                f"{found['epochs_per_core_hour']:.0f}",
                *(f"{100 * found['parts'][part] / whole:.0f} %" for part in parts),
            ]
        )
    header = ["network", "before", "now", "before / now", "GFLOP/s a core before", "now", "the batch itself",
              "epochs per core-hour", *parts]  # fmt: skip
    settings = ", ".join(f"{key} {value}" for key, value in result["settings"].items())
    return f"{markdown(header, rows)}\n\n{settings}.{made_on(result)}"


_SHARES = ("share_of_convolution_rate", "share_of_peak_convolution_rate", "share_of_bandwidth")


def limits(result: dict[str, Any]) -> str:
    """The machine's limits."""
    rows = []
    for dtype in ("fp32", "bf16"):
        rates = result[dtype]["convolution_gflop_s"]
        best = max(result[dtype]["matrix_gflop_s"].items(), key=lambda item: item[1])
        rows.append([f"convolutions, {dtype}: the search step's mix", f"{rates['own_shapes']:.0f} GFLOP/s"])
        rows.append([f"convolutions, {dtype}: fastest, {rates['peak_shape']}", f"{rates['peak']:.0f} GFLOP/s"])
        rows.append([f"product of {best[0]} × {best[0]} matrices, {dtype}", f"{best[1]:.0f} GFLOP/s"])
    moved = result["bandwidth_gb_s"]
    for kind in ("read", "copy", "triad"):
        way = max(moved["ways"][kind].items(), key=lambda item: item[1])[0]
        rows.append([f"memory, {kind} ({way})", f"{moved[kind]:.1f} GB/s"])
    return markdown(["limit", "measured"], rows) + made_on(result)


def lif(result: dict[str, Any]) -> str:
    """LIF neurons."""
    ways = list(result["sizes"][0]["ways"])
    rows = [
        [
            f"{size['timesteps']} × {size['neurons']:,}",
            *(f"{1e3 * size['ways'][way]['seconds']['median']:.2f} ms" for way in ways),
            f"{size['ways'][ways[0]]['gb_s']:.1f} GB/s",
            *(f"{100 * size['ways'][ways[0]][key]:.0f} %" for key in ("share_of_copy", "share_of_bandwidth")),
        ]
        for size in result["sizes"]
    ]
    header = ["T × neurons", *ways, f"{ways[0]}: throughput", "of copying", "of the best"]
    return markdown(header, rows) + made_on(result)


def loader(result: dict[str, Any]) -> str:
    """Loading and augmenting."""
    rows = [
        [kind if not index else "", way, *(f"{row[key]:,.0f}" for key in ("median", "min", "max"))]
        for kind, found in result["kinds"].items()
        for index, (way, row) in enumerate(found["samples_per_second"].items())
    ]
    said = ", ".join(f"{kind} {found['ratio']:.1f} ×" for kind, found in result["kinds"].items())
    table = markdown(["data", "", "samples per second", "min", "max"], rows)
    return f"{table}\n\nAgainst the fastest other way: {said}.{made_on(result)}"


def inference(result: dict[str, Any]) -> str:
    """Frozen networks."""
    rows = [
        [
            f"{preset}, batch {found['batch']}" if not index else "",
            way,
            *(f"{1e3 * row[key]:.3f} ms" for key in ("median", "p90", "min")),
            f"{found['slower_than_frozen'][way]:.2f} ×",
            f"{100 * network['same_class'][way]:.1f} %",
        ]
        for preset, network in result["networks"].items()
        for found in network["batches"]
        for index, (way, row) in enumerate(found["seconds"].items())
    ]
    header = ["network", "", "median", "p90", "min", "over frozen", "same class"]
    return markdown(header, rows) + made_on(result)


def scaling(result: dict[str, Any]) -> str:
    """Fitted exponents."""
    rows = [
        [
            axis,
            ", ".join(str(row["value"]) for row in found["points"]),
            *(
                f"{found[key]['exponent']:.2f} ± {found[key]['error']:.2f}"
                for key in ("seconds", "step_memory_mib", "gflop")
            ),
        ]
        for axis, found in result["axes"].items()
    ]
    return markdown(["setting", "values", "time", "memory", "operations counted"], rows) + made_on(result)


def startup(result: dict[str, Any]) -> str:
    """Start of a trial."""
    rows = [
        [name, *(f"{case['later'][part]:.2f} s" for part in ("process", "data", "network", "until_first_step"))]
        for name, case in result["cases"].items()
    ]
    header = ["later trials: processes, data", "process", "data", "network", "until the first step"]
    return markdown(header, rows) + made_on(result)


def precision(result: dict[str, Any]) -> str:
    """Test accuracies in both precisions."""
    rows, lines = [], []
    for name, runs in result["runs"].items():
        of = {each: [run["test_accuracy"] for run in runs if run["precision"] == each] for each in PRECISIONS}
        for each, accuracies in of.items():
            if len(accuracies) > 1:
                mean, deviation = statistics.mean(accuracies), statistics.stdev(accuracies)
                by_seed = ", ".join(f"{value:.2f}" for value in accuracies)
                rows.append([name, each, f"{mean:.2f} %", f"{deviation:.2f}", by_seed])
        if all(len(accuracies) > 1 for accuracies in of.values()):
            lines.append(f"{name}: {difference(of['fp32'], of['bf16'])}.")
    header = ["data", "precision", "test accuracy", "deviation", "by seed"]
    made = f"{result['measured_at'][:10]}, {machine.one_line(result['machine'])}."
    return "\n\n".join([markdown(header, rows), "\n".join(lines), made])


TABLES: dict[str, Callable[[dict[str, Any]], str]] = {
    "search_step": steps,
    "retrain_step": steps,
    "small_step": small_steps,
    "limits": limits,
    "lif": lif,
    "loader": loader,
    "inference": inference,
    "precision": precision,
    "scaling": scaling,
    "startup": startup,
}


def render(text: str, results: Results) -> str:
    """The page with its tables replaced.

    Args:
        text: the page.
        results: what the tables are made from.

    Raises:
        InputError: the page names a table that is not known, or lacks one; a result is of another version.
    """
    seen = set()

    def replace(found: re.Match[str]) -> str:
        name = found[1]
        if name != "targets" and name not in TABLES:
            raise InputError(f"performance: expected tables targets, {', '.join(TABLES)}, got {name!r}")
        seen.add(name)
        try:
            if name == "targets":
                made = targets(results)
            else:
                made = TABLES[name](results[name]) if name in results else f"{NOT_MEASURED.capitalize()}."
        except KeyError as error:
            raise InputError(
                f"results: expected those of this version, got {name} without {error}; measure anew"
            ) from None
        return f"<!-- begin {name} -->\n{made}\n<!-- end {name} -->"

    done = re.sub(r"<!-- begin (\w+) -->\n.*?<!-- end \1 -->", replace, text, flags=re.DOTALL)
    if missing := sorted({"targets", *TABLES} - seen):
        raise InputError(f"performance: expected a page with all tables, got none of {', '.join(missing)}")
    return done


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="performance", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--page", type=Path, default=PAGE)
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of JSON files")
    parser.add_argument("--images", type=Path, default=DOCS / "images", help="where the pictures go")
    parser.add_argument("--check", action="store_true", help="change nothing; fail if the page would change")
    options = parser.parse_args(arguments)
    try:
        if not options.page.is_file():
            raise InputError(f"page: expected a file, got {options.page}")
        results = load(options.results)
        before = options.page.read_text(encoding="utf-8")
        after = render(before, results)
        if options.check:
            print("the page agrees with the results" if before == after else "the page differs from the results")
            return int(before != after)
        write_text(options.page, after)
        for name, plot in (("lif", plot_lif), ("scaling", plot_scaling)):
            if name in results:
                plot(results[name], options.images / f"{name}.png")
    except InputError as error:
        print(f"performance: {error}", file=sys.stderr)
        return 2
    print(f"written: {options.page}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
