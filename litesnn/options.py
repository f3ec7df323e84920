"""Command-line options derived from the dataclasses, and a parser whose every complaint is one line."""

import argparse
import dataclasses
import os
import re
import sys
import typing
from collections.abc import Callable, Mapping
from typing import Any, Literal, NoReturn

from litesnn.checks import InputError, fail, user_path
from litesnn.config import PAPER_POINTS, Recipe, SearchPoint
from litesnn.nearest import hint
from litesnn.presets import PRESETS

LARGEST_SIDE = 4096
_GROUP_TITLES = {
    "data": "data (recipe)",
    "network": "network (recipe)",
    "training": "training, in search and retraining alike (recipe)",
    "search": "search (recipe)",
    "retrain": "retraining (recipe)",
}


class OneLineParser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the usage text, and exits with code 2."""

    def error(self, message: str) -> NoReturn:
        """Ends the program, with a guess at what an unknown command was to be."""
        unknown = re.search(r"invalid choice: '(.*?)'", message)
        if unknown:
            message += hint(unknown[1], self._commands())
        self.exit(2, f"{self.prog}: {message}\n")

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse does, with a guess at what an unknown option or command was to be."""
        found, rest = self.parse_known_args(args, namespace)
        if rest:
            words = sys.argv[1:] if args is None else args
            commands = self._commands()
            parser = next((commands[word] for word in words if word in commands), self)
            known = [*parser._option_string_actions, *commands]
            parser.error(f"unrecognized arguments: {' '.join(rest)}{hint(rest[0].partition('=')[0], known)}")
        return found

    def _commands(self) -> dict[str, argparse.ArgumentParser]:
        """The commands below this parser by name."""
        chosen = [action.choices for action in self._actions if isinstance(action, argparse._SubParsersAction)]
        return dict(chosen[0]) if chosen else {}


def option_name(field: str) -> str:
    """``retrain_epochs`` to ``--retrain-epochs``."""
    return "--" + field.replace("_", "-")


def add_recipe_options(parser: argparse.ArgumentParser, notes: Mapping[str, str] | None = None) -> None:
    """One option per field of ``Recipe``, grouped; what is not given keeps the preset's value.

    Args:
        parser: where to add them.
        notes: what to add to the help text of some fields.
    """
    names = ", ".join(PRESETS)
    parser.add_argument(
        "--preset", default="digits", help=f"{names}: the values that recipe options not given have (default: digits)"
    )
    parser.add_argument(
        "--image-size", metavar="N|HxW", help="height and width that own images get, such as 64 or 48x64 (the preset's)"
    )
    add_options(parser, Recipe, _GROUP_TITLES, notes)


def add_options(
    parser: argparse.ArgumentParser, kind: type, titles: dict[str, str], notes: Mapping[str, str] | None = None
) -> None:
    """One option per field of a dataclass.

    Args:
        parser: where to add them.
        kind: the dataclass; a field's metadata has its ``group`` and its ``help`` text.
        titles: title of every group, in the order of the help page.
        notes: what to add to the help text of some fields.
    """
    hints = typing.get_type_hints(kind)
    groups = {name: parser.add_argument_group(title) for name, title in titles.items()}
    for field in dataclasses.fields(kind):
        group, note = groups[field.metadata["group"]], (notes or {}).get(field.name, "")
        text = (field.metadata["help"] + note).replace("%", "%%")
        hint = hints[field.name]
        if hint is bool:
            group.add_argument(option_name(field.name), action=argparse.BooleanOptionalAction, default=None, help=text)
            continue
        metavar = field.metadata.get("metavar", _metavar(hint, field.name))
        group.add_argument(option_name(field.name), metavar=metavar, help=text)


def _metavar(hint: Any, name: str) -> str:
    """What stands for the value in the help page."""
    if typing.get_origin(hint) is Literal:
        return "|".join(typing.get_args(hint))
    if typing.get_origin(hint) is tuple:
        return "A,B,…"
    return {int: "N", float: "X"}.get(hint, name.upper())


def given_options(args: argparse.Namespace, kind: type, dashed: bool = False) -> dict[str, Any]:
    """Values of those options of a dataclass that were given, read as the fields' types say; ranges are its business.

    Args:
        args: what the parser read.
        kind: the dataclass.
        dashed: whether complaints name the option (``num-points``) or the field (``num_points``), as the dataclass does.

    Raises:
        InputError: a value that is no number, or an empty list.
    """
    hints = typing.get_type_hints(kind)
    given = {field.name: getattr(args, field.name) for field in dataclasses.fields(kind)}
    return {
        name: value
        if isinstance(value, bool)
        else _read(name.replace("_", "-") if dashed else name, value, hints[name])
        for name, value in given.items()
        if value is not None
    }


def recipe_from(args: argparse.Namespace, base: dict[str, Any] | None = None) -> Recipe:
    """The recipe that the options describe: those given replace values of the preset, or of ``base`` if there is one.

    Where a folder of own data is named, it is looked at: its classes are counted unless their number is given.

    Raises:
        InputError: unknown preset, a value that is no number or outside its range, or an unfit folder.
    """
    overrides = given_options(args, Recipe)
    before = Recipe.preset(args.preset) if base is None else Recipe.from_dict(base)
    size = getattr(args, "image_size", None)
    if size is not None:
        if "input_shape" in overrides:
            raise fail("image-size", "it or --input-shape, not both", size)
        overrides["input_shape"] = (before.input_shape[0], *_read_size(size))
    folders = {}
    for name in ("dataset", "search_dataset"):
        given = overrides.get(name, "")
        if given.startswith("folder:") and given != "folder:":
            # Absolute, since recipes are kept in files that are read from other folders.
            folders[name] = str(user_path(name, given.removeprefix("folder:")).absolute())
            overrides[name] = f"folder:{folders[name]}"
    if folders:
        overrides |= _fields_of_folders(folders, before, overrides, bool(getattr(args, "skip_damaged", False)))
    return Recipe.from_dict({**before.to_dict(), **overrides})


def _fields_of_folders(
    folders: dict[str, str], before: Recipe, given: dict[str, Any], skip_damaged: bool
) -> dict[str, Any]:
    """Fields of the recipe that follow from folders and are not given."""
    from litesnn.data.own import fields_of_folder  # needs torch, which those who name a folder need in any case

    found: dict[str, Any] = {}
    if "dataset" in folders:
        found = fields_of_folder(folders["dataset"], before, given, skip_damaged)
        if "search_dataset" not in given:  # what the preset searches on has nothing to do with it
            found |= {"search_dataset": "", "search_classes": 0}
    if "search_dataset" in folders:
        counted = fields_of_folder(folders["search_dataset"], before, given, skip_damaged)
        if "search_classes" not in given and "classes" in counted:
            found["search_classes"] = counted["classes"]
    return found


def _read_size(text: str) -> tuple[int, int]:
    """``64`` or ``48x64`` as height and width."""
    parts = text.lower().split("x")
    if not 1 <= len(parts) <= 2 or not all(part.isdecimal() and 0 < int(part) <= LARGEST_SIDE for part in parts):
        raise fail("image-size", f"N or HEIGHTxWIDTH, such as 64 or 48x64, at most {LARGEST_SIDE}", text)
    return int(parts[0]), int(parts[-1])


def add_point_options(parser: argparse.ArgumentParser) -> None:
    """``--point`` for the paper's own points, or ``--lambda1 --lambda2 --p``."""
    group = parser.add_argument_group("point")
    group.add_argument(
        "--point", help=f"one of the paper's: {', '.join(PAPER_POINTS)}; lambda1, lambda2 and p for CIFAR"
    )
    group.add_argument("--lambda1", metavar="λ1", help="weight of the memory term, per bit (default: 0)")
    group.add_argument("--lambda2", metavar="λ2", help="weight of the computation term, per bit-SynOp (default: 0)")
    group.add_argument("--p", metavar="P", help="percent pruned, 0 <= p < 100 (default: 50)")


def point_from(args: argparse.Namespace) -> SearchPoint:
    """The point that the options describe.

    Raises:
        InputError: unknown name, a value that is no number or outside its range.
    """
    base = SearchPoint.named(args.point) if args.point else SearchPoint(lambda1=0, lambda2=0, p=50)
    given = {name: getattr(args, name) for name in ("lambda1", "lambda2", "p") if getattr(args, name) is not None}
    values: dict[str, Any] = {name: read_number(name, text) for name, text in given.items()}
    return dataclasses.replace(base, **values)


def read_number(field: str, text: str) -> float:
    """``text`` as a float; anything else is refused by name."""
    try:
        return float(text)
    except ValueError:
        raise fail(field, "a number", text) from None


def read_integer(field: str, text: str) -> int:
    """``text`` as an int; anything else is refused by name."""
    try:
        return int(text)
    except ValueError:
        raise fail(field, "an integer", text) from None


def _read(field: str, text: str, hint: Any) -> Any:
    """Reads one recipe value; ranges are the recipe's own business."""
    if typing.get_origin(hint) is tuple and str in typing.get_args(hint):
        parts = tuple(text.replace(",", " ").split())
        if not parts:
            raise fail(field, "one or more names, separated by commas", text)
        return parts
    if typing.get_origin(hint) is tuple:
        return tuple(read_integer(field, part) for part in text.replace(",", " ").split())
    if hint is int:
        return read_integer(field, text)
    return read_number(field, text) if hint in (float, float | None) else text


def _known_reason(error: BaseException) -> str | None:
    """One line for errors that are outcomes of what was asked for; None for faults of the program."""
    from litesnn.objective import DivergedError  # needs torch, which has been loaded by whatever raised

    if isinstance(error, DivergedError):
        return f"diverged: {error}"
    if isinstance(error, MemoryError) or "allocate memory" in str(error) or "out of memory" in str(error):
        return "not enough memory for this recipe; try a smaller batch, fewer channels or fewer timesteps"
    return None


def exit_code(main: Callable[[], None], program: str) -> int:
    """Runs a command.

    Bad input becomes one line and code 2, divergence or lack of memory code 1, Ctrl-C code 130, a reader that has seen
    enough, such as ``head``, code 141.
    """
    try:
        main()
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains at its end
        return 141
    except InputError as error:
        print(f"{program}: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        place = error.filename if error.filename is not None else "a file"
        print(f"{program}: {place}: expected a place that can be used, got {error.strerror or error}", file=sys.stderr)
        return 2
    except (MemoryError, RuntimeError) as error:
        reason = _known_reason(error)
        if reason is None:
            raise
        print(f"{program}: {reason}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"{program}: interrupted; the same command continues from the last finished epoch", file=sys.stderr)
        return 130
    return 0
