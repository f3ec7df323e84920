"""Writes the tables of docs/performance.md, docs/reliability.md and docs/gpu.md anew, from the committed records alone.

The text of a page is written by hand; a table stands between ``<!-- begin NAME -->`` and ``<!-- end NAME -->``. Nothing is measured
here. ``--check`` changes nothing and fails if a page is not what the records give.

    python -m benchmarks pages
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks import faults, gpu, inference, launches, lif, search_step, startup, targets
from benchmarks.record import RESULTS
from litesnn.checks import InputError
from litesnn.files import write_text
from litesnn.options import exit_code

DOCS = Path(__file__).parents[1] / "docs"
PAGES = ("performance.md", "reliability.md", "gpu.md")
Results = dict[str, dict[str, Any]]
"""By the name of the benchmark; those without a record are missing."""
TABLES: dict[str, Callable[[dict[str, Any]], str]] = {
    "search_step": search_step.report,
    "retrain_step": search_step.report,
    "lif": lif.report,
    "inference": inference.report,
    "startup": startup.report,
    "gpu": gpu.report,
    "launches": launches.report,
    "faults": faults.report,
}


def load_all(folder: Path) -> Results:
    """All records of a folder.

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


def render(text: str, results: Results) -> str:
    """A page with its tables replaced.

    Raises:
        InputError: the page names a table that is not known; a record is of another version.
    """

    def replace(found: re.Match[str]) -> str:
        name = found[1]
        if name not in ("targets", *TABLES):
            raise InputError(f"page: expected tables targets, {', '.join(TABLES)}, got {name!r}")
        try:
            if name == "targets":
                made = targets.table(results)
            else:
                made = TABLES[name](results[name]) if name in results else "Not measured."
        except KeyError as error:
            raise InputError(
                f"results: expected those of this version, got {name} without {error}; measure anew"
            ) from None
        return f"<!-- begin {name} -->\n{made}\n<!-- end {name} -->"

    return re.sub(r"<!-- begin (\w+) -->\n.*?<!-- end \1 -->", replace, text, flags=re.DOTALL)


def main(arguments: Sequence[str]) -> int:
    """The command; its exit code is 1 if ``--check`` finds a difference."""
    parser = argparse.ArgumentParser(prog="pages", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--docs", type=Path, default=DOCS, metavar="FOLDER", help="where the pages lie")
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="FOLDER", help="where the records lie")
    parser.add_argument("--check", action="store_true", help="change nothing; fail if a page would change")
    options = parser.parse_args(arguments)
    differ: list[str] = []

    def work() -> None:
        results = load_all(options.results)
        for name in PAGES:
            path = options.docs / name
            if not path.is_file():
                raise InputError(f"docs: expected a folder with {name}, got {options.docs}")
            before = path.read_text(encoding="utf-8")
            after = render(before, results)
            if before != after:
                differ.append(name)
                print(f"{name}: {'differs from' if options.check else 'written from'} the records")
            if not options.check:
                write_text(path, after)

    return exit_code(work, "pages") or int(options.check and bool(differ))
