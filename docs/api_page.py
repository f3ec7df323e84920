"""The page docs/api.md, from the signatures and docstrings of ``litesnn``."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import textwrap
from typing import Any

import litesnn
from docs.commands_page import STEP
from litesnn import additions, cost, energy

_COUNTS = (
    additions.count_additions,
    additions.additions_per_sample,
    cost.energy_mj,
    energy.Energy,
    energy.energy_with_bits,
    energy.energy_by_layer,
)
_WIDEST = 110  # characters of a signature on one line


def api_page() -> str:
    """The public names of ``litesnn``, and what counts additions and energy, as Markdown."""
    parts = ["# Python reference\n", f"[python.md](python.md) shows how to use these names. {STEP}\n"]
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
        parts.append(f"### `{name.rpartition('.')[2]}.{member}`\n")
        if not isinstance(value, property):
            parts.append(_signature(function))
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
