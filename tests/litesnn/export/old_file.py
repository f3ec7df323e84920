"""A trained network as version 0.1 wrote it: digits, 8 channels, 2/3/1 bits, p = 80, three timesteps."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from litesnn.export.file_layout import Marks
from litesnn.export.packed import Packed, read_packed
from litesnn.export.runtime import Runtime

OLD_FILE = Path(__file__).with_name("data") / "format1.lsnn"


def old_network() -> Packed:
    return read_packed(OLD_FILE)


def inputs(count: int) -> Iterator[NDArray[np.float32]]:
    """Normalised digits ``[1, 8, 8]``, from the data set that scikit-learn brings along."""
    from sklearn.datasets import load_digits

    packed = old_network()
    for image in load_digits().images[:count]:
        pixels = np.rint(image[None] * 255 / 16).astype(np.float32) / np.float32(255)
        x: NDArray[np.float32] = (pixels - packed.mean) / packed.std
        yield x


def answers_alike(one: Packed, other: Packed, alive: tuple[Marks, ...], count: int = 12) -> int:
    """Asserts that two networks score alike and fire alike in the channels that are left; how many spikes that were."""
    before, after, fired = Runtime(one), Runtime(other), 0
    for x in inputs(count):
        first, second = before(x), after(x)
        assert np.array_equal(first.scores, second.scores)
        for spikes, again, marks in zip(first.spikes, second.spikes, alive, strict=True):
            assert np.array_equal(spikes[:, marks], again[:, marks])
            fired += int(spikes[:, marks].sum())
    return fired
