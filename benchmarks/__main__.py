"""``python -m benchmarks NAME …`` runs one benchmark; without a name it lists them."""

import sys
from importlib import import_module
from pathlib import Path

_PARTS = set("__init__ __main__ jelly machine naive plots record sides stopping_rules targets work".split())
"""Modules that benchmarks are made of."""


def main(arguments: list[str]) -> int:
    """Runs the benchmark that the first argument names with the rest, or lists all with their first lines."""
    names = sorted(p.stem for p in Path(__file__).parent.glob("*.py") if p.stem not in _PARTS)
    if arguments and arguments[0] in names:
        return int(import_module(f"benchmarks.{arguments[0]}").main(arguments[1:]) or 0)
    if arguments and arguments[0] not in ("-h", "--help"):
        print(f"benchmarks: expected one of {', '.join(names)}, got {arguments[0]!r}", file=sys.stderr)
        return 2
    for name in names:
        first = (import_module(f"benchmarks.{name}").__doc__ or "").partition("\n")[0]
        print(f"{name:16}{first}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
