"""``litesnn export``: a trained network as a file for elsewhere, with its model card beside it."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from litesnn.checks import check_choice, user_path
from litesnn.config import Recipe
from litesnn.export.card import model_card, read_provenance
from litesnn.export.convert import pack
from litesnn.export.packed import Packed, read_packed
from litesnn.export.rounding import changes, round_scales
from litesnn.export.sizes import measure_sizes
from litesnn.export.trim import trim
from litesnn.files import write_bytes, write_text
from litesnn.model import Model

FORMATS = ("lsnn", "nir", "onnx", "c")


def read_network(path: Path) -> tuple[Packed, Recipe | None]:
    """A trained or a packed model as a packed network, without channels that make no difference, and its training's recipe.

    A packed file does not hold that recipe, nor does a network that was made of one.
    """
    if path.suffix == ".lsnn":
        return read_packed(path), None
    model = Model.load(path, torch.device("cpu"))
    return trim(pack(model))[0], None if model.network.stem_norm.folded else model.recipe


def export(args: argparse.Namespace) -> None:
    """Writes ``args.model`` as ``args.format`` to ``args.out``, and ``<out>.md``."""
    kind = check_choice("format", args.format or _kind(args.out), FORMATS)
    out = user_path("out", args.out) if args.out is not None else args.model.with_name(f"model.{kind}")
    packed, recipe = read_network(args.model)
    lines = []
    if check_choice("scales", args.scales, ("exact", "fp16")) == "fp16":
        exact, packed = packed, round_scales(packed)
        lines.append(("scales in fp16", changes(exact, packed)))
    content, beside = _content(packed, kind, out)
    card = model_card(packed, recipe, read_provenance(args.model), out.name, kind, len(content))
    write_bytes(out, content)
    for path, text in beside.items():
        write_text(path, text)
    write_text(out.with_name(out.name + ".md"), card)
    header = "".join(f", its header {path.name}" for path in beside)
    lines.insert(0, ("written", f"{out} ({len(content):,} bytes){header} and its card {out.name}.md"))
    lines += measure_sizes(packed).lines()
    width = max(len(name) for name, _ in lines)
    print("\n".join(f"{name:<{width}}  {value}" for name, value in lines))
    if kind == "lsnn":
        print(f"next: litesnn run {out} FILE")


def _content(packed: Packed, kind: str, out: Path) -> tuple[bytes, dict[Path, str]]:
    """What goes into ``out``, and texts beside it."""
    if kind == "lsnn":
        return packed.to_bytes(), {}
    if kind == "c":
        from litesnn.export.c_source import c_files

        header = out.with_suffix(".h")
        files = c_files(packed, header.name)
        print(
            f"flash: {files.table_bytes:,} bytes of tables and some 2 kB of code; RAM: {files.ram_bytes:,} bytes of spikes"
        )
        return files.source.encode(), {header: files.header}
    if kind == "nir":
        from litesnn.export.nir_graph import nir_bytes

        return nir_bytes(packed), {}
    from litesnn.export.onnx_graph import onnx_bytes

    return onnx_bytes(packed), {}


def _kind(out: str | None) -> str:
    """The format that the ending of a file asks for."""
    suffix = Path(out).suffix.removeprefix(".") if out is not None else ""
    return suffix if suffix in FORMATS else "lsnn"
