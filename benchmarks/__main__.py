"""``python -m benchmarks NAME …`` runs one benchmark; without a name it lists them."""

import sys
from importlib import import_module
from pathlib import Path

from litesnn.streams import accept_all_text

_PARTS = set(
    "__init__ __main__ clock jelly layers machine naive pictures plots record recordings repeats sides stand_in stopping_rules synthetic targets torch_snn work".split()
)
"""Modules that benchmarks are made of."""


def modules() -> dict[str, str]:
    """Every benchmark's name and its module: those here, and the paper's comparisons."""
    here = Path(__file__).parent
    found = {
        path.stem: ".".join(("benchmarks", *path.relative_to(here).with_suffix("").parts))
        for folder in (here, here / "comparisons")
        for path in folder.glob("*.py")
        if path.stem not in _PARTS
    }
    return dict(sorted(found.items()))


def main(arguments: list[str]) -> int:
    """Runs the benchmark that the first argument names with the rest, or lists all with their first lines."""
    accept_all_text()
    names = modules()
    if arguments and arguments[0] in names:
        return int(import_module(names[arguments[0]]).main(arguments[1:]) or 0)
    if arguments and arguments[0] not in ("-h", "--help"):
        print(f"benchmarks: expected one of {', '.join(names)}, got {arguments[0]!r}", file=sys.stderr)
        return 2
    for name, module in names.items():
        first = (import_module(module).__doc__ or "").partition("\n")[0]
        print(f"{name:16}{first}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
