"""``litesnn-pareto``, the command ``python tune/pareto.py`` for an environment without a checkout.

A wheel carries the package ``tune`` inside this one, where it is in nobody's way: other programs of the environment that import a
``tune`` of their own do not see it. This command's own processes, and the workers that Ray starts for it, look here first.
"""

import sys
from pathlib import Path

_HERE = Path(__file__).parent


def admit() -> None:
    """Lets this process import ``tune`` from the wheel; in a checkout it lies beside this package and nothing is to be done."""
    if (_HERE / "tune").is_dir() and str(_HERE) not in sys.path:
        sys.path.insert(0, str(_HERE))


def main() -> int:
    """Entry point of the console script; returns the exit code."""
    admit()
    from tune.pareto import command

    return command()
