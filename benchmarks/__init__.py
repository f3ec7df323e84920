"""What is measured, and against what; results are kept as data in ``benchmarks/results``."""
