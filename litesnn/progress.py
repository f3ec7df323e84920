"""Progress bars on the error stream, so that a command's output stays its output."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from litesnn.export.sizes import size_text
from litesnn.phase import EpochRecord, OnBatch


@contextmanager
def reading_bar() -> Iterator[Callable[[int, int], None]]:
    """Gives a callback (files done, files in all); small data sets never call it and show no bar."""
    bars = _bars()
    task: list[TaskID] = []

    def progress(done: int, total: int) -> None:
        if not task:
            bars.start()
            task.append(bars.add_task("read data", total=total))
        bars.update(task[0], completed=done)

    try:
        yield progress
    finally:
        if task:
            bars.stop()


@contextmanager
def training_bar(phase: str, epochs: int) -> Iterator[tuple[Callable[[EpochRecord], None], OnBatch]]:
    """A bar over all batches of a phase with an estimate of what is left, and a line per epoch."""
    with _bars() as bars:
        task = bars.add_task(phase, total=None)

        def on_batch(epoch: int, done: int, batches: int) -> None:
            bars.update(task, completed=epoch * batches + done, total=epochs * batches)

        def on_epoch(record: EpochRecord) -> None:
            bars.console.print(
                f"{record.phase} {record.epoch:>3}/{record.epochs}  loss {record.loss:.4f}  "
                f"validation {record.val_accuracy:.2f} %  {size_text(record.model_size_bits)} (Eq. 18)  "
                f"{record.bit_synops / 1e6:.3f} M Bit-SynOps  T {record.timesteps}  {record.seconds:.1f} s",
                highlight=False,
                soft_wrap=True,
            )

        yield on_epoch, on_batch


def _bars() -> Progress:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=Console(stderr=True, markup=False, emoji=False))
