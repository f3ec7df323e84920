"""``litesnn search | retrain | evaluate | describe | export | run``: one network at a time, without a cluster.

Only the options are here: what needs torch is loaded when a command that needs it runs.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from litesnn import __version__
from litesnn.options import OneLineParser, add_point_options, add_recipe_options, exit_code
from litesnn.streams import accept_all_text


def main(arguments: list[str] | None = None) -> int:
    """Entry point of the ``litesnn`` command; reads the command line if None and returns the exit code."""
    accept_all_text()
    args = _parser().parse_args(arguments)
    return exit_code(lambda: _run(args), "litesnn")


def _run(args: argparse.Namespace) -> None:
    if args.command == "run":
        from litesnn.export.run import run

        return run(args)
    if args.command == "export":
        from litesnn.export.command import export

        return export(args)
    from litesnn import commands

    return getattr(commands, f"run_{args.command}")(args)


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(prog="litesnn", description="Search, retrain and inspect one small spiking network.")
    parser.add_argument("--version", action="version", version=f"litesnn {__version__}")
    commands = parser.add_subparsers(required=True, metavar="search | retrain | evaluate | describe | export | run")

    one = commands.add_parser("search", help="search a network for one point (λ1, λ2, p)")
    add_point_options(one)
    _add_run_options(one, "genotype.json, recipe.json and the search's checkpoint")
    one.set_defaults(command="search")

    one = commands.add_parser("retrain", help="train a genotype from scratch and test it")
    one.add_argument("genotype", type=Path, help="genotype.json; a recipe.json beside it replaces the preset")
    _add_run_options(one, "model.safetensors, result.json and the checkpoint")
    one.set_defaults(command="retrain", preset=None)

    one = commands.add_parser("evaluate", help="classify a data set with a trained model")
    one.add_argument("model", type=Path, help="model.safetensors, or a packed .lsnn file")
    one.add_argument("--split", choices=("train", "val", "test"), default="test", help="split to read (default: test)")
    one.add_argument("--dataset", help="another data set of the same classes and shape, such as folder:PATH")
    _add_machine_options(one)
    one.set_defaults(command="evaluate")

    one = commands.add_parser("describe", help="draw a network's cell; its bits, T, sizes, operations and energy")
    one.add_argument("network", type=Path, help="genotype.json, model.safetensors or a packed .lsnn file")
    one.add_argument(
        "--spike-rate", metavar="R", default="1", help="rate assumed for a genotype alone (default: 1, an upper bound)"
    )
    add_recipe_options(one)
    one.set_defaults(command="describe", preset=None)

    one = commands.add_parser("export", help="write a trained model as a file for elsewhere, with its model card")
    one.add_argument(
        "model", type=Path, help="model.safetensors; a result.json beside it fills the card; or a .lsnn file"
    )
    one.add_argument(
        "--format", help="lsnn (packed, for litesnn run), nir, onnx or c (default: the ending of -o, or lsnn)"
    )
    one.add_argument(
        "--scales",
        default="exact",
        help="exact (default), or fp16: scales and biases rounded to 11 bits; says how many classes that changes",
    )
    one.add_argument("-o", "--out", metavar="FILE", help="file to write (default: model.FORMAT beside the model)")
    one.set_defaults(command="export")

    one = commands.add_parser("run", help="classify one file with a packed model, in integer additions, and count them")
    one.add_argument("model", type=Path, help="model.lsnn, from litesnn export")
    one.add_argument("input", help="an image, or a clip, of any size")
    one.add_argument("--top", type=int, default=3, help="how many classes to show (default: 3)")
    one.set_defaults(command="run")
    return parser


def _add_run_options(parser: argparse.ArgumentParser, writes: str) -> None:
    parser.add_argument("--out", type=Path, help=f"folder for {writes} (default: a named one below ~/litesnn-results)")
    parser.add_argument("--seed", type=int, default=0, help="seed of initial values and shuffling (default: 0)")
    _add_machine_options(parser)
    add_recipe_options(parser)


def _add_machine_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: auto)")
    parser.add_argument("--threads", type=int, help="CPU threads (default: all cores)")
    parser.add_argument("--data-root", help="where data sets lie (default: ~/.cache/litesnn)")
    parser.add_argument("--download", action="store_true", help="download a missing data set")
    parser.add_argument("--skip-damaged", action="store_true", help="leave out own files that cannot be read")


if __name__ == "__main__":
    raise SystemExit(main())
