"""The page docs/commands.md, from the parsers of ``pareto.py`` and ``litesnn``."""

from __future__ import annotations

import argparse
import re
from typing import Any

from litesnn import cli
from litesnn.options import _GROUP_TITLES as RECIPE_GROUPS
from tune import pareto

STEP = "`python -m docs` writes this page; a test holds it in step with the code."


def commands_page() -> str:
    """Every command of ``pareto.py`` and ``litesnn`` with all its options, as Markdown."""
    programs = {"tune/pareto.py": pareto._parser(), "litesnn": cli._parser()}
    commands = [
        (f"{program} {name}", _text_of(parser, name), command)
        for program, parser in programs.items()
        for name, command in _commands(parser).choices.items()
    ]
    first = commands[0][2]
    parts = ["# Commands and options\n", f"`--help` shows the same texts. {STEP}\n"]
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
