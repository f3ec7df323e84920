"""Early stopping in Ray Tune: passes reports to the rule of ``tune.running.halving`` and its verdicts back.

Ray does not save a scheduler's state. Here it is a function of the trials' records on disk: it is read from there before
the first decision, in a fresh process, after ``Tuner.restore`` or when a command is repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from tune.running.facts import TrialJudged
from tune.running.halving import Entry, Halving, Rung, Rungs
from tune.trials.reasons import Stopped

Records = Callable[[], Mapping[str, Sequence[Mapping[str, Any]]]]
"""All epoch records on disk by the name of their trial, in the order of the epochs; must pickle."""

_PHASES = ("search", "retrain")
_START = (0, 0)  # phase and epoch before the first report


class ParetoScheduler(FIFOScheduler):
    """Stops trials that are far from the front; starts them in the order in which they come.

    A network that started from another one's weights has fewer epochs. It stands on no rung and is never stopped.

    Args:
        halving: the rule's settings.
        records: called before the first decision.
        tell: is told every verdict; must pickle.
    """

    _supports_buffered_results = False  # a trial that runs ahead of its verdict spends what stopping would save

    def __init__(self, halving: Halving, records: Records, tell: Callable[[TrialJudged], Any] | None = None) -> None:
        super().__init__()
        self.halving, self.records, self.tell = halving, records, tell
        self._rungs: Rungs | None = None
        self._reached: dict[str, tuple[int, int]] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Without the rungs: the records on disk are newer than any pickle."""
        return {**self.__dict__, "_rungs": None, "_reached": {}}

    def set_search_properties(self, metric: str | None, mode: str | None, **spec: Any) -> bool:
        """There is no single metric; Ray refuses a ``TuneConfig`` that names one."""
        return metric is None and mode is None

    @property
    def rungs(self) -> Rungs:
        """The entries so far; reads the records on disk where that has not been done."""
        if self._rungs is None:
            found = self.records()
            self._rungs = Rungs(self.halving)
            for trial, records in found.items():
                for record in records if _are_readable(records) else ():
                    self._advance(trial, record)
        return self._rungs

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Records a report and decides.

        A trial that continues from a checkpoint reports its last record again. If there are later records of it, it was
        let through before; if it stands on a rung, the verdict may never have been carried out, and is given now.
        """
        if "phase" not in result or "trial" not in result:
            return TrialScheduler.CONTINUE
        name, here = result["trial"], _place(result)
        rungs = self.rungs  # before the report: a disk read first may hold it already
        again = self._reached.get(name) == here
        passed = self._advance(name, result)
        if again:
            passed = [rung for rung in rungs.entries if rung == (result["phase"], result["epoch"])]
        if not passed:
            return TrialScheduler.CONTINUE
        verdict = rungs.judge(passed[-1], name)
        stopped = None
        if not verdict.goes_on:
            stopped = Stopped(phase=result["phase"], epoch=int(result["epoch"]), rank=verdict.rank, of=verdict.of)
        if self.tell is not None:
            self.tell(TrialJudged(name=name, stopped=stopped))
        return TrialScheduler.CONTINUE if stopped is None else TrialScheduler.STOP

    def debug_string(self) -> str:
        """One line for Ray's own reporter; reads nothing."""
        entries = self._rungs.entries if self._rungs else {}
        filled = ", ".join(f"{phase} {epoch}: {len(found)}" for (phase, epoch), found in entries.items())
        return f"Halving over {filled or 'no rungs yet'}"

    def _advance(self, trial: str, record: Mapping[str, Any]) -> list[Rung]:
        """Moves a trial to a record and returns the rungs that it has passed by that, each with its entry now.

        Rungs of the same phase count: a retrained network's accuracy is no entry for the search.
        """
        before, here = self._reached.get(trial, _START), _place(record)
        whole = {"search": self.halving.search_epochs, "retrain": self.halving.retrain_epochs}[record["phase"]]
        if here <= before or record.get("epochs", whole) < whole:
            return []
        self._reached[trial] = here
        since = before[1] if before[0] == here[0] else 0
        assert self._rungs is not None
        passed = [rung for rung in self._rungs.entries if rung[0] == record["phase"] and since < rung[1] <= here[1]]
        for rung in passed:
            self._rungs.record(rung, trial, _entry(record))
        return passed


def _are_readable(records: Sequence[Mapping[str, Any]]) -> bool:
    """Whether records on disk have what the rule needs; a damaged file must not stop the run."""
    try:
        return all(_place(record) > _START and len(_entry(record)) == 3 for record in records)
    except (KeyError, TypeError, ValueError):
        return False


def _place(record: Mapping[str, Any]) -> tuple[int, int]:
    """Phase and epoch of a record, in the order of time."""
    return _PHASES.index(record["phase"]), int(record["epoch"])


def _entry(record: Mapping[str, Any]) -> Entry:
    size = record["size_bits"] if record.get("size_bits") is not None else record["model_size_bits"]
    return float(record["val_accuracy"]), float(size), float(record["bit_synops"])
