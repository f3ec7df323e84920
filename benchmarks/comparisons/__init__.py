"""The comparisons that the paper makes, over runs of our own: commands with a record each, ``python -m benchmarks NAME``."""
