"""Decoding of many small files by a few threads, in order, with a count of what is done."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from torch import Tensor

Progress = Callable[[int, int], None]
"""Called with (files done, files in all) now and then; a command can draw a bar with it."""

CHUNK = 256
THREADS = 4  # more only wait for each other where files are tiny: Python opens them one at a time


def decode_files(
    files: Sequence[Path],
    decode: Callable[[Sequence[Path]], Tensor],
    progress: Progress | None = None,
    *,
    before: int = 0,
    total: int | None = None,
) -> Tensor:
    """Decodes ``files`` chunk by chunk.

    Args:
        files: what to decode, at least one.
        decode: turns k files into a tensor [k, …]; called from several threads at once.
        progress: called in this thread after each chunk.
        before: files that earlier calls did, where several calls share one bar.
        total: files of all these calls; by default this call's own.

    Returns:
        [n, …] in the order of ``files``.

    Raises:
        InputError: whatever ``decode`` raises; of several bad files the first in order.
    """
    total = len(files) if total is None else total
    chunks = [files[start : start + CHUNK] for start in range(0, len(files), CHUNK)]
    decoded, done = torch.empty(0), 0
    with ThreadPoolExecutor(max_workers=min(THREADS, os.cpu_count() or 1)) as pool:
        for part in pool.map(decode, chunks):  # an error cancels the chunks that have not begun
            if done == 0:
                decoded = part.new_empty((len(files), *part.shape[1:]))
            decoded[done : done + len(part)] = part
            done += len(part)
            if progress is not None:
                progress(before + done, total)
    return decoded
