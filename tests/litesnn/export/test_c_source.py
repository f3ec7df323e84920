"""The network in C: the reference runtime's spikes and scores, compiled without a warning."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from litesnn.checks import InputError
from litesnn.export.c_source import c_files
from litesnn.export.packed import Packed
from litesnn.export.runtime import Runtime
from litesnn.export.trim import trim
from litesnn.operations import OPERATIONS
from tests.litesnn.export.old_file import old_network
from tests.litesnn.export.test_format2 import OTHERS, drawn

FLAGS = ["-std=c99", "-Os", "-Wall", "-Wextra", "-Werror"]
needs_gcc = pytest.mark.skipif(shutil.which("gcc") is None, reason="no gcc")


def written(packed: Packed, folder: Path) -> Path:
    files = c_files(packed, "net.h")
    (folder / "net.h").write_text(files.header)
    (folder / "net.c").write_text(files.source)
    return folder / "net.c"


def compare(packed: Packed, pixels: Any, folder: Path) -> int:
    """Checks spikes and scores of every image; returns the number of neuron updates compared."""
    source = written(packed, folder)
    subprocess.run(["gcc", *FLAGS, "-shared", "-fPIC", source, "-o", folder / "net.so"], check=True)
    library = ctypes.CDLL(str(folder / "net.so"))
    (trimmed, alive), plan = trim(packed), packed.plan
    bits = plan.timesteps * sum(int(m.sum()) * r.size[0] * r.size[1] for m, r in zip(alive, plan.rows, strict=True))
    memory = (ctypes.c_uint8 * max(1, -(-bits // 8))).in_dll(library, "lsnn_spikes")
    scores, runtime = (ctypes.c_int32 * packed.recipe.classes)(), Runtime(trimmed)
    height, width = plan.layers[-1].in_size
    factor = float(packed.steps[-1]) / 2 / (height * width * plan.timesteps)
    for image in pixels:
        answer = runtime(((image.astype(np.float32) / np.float32(255)) - packed.mean) / packed.std)
        best = library.lsnn_classify(np.ascontiguousarray(image).tobytes(), scores)
        expected = [row[:, marks].ravel() for row, marks in zip(answer.spikes, alive, strict=True)]
        got = np.unpackbits(np.frombuffer(memory, np.uint8), bitorder="little")[:bits]
        assert np.array_equal(got, np.concatenate(expected))
        np.testing.assert_allclose(np.array(scores) * factor, answer.scores, rtol=1e-12)
        assert best == answer.scores.argmax()
    return bits * len(pixels)


@needs_gcc
def test_two_hundred_digits(tmp_path: Path) -> None:
    from sklearn.datasets import load_digits

    images = np.rint(load_digits().images[:200, None] * 255 / 16).astype(np.uint8)
    assert compare(old_network(), images, tmp_path) > 500_000


@needs_gcc
@pytest.mark.parametrize(
    "network",
    [
        {"input_shape": (3, 5, 6), "p": 50},
        {"input_shape": (1, 7, 5), "tau": 0.75, "widths": (2, 4), "p": 0},
        {"input_shape": (3, 4, 4), "input_skip": "conv1x1", "nodes": 1, "retrain_channels": 5, "search_channels": 5},
        {"input_shape": (3, 5, 6), "cell": OTHERS, "operations": OPERATIONS},
    ],
    ids=str,
)
def test_other_shapes(network: dict[str, Any], tmp_path: Path) -> None:
    packed = drawn(**network)
    pixels = np.random.default_rng(0).integers(0, 256, (5, *packed.recipe.input_shape), dtype=np.uint8)
    assert compare(packed, pixels, tmp_path) > 0


@pytest.mark.skipif(shutil.which("arm-none-eabi-gcc") is None, reason="no arm-none-eabi-gcc")
def test_a_microcontrollers_compiler(tmp_path: Path) -> None:
    source, size = written(old_network(), tmp_path), c_files(old_network(), "net.h")
    target = ["-mcpu=cortex-m4", "-mthumb", "-c", "-o", tmp_path / "net.o"]
    subprocess.run(["arm-none-eabi-gcc", *FLAGS, *target, source], check=True)
    symbols = subprocess.run(
        ["arm-none-eabi-nm", tmp_path / "net.o"], capture_output=True, text=True, check=True
    ).stdout
    unknown = {line.split()[-1] for line in symbols.splitlines() if " U " in line}
    assert unknown <= {"__aeabi_ldivmod"}  # a 64-bit division, of the compiler's own library
    sizes = subprocess.run(
        ["arm-none-eabi-size", tmp_path / "net.o"], capture_output=True, text=True, check=True
    ).stdout
    text, data, bss = map(int, sizes.splitlines()[1].split()[:3])
    assert text <= size.table_bytes + 3000 and data == 0 and bss <= size.ram_bytes + 4


def test_what_c_cannot_hold_is_refused() -> None:
    with pytest.raises(InputError, match="model: expected a network of images for C"):
        c_files(drawn(), "net.h")
