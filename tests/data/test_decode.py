"""Decoding in chunks by threads: order, progress and which error comes first."""

import threading
import time
from pathlib import Path

import pytest
import torch

from litesnn.checks import InputError
from litesnn.data.decode import decode_files

FILES = [Path(str(number)) for number in range(10)]


@pytest.fixture(autouse=True)
def _chunks_of_three(monkeypatch):
    monkeypatch.setattr("litesnn.data.decode.CHUNK", 3)


def _number(files):
    time.sleep(0.02 if files[0] == FILES[0] else 0)  # the first chunk ends last
    return torch.tensor([[int(file.name)] * 2 for file in files], dtype=torch.uint8)


def test_results_keep_the_order_of_the_files():
    decoded = decode_files(FILES, _number)
    assert decoded.dtype == torch.uint8
    assert decoded.tolist() == [[number, number] for number in range(10)]


def test_progress_counts_files_in_the_calling_thread():
    seen = []
    decode_files(FILES, _number, lambda done, total: seen.append((done, total, threading.current_thread())))
    assert seen == [(done, 10, threading.main_thread()) for done in (3, 6, 9, 10)]


def test_several_calls_share_one_count():
    seen = []
    decode_files(FILES[:4], _number, lambda *counts: seen.append(counts), before=6, total=20)
    assert seen == [(9, 20), (10, 20)]


def test_of_several_bad_files_the_first_in_order_is_named():
    def decode(files):
        for file in files:
            if int(file.name) in (4, 5, 9):
                time.sleep(0.02 if file.name == "4" else 0)
                raise InputError(f"{file}: bad")
        return _number(files)

    with pytest.raises(InputError, match="^4: bad$"):
        decode_files(FILES, decode)
