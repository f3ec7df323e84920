"""Writes docs/commands.md and docs/api.md anew, from the parsers and from the docstrings.

python -m docs.reference
"""

from __future__ import annotations

import argparse
import ast
import dataclasses
import inspect
import re
import textwrap
from pathlib import Path
from typing import Any

import litesnn
from litesnn import additions, cli, cost, energy
from litesnn.files import write_text
from litesnn.options import _GROUP_TITLES as RECIPE_GROUPS
from tune import pareto

HERE = Path(__file__).parent
_STEP = "`python -m docs.reference` writes this page; a test holds it in step with the code."
_COUNTS = (
    additions.count_additions,
    additions.additions_per_sample,
    cost.energy_mj,
    energy.Energy,
    energy.energy_with_bits,
    energy.energy_by_layer,
)
_WIDEST = 110  # characters of a signature on one line


def commands_page() -> str:
    """Every command of ``pareto.py`` and ``litesnn`` with all its options, as Markdown."""
    programs = {"tune/pareto.py": pareto._parser(), "litesnn": cli._parser()}
    commands = [
        (f"{program} {name}", _text_of(parser, name), command)
        for program, parser in programs.items()
        for name, command in _commands(parser).choices.items()
    ]
    first = commands[0][2]
    parts = ["# Commands and options\n", f"`--help` shows the same texts. {_STEP}\n"]
    for name, text, command in commands:
        parts += [f"## `{name}`\n", f"{text}.\n", *_tables(command, set(RECIPE_GROUPS.values()))]
        if any(group.title in RECIPE_GROUPS.values() for group in command._action_groups):
            parts.append("The [recipe options](#recipe-options) are options of this command too.\n")
    others = {str(group.title) for group in first._action_groups} - set(RECIPE_GROUPS.values())
    parts += ["## Recipe options\n", "A recipe option that is not given has the value of the preset.\n"]
    return "\n".join([*parts, *_tables(first, others)])


def _commands(parser: argparse.ArgumentParser) -> Any:
    """The action that holds a program's commands."""
    return next(action for action in parser._actions if isinstance(action, argparse._SubParsersAction))


def _text_of(parser: argparse.ArgumentParser, name: str) -> str:
    """What a command does, in one sentence without its full stop."""
    helps = {choice.dest: choice.help for choice in _commands(parser)._choices_actions}
    text = str(helps.get(name) or pareto._COMMANDS[name]).rstrip(".")
    return text[0].upper() + text[1:]


def _tables(command: argparse.ArgumentParser, without: set[str]) -> list[str]:
    """One table for each group of a command's options."""
    parts = []
    for group in command._action_groups:
        rows = [_row(action) for action in group._group_actions if not isinstance(action, argparse._HelpAction)]
        if rows and group.title not in without:
            parts += [f"**{group.title}**\n", "| option | meaning |", "|---|---|", *rows, ""]
    return parts


def _row(action: argparse.Action) -> str:
    value = action.metavar or "|".join(map(str, action.choices or ())) or action.dest.upper()
    if not action.option_strings:
        shown = str(action.metavar or action.dest)
    else:
        shown = ", ".join(action.option_strings) + ("" if action.nargs == 0 else f" {value}")
    return f"| `{_cell(shown)}` | {_cell((action.help or '').replace('%%', '%'))} |"


def _cell(text: str) -> str:
    return re.sub(r"\s+", " ", text).replace("|", "\\|").replace("*", "\\*").strip()


def api_page() -> str:
    """The public names of ``litesnn``, and what counts additions and energy, as Markdown."""
    parts = ["# Python reference\n", f"[python.md](python.md) shows how to use these names. {_STEP}\n"]
    for name in litesnn.__all__:
        parts += _entry(f"litesnn.{name}", getattr(litesnn, name))
    parts.append("# Additions and energy\n")
    for thing in _COUNTS:
        parts += _entry(f"{thing.__module__}.{thing.__name__}", thing)
    return "\n".join(parts)


def _entry(name: str, thing: Any) -> list[str]:
    """A function, or a class with its public methods."""
    parts = [f"## `{name}`\n"]
    if inspect.isfunction(thing):
        return [*parts, _signature(thing), _markdown(thing)]
    parts.append(_markdown(thing))
    if thing is litesnn.Recipe:
        parts.append("Each field is one of the [recipe options](commands.md#recipe-options).\n")
    fields = {field.name for field in dataclasses.fields(thing)} if dataclasses.is_dataclass(thing) else set()
    for member, value in vars(thing).items():
        function = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
        if member.startswith("_") or member in fields or not inspect.isfunction(function):
            continue
        shown = f"`{member}`\n" if isinstance(value, property) else _signature(function)
        parts += [f"### `{name.rpartition('.')[2]}.{member}`\n", *([] if isinstance(value, property) else [shown])]
        parts.append(_markdown(function))
    return parts


def _signature(function: Any) -> str:
    """As it is written in the source, without ``self``; a long one has a line for each argument."""
    (node,) = ast.parse(textwrap.dedent(inspect.getsource(function))).body
    assert isinstance(node, ast.FunctionDef)
    bound = [argument for argument in node.args.args if argument.arg in ("self", "cls")]
    node.args.args = [argument for argument in node.args.args if argument not in bound]
    node.decorator_list, node.body = [], [ast.Expr(ast.Constant(...))]
    text = ast.unparse(node).partition("\n")[0].removesuffix(":")
    if len(text) > _WIDEST:
        text = re.sub(r", (?=\w+:|\*)", ",\n    ", text).replace("(", "(\n    ", 1)
        text = re.sub(r"\) ->(?=[^()]*$)", "\n) ->", text)
    return f"```python\n{text}\n```\n"


def _markdown(thing: Any) -> str:
    """A docstring of Google style."""
    lines: list[str] = []
    listed = False
    for line in (inspect.getdoc(thing) or "").replace("``", "`").splitlines():
        if re.fullmatch(r"(Args|Returns|Raises):", line):
            listed = line != "Returns:"
            lines += [f"**{line[:-1]}**", ""]
        elif listed and re.match(r" {4}\S", line):
            name, _, meaning = line.strip().partition(": ")
            lines.append(f"- `{name.replace('*', '')}`: {meaning}" if meaning else line.strip())
        else:
            listed = listed and bool(line.strip() or not lines)
            lines.append(line.strip() if not listed else "  " + line.strip())
    return "\n".join(lines).replace("\n\n\n", "\n\n") + "\n"


if __name__ == "__main__":
    write_text(HERE / "commands.md", commands_page())
    write_text(HERE / "api.md", api_page())
