"""How the suite is divided between two processes: all that starts a Ray cluster in one, the rest in the other.

Ray's tests mostly wait for processes to start, and two clusters at once would wait for each other. Both processes are given one thread
each, and Ray's workers the niceness of the rest, so that nothing starves.
"""

import os

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("RAY_worker_niceness", "0")


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts files with clusters first, since they take longest, and gives every file or all of those a group."""
    clusters = {item.path for item in items if item.get_closest_marker("cluster")}
    items.sort(key=lambda item: item.path not in clusters)
    for item in items:
        item.add_marker(pytest.mark.xdist_group("clusters" if item.path in clusters else str(item.path)))
