"""Which tests run side by side: those that start Ray in one process, one cluster at a time, all others in the second.

A machine with two cores is busy then: clusters wait a lot, other tests compute. Tests of one file stay together, for what they share.
"""

import os

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:  # one core for each of the two
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Clusters first, since they take longest."""
    for item in items:
        item.add_marker(pytest.mark.xdist_group("cluster" if item.get_closest_marker("cluster") else str(item.path)))
    items.sort(key=lambda item: item.get_closest_marker("cluster") is None)
