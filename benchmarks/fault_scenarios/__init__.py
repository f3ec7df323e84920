"""Faults, one after the other, on real Ray clusters of this machine; ``python -m benchmarks faults`` runs them."""
