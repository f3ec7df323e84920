"""Networks of the literature, for comparison: ``tune/results/published.csv``, each line with its source."""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path
from typing import Any

PATH = Path(__file__).with_name("published.csv")


@cache
def published() -> list[dict[str, Any]]:
    """One object per network: data set, method, test accuracy in percent, size in MB, Bit-SynOps in millions, source."""
    with PATH.open(encoding="utf-8", newline="") as file:
        return [
            {
                "dataset": row["dataset"],
                "method": row["method"],
                "accuracy": float(row["accuracy"]),
                "model_size_mb": _number(row["model_size_mb"]),
                "bit_synops_m": _number(row["bit_synops_m"]),
                "source": row["source"],
            }
            for row in csv.DictReader(file)
        ]


def _number(text: str) -> float | None:
    return float(text) if text else None
