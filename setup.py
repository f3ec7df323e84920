"""Which packages an installation has; everything else is in pyproject.toml.

A wheel has two top-level names, ``litesnn`` and ``litesnn_pareto``: ``tune`` goes inside the second (see there), and ``benchmarks``
stays in the checkout. An editable installation has all packages as they lie here.
"""

import sys

from setuptools import find_packages, setup

if "editable_wheel" in sys.argv:
    setup(packages=find_packages(include=["litesnn*", "tune*", "benchmarks*"]))
else:
    service = [f"litesnn_pareto.{name}" for name in find_packages(include=["tune", "tune.*"])]
    setup(packages=[*find_packages(include=["litesnn*"]), *service], package_dir={"litesnn_pareto.tune": "tune"})
