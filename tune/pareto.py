"""``python tune/pareto.py``: trains a network for each of many points as Ray Tune trials and shows their Pareto front."""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any

from litesnn import __version__
from litesnn.checks import fail
from litesnn.options import OneLineParser, add_options, add_recipe_options, exit_code, option_name
from litesnn.streams import accept_all_text
from tune.running.program import program_name
from tune.running.settings import GROUPS, OF_POLISH, Settings

_COMMANDS = {
    "run": "Trains a network for every point and shows the front; runs if no command is named.",
    "status": "How far an experiment is, while it runs or after.",
    "report": "Writes the tables, plots and the page of an experiment anew.",
    "merge": "One report of several experiments on the same data.",
    "pick": "The best network within limits of size, computation and accuracy; exit code 1 if none fits.",
    "polish": "Retrains the networks of an experiment's front for more epochs, without searching again.",
    "serve": "A live web page of all experiments: during a run, after it, without Ray.",
}
_DESCRIPTION = "Explores accuracy against model size and Bit-SynOps of spiking networks.\n\ncommands:\n" + "\n".join(
    f"  {name:<8}{text[0].lower()}{text[1:].rstrip('.')}" for name, text in _COMMANDS.items()
)
_USUALLY = " (default: fixed for the default points of the small presets, darts as soon as an option asks for a search)"
_EXAMPLES = {
    "": "default points on handwritten digits",
    "--search tpe --num-points 40": "40 points, chosen from results",
    "--preset cifar10-small --dataset folder:PATH": "own images, of any size",
    "status --name digits": "how far it is",
    "serve": "the same live, in a browser",
}


def main(arguments: list[str] | None = None) -> int:
    """Entry point; reads the command line if ``arguments`` is None and returns the exit code."""
    accept_all_text()
    args = _parser().parse_args(_with_command(sys.argv[1:] if arguments is None else arguments))
    return exit_code(lambda: _dispatch(args), program_name())


def command() -> int:
    """The program as a process of its own: prepares it, then as ``main``."""
    prepare()
    return main()


def prepare() -> None:
    """Sets what Ray reads from the environment, some of it when it is loaded; what is set already stays."""
    # Ray's own notices about its future are for its developers.
    os.environ.setdefault("RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS", "0")
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")  # with verbose=0 the older reporter leaves the screen to us
    # MLflow's notices to its makers are not ours to send.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")  # trials write their own records; see --log


def _with_command(arguments: list[str]) -> list[str]:
    """``run`` is what the program does when no command is named, and its help is that of the program."""
    if arguments and arguments[0] in _COMMANDS:
        return arguments
    return ["run", *arguments]


def _dispatch(args: argparse.Namespace) -> None:
    for name, value in vars(args).items():
        if (value == "" and name != "search_dataset") or (isinstance(value, list) and "" in value):
            raise fail(name.replace("_", "-"), "a value", "")
    if args.command == "run":
        from tune.run import run  # Ray takes seconds to load, and the other commands do without it

        run(args)
    elif args.command == "serve":
        from tune.views.dashboard.serve import serve

        serve(args)
    elif args.command == "polish":
        from tune.polish import polish

        polish(args)
    else:
        from tune import reading

        getattr(reading, args.command)(args)


def _parser() -> argparse.ArgumentParser:
    program = program_name()
    parser = OneLineParser(prog=program)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser(
        "run",
        prog=program,
        usage=f"{program} [run] [options]\n       {program} status | report | merge | pick | polish | serve --help",
        description=_DESCRIPTION,
        epilog=_examples(program),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    run.add_argument("--version", action="version", version=f"litesnn {__version__}")
    add_options(run, Settings, GROUPS)
    add_recipe_options(run, {"strategy": _USUALLY})

    _add_place(_reader(commands, "status"))
    command = _reader(commands, "report")
    _add_place(command)
    _add_compare(command)

    command = _reader(commands, "merge")
    command.add_argument("experiments", nargs="+", metavar="EXPERIMENT", help="names within --storage, or paths")
    _add_storage(command)
    command.add_argument("--out", required=True, metavar="NAME", help="name within --storage, or path, of the result")
    _add_compare(command)

    command = _reader(commands, "pick")
    _add_place(command)
    command.add_argument("--max-size", metavar="SIZE", help="largest model size (kept weights alone), such as 0.6MB")
    command.add_argument(
        "--max-file", metavar="SIZE", help="largest packed file, such as 40kB: what a device must hold"
    )
    command.add_argument("--max-bit-synops", metavar="COUNT", help="most Bit-SynOps per sample, such as 300M")
    command.add_argument("--min-accuracy", metavar="PERCENT", help="least validation accuracy, such as 90")
    command.add_argument("--sure", action="store_true", help="only networks of points that are on the front for sure")
    command.add_argument("--json", action="store_true", help="print JSON")
    _add_polish(_reader(commands, "polish"))
    _add_serve(_reader(commands, "serve"))
    return parser


def _add_polish(command: argparse.ArgumentParser) -> None:
    _add_place(command)
    command.add_argument("--epochs", required=True, metavar="N", help="epochs of the new retraining")
    command.add_argument("--out", metavar="NAME", help="name of the new experiment (default: NAME-EPOCHS)")
    command.add_argument("--sure", action="store_true", help="only networks of points that are on the front for sure")
    for name in OF_POLISH:
        field = Settings.__dataclass_fields__[name]
        text = field.metadata["help"].replace("%", "%%")
        if name == "skip_damaged":
            command.add_argument(option_name(name), action="store_true", default=None, help=text)
        elif name != "storage":
            command.add_argument(option_name(name), metavar=field.metadata.get("metavar", "N"), help=text)


def _add_serve(command: argparse.ArgumentParser) -> None:
    _add_storage(command)
    command.add_argument(
        "--host", default="127.0.0.1", help="address to listen on; others need a token (default: 127.0.0.1)"
    )
    command.add_argument("--port", default="8266", metavar="N", help="port; 0 for a free one (default: 8266)")
    command.add_argument(
        "--token-file",
        metavar="FILE",
        help="file with the token that every request must bring; or set LITESNN_DASHBOARD_TOKEN (default: none)",
    )
    command.add_argument(
        "--interval", metavar="SECONDS", help="time between two looks at the storage (default: 1, a bucket's: 10)"
    )


def _examples(program: str) -> str:
    width = max(map(len, _EXAMPLES))
    lines = [f"  {program} {options:<{width}}  {text}" for options, text in _EXAMPLES.items()]
    return "\n".join(["examples:", *lines])


def _reader(commands: Any, name: str) -> argparse.ArgumentParser:
    """A command that only reads what ``run`` has left."""
    parser: argparse.ArgumentParser = commands.add_parser(name, description=_COMMANDS[name])
    return parser


def _add_place(command: argparse.ArgumentParser) -> None:
    _add_storage(command)
    command.add_argument(
        "--name", default="digits", metavar="NAME", help="name within --storage, or path (default: digits)"
    )


def _add_compare(command: argparse.ArgumentParser) -> None:
    command.add_argument("--compare", metavar="SOURCE", help=Settings.__dataclass_fields__["compare"].metadata["help"])


def _add_storage(command: argparse.ArgumentParser) -> None:
    place = Settings.storage
    command.add_argument(
        "--storage",
        default=place,
        metavar="PLACE",
        help=f"folder of all experiments, or s3://BUCKET/PATH (default: {place})",
    )


if __name__ == "__main__":
    raise SystemExit(command())
