"""Which tests run side by side: files whose tests start clusters in one process, all others in the second.

A machine with two cores is busy then: clusters wait a lot, other tests compute. The second process is the first to be through;
it then takes a few files whose clusters are small, so that both end at about the same time.
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


_SMALL = ("benchmarks/test_startup", "cluster/test_slurm", "tune/running/test_scheduler", "tune/running/test_searcher")
_CLUSTERS, _LAST = "clusters", "small clusters"


@functools.cache
def _scope(file: Path) -> str:
    """Tests of one scope run in one process, one after the other: those of a file stay together, for what they share."""
    if "mark.cluster" not in file.read_text(encoding="utf-8"):
        return str(file)
    return _LAST if str(file.with_suffix("")).endswith(_SMALL) else _CLUSTERS


class _SideBySide(LoadScopeScheduling):
    """Gives a process the next scope when it is through with its own."""

    def _split_scope(self, nodeid: str) -> str:
        return _scope(self.config.rootpath / nodeid.partition("::")[0])


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    """Used by ``--numprocesses``, as ``make test`` does."""
    return _SideBySide(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Clusters first, since they take longest; small ones last."""
    items.sort(key=lambda item: {_CLUSTERS: 0, _LAST: 2}.get(_scope(item.path), 1))
