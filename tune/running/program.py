"""What this program is called: by its file in a checkout, by its console script elsewhere."""

import sys
from pathlib import Path

SCRIPT = "litesnn-pareto"


def is_script() -> bool:
    """Whether the console script is what runs."""
    return Path(sys.argv[0]).stem == SCRIPT


def program_name() -> str:
    """As messages and usage texts begin."""
    return SCRIPT if is_script() else "pareto.py"


def invocation() -> str:
    """As it is typed."""
    return SCRIPT if is_script() else "python tune/pareto.py"
