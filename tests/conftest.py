"""Which tests run side by side, and a cluster that many share.

One process begins with the files whose tests start clusters, the other with the rest. A machine with two cores is busy then:
clusters wait a lot, other tests compute. Each takes the next file when it is through with one, from opposite ends of the
list, until they meet: so both end at about the same time, whatever is added.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

if TYPE_CHECKING:
    from tests.tune.clusters import Cluster

if "PYTEST_XDIST_WORKER" in os.environ:  # one core for each of the two
    os.environ.setdefault("OMP_NUM_THREADS", "1")

settings.register_profile("no deadline", deadline=None)  # a busy machine is no failure
settings.load_profile("no deadline")

# Where the two processes meet: the shortest of the files that start clusters.
_SHORT = ("benchmarks/test_startup", "cluster/test_slurm", "tune/running/test_scheduler", "tune/running/test_searcher")
_STANDING = "standing_cluster: "  # how a file's tests ask for it


@functools.cache
def _rank(file: Path) -> int:
    """Of a file in the list: 0 with clusters, 1 with clusters and short, 2 without."""
    if "mark.cluster" not in file.read_text(encoding="utf-8"):
        return 2
    return int(str(file.with_suffix("")).endswith(_SHORT))


@functools.cache
def _scope(file: Path) -> str:
    """Tests of one scope run in one process, one after the other: those of a file, and of all that share a cluster."""
    return _STANDING if _STANDING in file.read_text(encoding="utf-8") else str(file)


class _FromBothEnds(LoadScopeScheduling):
    """The first process takes scopes from the front of the list, others from its end."""

    def _split_scope(self, nodeid: str) -> str:
        return _scope(self.config.rootpath / nodeid.partition("::")[0])

    def _assign_work_unit(self, node: WorkerController) -> None:
        if node is not self.nodes[0]:
            self.workqueue.move_to_end(next(reversed(self.workqueue)), last=False)
        super()._assign_work_unit(node)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    """Used by ``--numprocesses``, as ``make test`` does."""
    return _FromBothEnds(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Clusters first, since they take longest."""
    items.sort(key=lambda item: _rank(item.path))


@pytest.fixture(scope="session")
def standing_cluster() -> Iterator[Cluster]:
    """One node with two CPUs, for commands that need no cluster of their own: starting one takes longer than a run on it."""
    from tests.tune.clusters import Cluster  # with what is not there where the tests of a GPU run

    with Cluster(WANDB_MODE="offline", WANDB_SILENT="true") as cluster:
        cluster.start_head(cpus=2)
        yield cluster
