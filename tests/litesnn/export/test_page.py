"""docs/export.md is enough to read a packed file: a reader made of it finds what ours finds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from litesnn.export.reader import parse
from litesnn.operations import OPERATIONS
from tests.litesnn.export.old_file import old_network
from tests.litesnn.export.page_reader import read_file
from tests.litesnn.export.test_format2 import OTHERS, drawn


@pytest.mark.parametrize(
    "network",
    [
        None,
        {"p": 0, "bits": (2, 3), "dataset": "folder:own"},
        {"p": 99.5, "widths": (2, 4), "tau": 0.1 + 0.2},
        {"input_skip": "conv1x1", "precision": "bf16", "nodes": 1},
        {"p": 80, "mask_n": 1},
        {"p": 97.3, "mask_n": 3, "widths": (2, 4)},
        {"cell": OTHERS, "operations": OPERATIONS},
        {"cell": OTHERS, "operations": OPERATIONS, "p": 60, "mask_n": 2},
    ],
    ids=str,
)
def test_a_reader_made_of_the_page(network: dict[str, Any] | None) -> None:
    content = (old_network() if network is None else drawn(**network)).to_bytes()
    packed, found = parse(content), read_file(content)
    head, recipe = found["head"], packed.recipe
    assert (head["channels_in"][0], head["height"][0], head["width"][0]) == recipe.input_shape
    assert (head["p"][0], head["tau"][0], head["v_threshold"][0]) == (
        packed.genotype["p"],
        recipe.tau,
        recipe.v_threshold,
    )
    names = head["class_name"] if head["named"][0] else list(map(str, range(recipe.classes)))
    assert tuple(names) == packed.classes and head["timesteps"][0] == packed.plan.timesteps
    assert all(map(np.array_equal, found["codes"], packed.codes))
    assert np.array_equal(np.float32(found["steps"]), packed.steps)
    assert all(np.array_equal(np.float32(a), b) for a, b in zip(found["scales"], packed.scale, strict=False))
    assert all(map(np.array_equal, found["biases"], packed.bias))
    assert np.array_equal(np.float32(head["mean"]), packed.mean) and np.array_equal(np.float32(head["std"]), packed.std)
    assert np.array_equal(np.float32(head["rates"]), packed.rates)
