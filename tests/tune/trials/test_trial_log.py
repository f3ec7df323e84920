"""The lines of a trial: few however many epochs, and what they say."""

import re

import pytest

from litesnn.phase import EpochRecord
from tune.trials.trial_log import TrialLog


def record(epoch: int, epochs: int) -> EpochRecord:
    return EpochRecord(
        phase="search",
        epoch=epoch,
        epochs=epochs,
        loss=2.3456,
        val_accuracy=12.345,
        model_size_bits=8000,
        bit_synops=3e6,
        timesteps=2,
        seconds=1.234,
    )


@pytest.mark.parametrize("epochs", [1, 7, 10, 33, 600])
def test_at_most_ten_lines_a_phase_evenly_spread_with_the_last_epoch(epochs: int) -> None:
    lines: list[str] = []
    log = TrialLog("point", lines.append)
    for epoch in range(1, epochs + 1):
        log.epoch(record(epoch, epochs))
    told = [int(line.split("search ")[1].split("/")[0]) for line in lines]
    assert len(told) == min(epochs, 10) and told[-1] == epochs
    steps = [after - before for before, after in zip([0, *told], told, strict=False)]
    assert max(steps) - min(steps) <= 1


def test_what_the_lines_say() -> None:
    lines: list[str] = []
    log = TrialLog("point", lines.append)
    log.started([], "here")
    log.broken_off()
    log.epoch(record(3, 4))
    log.broken_off()
    log.started([record(1, 4).to_dict(), record(3, 4).to_dict()], "there")
    log.ended({"status": "finished", "reason": "", "test_accuracy": 98.765})
    log.ended({"status": "diverged", "reason": "the loss became nan in search epoch 4"})
    log.ended(None)
    assert all(re.match(r"\d\d:\d\d:\d\d point: ", line) for line in lines)
    assert [line.partition(" point: ")[2] for line in lines] == [
        "starts on here",
        "ended early after no epoch, by the rule or with the run",
        "search 3/4: loss 2.346, 12.35 % validation, 1.00 kB, 3.00 M Bit-SynOps, T 2, 1.23 s",
        "ended early after search 3/4, by the rule or with the run",
        "continues after search epoch 3 on there",
        "finished: 98.77 % test",
        "diverged: the loss became nan in search epoch 4",
        "ended without an outcome",
    ]
