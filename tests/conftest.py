"""Which tests run side by side: files whose tests start Ray in one process, one cluster at a time, all others in the second.

A machine with two cores is busy then: clusters wait a lot, other tests compute.
"""

from __future__ import annotations

import functools
import os
from pathlib import Path

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

if "PYTEST_XDIST_WORKER" in os.environ:  # one core for each of the two
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@functools.cache
def _starts_clusters(file: Path) -> bool:
    return "mark.cluster" in file.read_text(encoding="utf-8")


class _ClustersAndOthers(LoadScopeScheduling):
    """Tests of a file stay together, for what they share, and so do all files that start clusters."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return "clusters" if _starts_clusters(self.config.rootpath / file) else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    """Used by ``--numprocesses``, as ``make test`` does."""
    return _ClustersAndOthers(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Clusters first, since they take longest."""
    items.sort(key=lambda item: not _starts_clusters(item.path))
