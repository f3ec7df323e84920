"""``python -m benchmarks NAME …`` runs one benchmark; without a name it lists them."""

import sys
from importlib import import_module
from pathlib import Path

from benchmarks import record
from litesnn.streams import accept_all_text


def modules() -> dict[str, str]:
    """Every benchmark's name and its module: those files here that are run, not imported alone."""
    found = {
        path.stem: f"benchmarks.{path.stem}"
        for path in Path(__file__).parent.glob("*.py")
        if path.stem != "__main__" and "\n    python -m benchmarks" in path.read_text(encoding="utf-8")
    }
    return dict(sorted(found.items()))


def main(arguments: list[str]) -> int:
    """Runs the benchmark that the first argument names with the rest, or lists all with their first lines."""
    accept_all_text()
    names = modules()
    if arguments and arguments[0] in names:
        module = import_module(names[arguments[0]])
        if hasattr(module, "main"):
            return int(module.main(arguments[1:]))
        return record.run(module, arguments[1:])
    if arguments and arguments[0] not in ("-h", "--help"):
        print(f"benchmarks: expected one of {', '.join(names)}, got {arguments[0]!r}", file=sys.stderr)
        return 2
    for name, module_name in names.items():
        print(f"{name:16}{record.first_line(import_module(module_name))}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
