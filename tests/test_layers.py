"""Imports go one way: the method knows nothing of the service, and what builds fronts needs neither Ray nor torch."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("storage", "results", "plan", "trials", "running", "watching", "views")
"""The folders of tune/, each of which imports from itself and those before it; the files beside them import from all."""

_WITHOUT_RAY_OR_TORCH = {
    "storage": "folder paths rows store",
    "results": "amounts compare front goals intervals merge pick published reference seeds summary",
    "plan": "families points points_table space strategy",
    "trials": "patience reasons",
    "running": "facts gpu_share halving program settings starts",
    "watching": "ledger live metrics outcomes",
    "views": "cell_drawing look plot report page.experiment page.details page.one_file dashboard.serve dashboard.server",
}
WITHOUT_RAY_OR_TORCH = [f"{room}.{name}" for room, names in _WITHOUT_RAY_OR_TORCH.items() for name in names.split()]
_WITH_RAY = "launch running/cluster running/scheduler running/searcher running/waiting trials/trial watching/enough watching/events watching/loggers watching/metrics_ray watching/watchdog"
WITH_RAY = {f"tune/{name}.py" for name in _WITH_RAY.split()}


def imported(path: Path) -> set[str]:
    """Top-level packages that a file imports anywhere in it."""
    return {name.split(".")[0] for name in modules(path)}


def modules(path: Path) -> set[str]:
    """Modules that a file imports anywhere in it, and what it imports from them."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def test_the_method_imports_neither_ray_nor_the_service() -> None:
    files = sorted((ROOT / "litesnn").rglob("*.py"))
    assert len(files) > 20
    for path in files:
        assert not imported(path) & {"ray", "tune", "optuna", "benchmarks"}, path


def test_rooms_import_downwards_alone() -> None:
    assert {path.name for path in (ROOT / "tune").iterdir() if (path / "__init__.py").exists()} == set(ROOMS)
    for number, room in enumerate(ROOMS):
        for path in (ROOT / "tune" / room).rglob("*.py"):
            rooms = {name.split(".")[1] for name in modules(path) if name.startswith("tune.")}
            assert rooms <= set(ROOMS[: number + 1]), path
        for folder in [(ROOT / "tune" / room), *(ROOT / "tune" / room).rglob("*/")]:
            assert len([path for path in folder.glob("[!_]*.*") if path.is_file()]) <= 12, folder


def test_the_map_names_every_room() -> None:
    page = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    assert all(f"| `{room}/` |" in page for room in ROOMS)


def test_only_what_talks_to_ray_imports_it() -> None:
    for path in (ROOT / "tune").rglob("*.py"):
        if path.relative_to(ROOT).as_posix() not in WITH_RAY:
            assert "ray" not in imported(path), path


def test_reading_a_front_waits_for_nothing_large() -> None:
    """``status`` and ``pick`` answer at once."""
    large = "('ray', 'torch', 'matplotlib', 'plotly', 'optuna', 'scipy')"
    code = f"import sys, tune.pareto, tune.reading; print([m for m in {large} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert out.stdout.strip() == "[]"


@pytest.mark.parametrize("module", WITHOUT_RAY_OR_TORCH)
def test_building_fronts_loads_neither_ray_nor_torch(module: str) -> None:
    code = f"import sys, tune.{module}; print([m for m in ('ray', 'torch') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert out.stdout.strip() == "[]"


def test_no_file_of_tune_hides_another_module() -> None:
    """`python tune/pareto.py` puts tune/ first on the path."""
    for path in (ROOT / "tune").glob("*.py"):
        assert path.stem not in sys.stdlib_module_names and path.stem not in {
            "ray",
            "torch",
            "optuna",
            "pandas",
            "rich",
        }
