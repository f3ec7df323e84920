"""Decoding of many small files by a few threads, in order, with a count of what is done."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from torch import Tensor

from litesnn.checks import UnreadableError

Decode = Callable[[Sequence[Path]], Tensor]
"""Turns k files into a tensor [k, …], or fewer where it leaves some out."""

Progress = Callable[[int, int], None]
"""Called with (files done, files in all) now and then; a command can draw a bar with it."""

CHUNK = 256
THREADS = 4  # more only wait for each other where files are tiny: Python opens them one at a time


def decode_files(
    files: Sequence[Path],
    decode: Decode,
    progress: Progress | None = None,
    *,
    before: int = 0,
    total: int | None = None,
) -> Tensor:
    """Decodes ``files`` chunk by chunk.

    Args:
        files: what to decode, at least one.
        decode: called from several threads at once.
        progress: called in this thread after each chunk.
        before: files that earlier calls did, where several calls share one bar.
        total: files of all these calls; by default this call's own.

    Returns:
        [n, …] in the order of ``files``, without those that ``decode`` left out.

    Raises:
        InputError: whatever ``decode`` raises; of several bad files the first in order.
    """
    total = len(files) if total is None else total
    chunks = [files[start : start + CHUNK] for start in range(0, len(files), CHUNK)]
    decoded, done, kept = torch.empty(0), 0, 0
    with ThreadPoolExecutor(max_workers=min(THREADS, os.cpu_count() or 1)) as pool:
        parts = pool.map(decode, chunks)  # an error cancels the chunks that have not begun
        for chunk, part in zip(chunks, parts, strict=True):
            if len(part):
                if kept == 0:
                    decoded = part.new_empty((len(files), *part.shape[1:]))
                decoded[kept : kept + len(part)] = part
                kept += len(part)
            done += len(chunk)
            if progress is not None:
                progress(before + done, total)
    return decoded[:kept]


def leaving_out(decode: Decode, damaged: dict[Path, str]) -> Decode:
    """A decoder that leaves out what ``decode`` refuses.

    Args:
        decode: the decoder.
        damaged: gets the refused files and the reason of each, without the file's name.
    """

    def one(file: Path) -> Tensor | None:
        try:
            return decode([file])
        except UnreadableError as error:
            damaged[file] = str(error).removeprefix(f"{file}: ")
            return None

    def whole_ones(files: Sequence[Path]) -> Tensor:
        try:
            return decode(files)
        except UnreadableError:  # one by one, to find out which
            parts = [part for file in files if (part := one(file)) is not None]
            return torch.cat(parts) if parts else torch.empty(0)

    return whole_ones
