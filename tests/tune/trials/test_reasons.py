"""Reasons and notices: the sentences that people read, and the plain values that reports to Ray carry."""

import json

import pytest

from tune.trials.reasons import (
    Broken,
    CheckpointDamaged,
    Hung,
    Notice,
    Reason,
    Stopped,
    StorageDelayed,
    from_plain,
    sentence,
    to_plain,
)


@pytest.mark.parametrize(
    ("what", "text"),
    [
        (StorageDelayed(seconds=7.4, error="full"), "waited 7 s for the storage: full"),
        (StorageDelayed(seconds=1800, error="full", over=False), "waiting for the storage, 30 minutes at most: full"),
        (
            CheckpointDamaged(phase="retrain", epoch=0),
            "retrain: the newest checkpoint was damaged; the phase starts again",
        ),
        (
            CheckpointDamaged(phase="search", epoch=3),
            "search: the newest checkpoint was damaged; continued from the one before, epoch 3",
        ),
        (Stopped(phase="search", epoch=4, rank=2, of=7), "stopped at search epoch 4: rank 2 of 7"),
        (Hung(seconds=15.0), "hung: no report for 15 s"),
        (Broken(error="ValueError: too bad"), "ValueError: too bad"),
    ],
)
def test_sentences(what: Notice | Reason, text: str) -> None:
    assert sentence(what) == text


def test_notices_survive_a_report() -> None:
    delayed, damaged = StorageDelayed(seconds=7.4, error="full"), CheckpointDamaged(phase="search", epoch=3)
    assert to_plain(delayed) == {"kind": "storage_delayed", "seconds": 7.4, "error": "full", "over": True}
    assert [from_plain(json.loads(json.dumps(to_plain(notice)))) for notice in (delayed, damaged)] == [delayed, damaged]
