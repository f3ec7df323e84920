"""The list of trials that wait for one another, without a cluster and on one."""

from typing import Any

import pytest
from ray.tune.search import Searcher

from litesnn.config import SearchPoint
from tune.plan.points import Trial
from tune.running.waiting import WaitingList

TRIALS = [
    Trial(point=SearchPoint(lambda1=0, lambda2=0, p=0, held_bits=bits, held_timesteps=1), seed=0) for bits in (4, 2, 1)
]
ROOT, CHILD, GRANDCHILD = (trial.name for trial in TRIALS)


def waiting_list(**options: Any) -> WaitingList:
    return WaitingList(**{"trials": TRIALS, "parents": {CHILD: ROOT, GRANDCHILD: CHILD}, "config": vars, **options})


@pytest.mark.parametrize("error", [False, True])
def test_a_trial_waits_until_its_parent_is_over_whatever_came_of_it(error: bool) -> None:
    found = waiting_list()
    assert found.suggest("a")["seed"] == 0 and found.suggest("b") is None
    found.on_trial_complete("a", error=error)
    assert found.suggest("b")["point"].held_bits == 2 and found.suggest("c") is None
    found.on_trial_complete("unknown")
    assert found.suggest("c") is None
    found.on_trial_complete("b", error=error)
    assert found.suggest("c")["point"].held_bits == 1 and found.suggest("d") == Searcher.FINISHED


def test_others_go_ahead_of_one_that_waits() -> None:
    found = waiting_list(parents={CHILD: ROOT})
    assert [found.suggest(name)["point"].held_bits for name in "ab"] == [4, 1] and found.suggest("c") is None


def test_nobody_waits_for_a_parent_that_is_over_before() -> None:
    found = waiting_list(trials=TRIALS[1:])
    assert found.suggest("a")["point"].held_bits == 2
