"""What differs between two runs of the same trial."""

TIMES = {
    "seconds",
    "core_seconds",
    "search_seconds",
    "retrain_seconds",
    "search_core_seconds",
    "retrain_core_seconds",
    "ended_at",
}
"""Durations in records and rows, and when a trial ended."""
