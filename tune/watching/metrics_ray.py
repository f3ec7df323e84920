"""Says the metrics of ``tune.watching.metrics`` from the driver, through Ray: nothing per batch, and nothing from the trials.

Ray exports what was said every ten seconds and once more when the driver ends. A gauge that is not said again is gone
twenty seconds later: here they are repeated while the run lasts, so none goes on telling of one that is over or was
killed. Counters stay, as those of Prometheus do.
"""

from __future__ import annotations

import time
from typing import Any

from ray.util import metrics as ray_metrics

from tune.watching.ledger import Ledger
from tune.watching.metrics import COUNTER, GAUGE, METRICS, Metric

_SECONDS_BETWEEN_REPEATS = 1.0


class Metrics:
    """Says how the ledger of a run stands; the label ``experiment`` is the name of its folder."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.experiment = ledger.folder.name.encode("ascii", "backslashreplace").decode()  # Ray takes no others
        self.made: dict[str, Any] = {metric.name: _made(metric) for metric in METRICS}
        self._counted: dict[tuple[str, ...], Any] = {}
        self._repeated = 0.0

    def repeat(self) -> None:
        """Says everything again, whether or not anything has happened, if it was not said within the last second."""
        if time.monotonic() - self._repeated >= _SECONDS_BETWEEN_REPEATS:
            self.say()

    def say(self) -> None:
        """Says gauges as they are, and of counters and histograms what has come since they were said last."""
        self._repeated = time.monotonic()
        for metric in METRICS:
            made = self.made[metric.name]
            for values, value in metric.series(self.ledger).items():
                labels = dict(zip(metric.labels, (self.experiment, *values), strict=True))
                before = self._counted.get((metric.name, *values), 0)
                if metric.kind == GAUGE:
                    made.set(value, labels)
                elif metric.kind == COUNTER:  # begins at 0, else Prometheus takes the first count for no increase
                    made._record(float(value - before), labels)  # ``inc`` refuses that 0
                    self._counted[metric.name, *values] = value
                else:
                    for observed in value[before:]:
                        made.observe(observed, labels)
                    self._counted[metric.name, *values] = len(value)


def _made(metric: Metric) -> Any:
    if metric.kind == GAUGE:
        return ray_metrics.Gauge(metric.name, metric.help, metric.labels)
    if metric.kind == COUNTER:
        return ray_metrics.Counter(metric.name, metric.help, metric.labels)
    return ray_metrics.Histogram(metric.name, metric.help, list(metric.boundaries), metric.labels)
