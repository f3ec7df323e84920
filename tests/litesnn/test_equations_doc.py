"""docs/equations.md names things that exist, and leaves no equation out."""

import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "equations.md").read_text(encoding="utf-8")
NAMES = sorted(set(re.findall(r"`(litesnn(?:\.\w+)+)`", TEXT)))
TESTS = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", TEXT)))


@pytest.mark.parametrize("name", NAMES)
def test_the_code_exists(name: str) -> None:
    parts = name.split(".")
    found = importlib.import_module(".".join(parts[:2]))  # modules lie directly in the package
    for part in parts[2:]:
        found = getattr(found, part)
    assert callable(found)


@pytest.mark.parametrize(("path", "test"), TESTS)
def test_the_test_exists(path: str, test: str) -> None:
    assert re.search(rf"^def {test}\(", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE)


def test_every_equation_has_a_row_with_code_and_test() -> None:
    covered: set[int] = set()
    rows = re.findall(r"^\| (\d[\d, –]*)(?:, backward)? \|(.*)\|$", TEXT, re.MULTILINE)
    for numbers, rest in rows:
        ends = [int(n) for n in re.findall(r"\d+", numbers)]
        covered |= set(range(ends[0], ends[-1] + 1)) if "–" in numbers else set(ends)
        if "not built here" not in rest:
            assert "`litesnn." in rest and "`tests/" in rest
    assert covered == set(range(1, 21))
    assert len(NAMES) > 10 and len(TESTS) > 15
