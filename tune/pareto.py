"""``python tune/pareto.py``: searches and retrains many points as Ray Tune trials and shows their Pareto front."""

from __future__ import annotations

import argparse
import os
import sys

from litesnn.checks import fail
from litesnn.options import OneLineParser, add_options, add_recipe_options, exit_code
from tune.settings import GROUPS, Settings

_COMMANDS = ("run", "status", "report", "merge", "pick")
_DESCRIPTION = "Explores accuracy against model size and Bit-SynOps of spiking networks."
_EXAMPLES = """examples:
  pareto.py                                        the default points on real handwritten digits
  pareto.py --search tpe --num-points 40           40 points chosen from the results so far
  pareto.py --preset cifar10-small --data-root ~/data --dataset folder:~/data/cifar10 --seeds 3
  pareto.py status --name digits                   how far it is; report, pick and merge read the same files
"""


def main(arguments: list[str] | None = None) -> int:
    """Entry point; reads the command line if ``arguments`` is None and returns the exit code."""
    args = _parser().parse_args(_with_command(sys.argv[1:] if arguments is None else arguments))
    return exit_code(lambda: _dispatch(args), "pareto.py")


def _with_command(arguments: list[str]) -> list[str]:
    """``run`` is what the program does when no command is named."""
    if arguments and arguments[0] in (*_COMMANDS, "-h", "--help"):
        return arguments
    return ["run", *arguments]


def _dispatch(args: argparse.Namespace) -> None:
    for name, value in vars(args).items():
        if value == "" and name not in ("search_dataset",):
            raise fail(name.replace("_", "-"), "a value", "")
    if args.command == "run":
        from tune.run import run  # Ray takes seconds to load, and the other commands do without it

        run(args)
    else:
        from tune import reading

        getattr(reading, args.command)(args)


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(
        prog="pareto.py",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar=" | ".join(_COMMANDS))
    command = commands.add_parser("run", help="search and retrain every point, then show the front (default)")
    add_options(command, Settings, GROUPS)
    add_recipe_options(command)

    command = commands.add_parser("status", help="how far an experiment is, while it runs or after")
    _add_place(command)
    command = commands.add_parser("report", help="write the tables, plots and the page of an experiment anew")
    _add_place(command)

    command = commands.add_parser("merge", help="one report of several experiments on the same data")
    command.add_argument("experiments", nargs="+", metavar="EXPERIMENT", help="names within --storage, or paths")
    command.add_argument("--storage", default="~/litesnn-results", help="folder of all experiments")
    command.add_argument("--out", required=True, metavar="NAME", help="name within --storage, or path, of the result")

    command = commands.add_parser("pick", help="the best network within limits of size, computation and accuracy")
    _add_place(command)
    command.add_argument("--max-size", metavar="SIZE", help="largest model size, such as 0.6MB or 40kB")
    command.add_argument("--max-bit-synops", metavar="COUNT", help="most Bit-SynOps per sample, such as 300M")
    command.add_argument("--min-accuracy", metavar="PERCENT", help="least validation accuracy, such as 90")
    command.add_argument("--json", action="store_true", help="print JSON")
    return parser


def _add_place(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--storage", default="~/litesnn-results", help="folder of all experiments, or s3://BUCKET/PATH"
    )
    command.add_argument("--name", default="digits", help="the experiment's name (default: digits)")


if __name__ == "__main__":
    # Ray's own notices about its future are for its developers.
    os.environ.setdefault("RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS", "0")
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")  # with verbose=0 the older reporter leaves the screen to us
    os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")  # trials write their own records; see --log
    raise SystemExit(main())
