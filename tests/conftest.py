"""How the suite is divided between two processes: all that starts a Ray cluster in one, the rest, file by file, in the other.

Ray's tests mostly wait for processes to start, and two clusters at once would wait for each other. Both processes are given one thread
each, and Ray's workers the niceness of the rest, so that nothing starves.
"""

import functools
import os
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]

if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("RAY_worker_niceness", "0")


@functools.cache
def _starts_clusters(path: Path) -> bool:
    return "mark.cluster" in path.read_text(encoding="utf-8")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts files with clusters first, since they take longest."""
    items.sort(key=lambda item: not _starts_clusters(item.path))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Gives a process whole files, and one of them all files with clusters."""
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            path = nodeid.partition("::")[0]
            return "clusters" if _starts_clusters(ROOT / path) else path

    return ByFile(config, log)
