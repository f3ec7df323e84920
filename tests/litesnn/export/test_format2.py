"""The packed file: it holds the network to the last bit, near its bound, and nothing big comes from something small."""

from __future__ import annotations

import json
import math
import tracemalloc
import zlib
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from litesnn.checks import InputError
from litesnn.config import Recipe
from litesnn.export import writer
from litesnn.export.coder import Encoder
from litesnn.export.file_layout import DENSE_WEIGHTS_PER_BYTE
from litesnn.export.packed import Packed, read_packed
from litesnn.export.plan import Layer, make_plan
from litesnn.export.runtime import Runtime
from litesnn.export.sizes import measure_sizes
from litesnn.export.trim import trim
from litesnn.kept import kept_count, mask_groups
from litesnn.operations import OPERATIONS
from tests.litesnn.export.old_file import inputs, old_network

MUTANTS = 2000
SLACK = 50_000  # bytes that reading takes for whatever file: the recipe, the plan, models that learn


OTHERS: list[list[list[Any]]] = [[[0, "conv1x1"], [1, "dwconv3x3"]], [[1, "dwconv3x3"], [2, "dwconv3x3"]]]
"""A cell of operations beyond the paper's."""


def drawn(
    seed: int = 0, p: float = 80, bits: tuple[int, ...] = (4, 1), cell: list[Any] | None = None, **changes: Any
) -> Packed:
    """A network at random; all channels fire and are read, or nearly so."""
    shape = {"input_shape": (2, 5, 6), "classes": 3, "widths": (1, 2), "nodes": 2, "retrain_channels": 8}
    recipe = Recipe(**{**shape, "search_channels": 8, "aux_cell": 0, "crop_padding": 0, "timesteps": 2, **changes})
    nodes = cell or [[[0, "conv3x3"], [1, "skip"]], [[1, "conv3x3"], [2, "skip"]]]
    genotype = {"nodes": nodes[: recipe.nodes], "bits": list(bits), "timesteps": recipe.timesteps, "p": p}
    plan, draw = make_plan(recipe, genotype), np.random.default_rng(seed)
    codes = []
    for layer in plan.layers:
        flat = np.zeros(layer.weights, np.int8)
        groups = mask_groups(layer.weights, kept_count(layer.weights, p), layer.mask_n)
        kept = np.concatenate([start + draw.choice(end - start, few, replace=False) for start, end, few in groups])
        flat[kept] = 2 * draw.integers(0, 1 << layer.bits, len(kept)) - ((1 << layer.bits) - 1)
        codes.append(dense(flat, layer))
    ones = np.ones((recipe.input_shape[0], 1, 1), np.float32)
    return Packed(
        recipe=recipe,
        genotype=genotype,
        classes=tuple(f"class {k} ñ\n" for k in range(recipe.classes)),
        codes=tuple(codes),
        steps=draw.uniform(0.1, 0.2, len(plan.layers)).astype(np.float32),
        scale=tuple(draw.uniform(0.5, 2, layer.outputs).astype(np.float32) for layer in plan.layers[:-1]),
        bias=tuple(draw.normal(0.4, 0.1, row.channels).astype(np.float32).astype(np.float64) for row in plan.rows),
        mean=0.3 * ones,
        std=0.7 * ones,
        rates=(draw.integers(0, 65536, (len(plan.rows), recipe.timesteps)) / 65535).astype(np.float32),
    )


def dense(flat: Any, layer: Layer) -> Any:
    """Codes of the weights that there are, ``[O, I / groups, K, K]``, with zeros for those between groups."""
    inputs = layer.inputs // layer.groups
    small, whole = flat.reshape(layer.outputs, inputs, layer.kernel, layer.kernel), np.zeros(layer.shape, flat.dtype)
    for out in range(layer.outputs):
        first = out // (layer.outputs // layer.groups) * inputs
        whole[out, first : first + inputs] = small[out]
    return whole


def read(content: bytes, path: Path) -> Packed:
    path.write_bytes(content)
    return read_packed(path)


def sealed(content: bytes) -> bytes:
    """With a checksum that is right, as somebody with bad intentions would write it."""
    return content[:-4] + zlib.crc32(content[:-4]).to_bytes(4, "little")


def same(one: Packed, other: Packed) -> bool:
    arrays = [(*p.codes, p.steps, *p.scale, *p.bias, p.mean, p.std, p.rates) for p in (one, other)]
    return (one.classes, one.genotype) == (other.classes, other.genotype) and all(map(np.array_equal, *arrays))


@pytest.mark.parametrize(
    "network",
    [
        {},
        {"p": 0, "bits": (2, 3)},
        {"p": 99.5},
        {"p": 83.17264, "tau": 0.1 + 0.2, "v_threshold": 1 / 3, "split_seed": 2**40},
        {"dataset": "speech_commands", "precision": "bf16", "input_skip": "conv1x1", "widths": (2, 2)},
        {"tau": 1.0, "input_shape": (1, 1, 1)},
        {"dataset": "folder:things"},
        {"mask_n": 1},
        {"mask_n": 2, "p": 50, "bits": (1, 1)},
        {"mask_n": 3, "p": 97.3},
        {"mask_n": 16, "p": 10},
        {"mask_n": 1, "p": 99.95},
        {"cell": [[[0, "conv1x1"], [1, "skip"]], [[0, "conv1x1"], [2, "conv1x1"]]], "operations": OPERATIONS},
        {"cell": OTHERS, "operations": OPERATIONS, "widths": (2, 4), "p": 90, "bits": (2, 2)},
        {"cell": OTHERS, "operations": OPERATIONS, "mask_n": 1, "p": 70},
        {"cell": OTHERS, "operations": OPERATIONS, "mask_n": 3, "p": 0},
    ],
    ids=str,
)
def test_there_and_back(network: dict[str, Any], tmp_path: Path) -> None:
    packed = drawn(**network)
    content = packed.to_bytes()
    again = read(content, tmp_path / "m")
    assert same(again, trim(packed)[0]) and again.to_bytes() == content
    for name in ("dataset", "input_shape", "widths", "tau", "precision", "val_fraction", "split_seed", "mask_n"):
        assert getattr(again.recipe, name) == getattr(packed.recipe, name), name
    x = np.random.default_rng(1).normal(size=packed.recipe.input_shape).astype(np.float32)
    before, after = Runtime(packed)(x), Runtime(again)(x)
    assert np.array_equal(before.scores, after.scores)


def test_a_trained_network_answers_the_same(tmp_path: Path) -> None:
    packed = old_network()
    _, alive = trim(packed)
    before, after = Runtime(packed), Runtime(read(packed.to_bytes(), tmp_path / "m"))
    for x in inputs(20):
        one, other = before(x), after(x)
        assert np.array_equal(one.scores, other.scores)
        rows = zip(one.spikes, other.spikes, alive, strict=True)
        assert all(np.array_equal(spikes[:, marks], again[:, marks]) for spikes, again, marks in rows)


def test_every_field_of_the_network_is_stored_or_of_no_use_to_inference() -> None:
    """A new field has to be put into the file, or into this list with a reason."""
    # The search's width and candidates, the surrogate, where training starts, what chose the masks.
    of_no_use = {"search_channels", "bit_widths", "operations", "dspike_b", "norm_weight"}
    names = {f.name for f in fields(Recipe) if f.metadata["group"] == "network"} - of_no_use
    changes: dict[str, Any] = {
        "widths": (2, 4),
        "nodes": 1,
        "retrain_channels": 4,
        "stem_bits": 3,
        "classifier_bits": 2,
        "input_skip": "conv1x1",
        "timesteps": 3,
        "tau": 0.25,
        "v_threshold": 0.75,
        "precision": "bf16",
        "mask_n": 2,
    }
    assert names == set(changes), "decide whether the packed file has to hold it"
    changes |= {"test_fraction": 0.3, "logit_scale": 4.0, "resize": "none"}
    plain = drawn().to_bytes()
    assert all(drawn(**{name: value}).to_bytes() != plain for name, value in changes.items())


@pytest.mark.parametrize(("p", "bits"), [(0, 4), (0, 1), (50, 2), (80, 4), (95, 1), (99, 4)])
def test_close_to_the_bound(p: float, bits: int) -> None:
    """Kept weights at their bits and random masks: nothing is lost on top, and the rest stays small."""
    packed = drawn(p=p, bits=(bits, bits), retrain_channels=24, nodes=2)
    sizes = measure_sizes(packed)
    assert sizes.parts["positions"] + sizes.parts["codes"] <= 1.01 * sizes.bound + 200
    filled = max(0, packed.plan.weights / 64 - sum(list(sizes.parts.values())[:-1]) / 8)  # only at p = 99
    assert sizes.parts["header"] + sizes.parts["frame"] <= 8 * (40 + filled)
    assert sum(sizes.parts.values()) == pytest.approx(sizes.file)
    if p == 0:
        assert sizes.parts["positions"] == 0
    assert sizes.file < sizes.dense + 8 * 4 * 2 * sum(row.channels for row in packed.plan.rows) + 8 * 200


def test_codes_that_are_all_alike_take_some_room_all_the_same(tmp_path: Path) -> None:
    packed = drawn(p=0, bits=(4, 4), retrain_channels=64)
    packed = replace(packed, codes=tuple(np.ones_like(codes) for codes in packed.codes))
    content = packed.to_bytes()
    assert same(read(content, tmp_path / "m"), packed)
    assert 4 * len(content) >= packed.plan.weights * 4 / 8


def test_every_mutant_is_refused_or_the_same(tmp_path: Path) -> None:
    """Bits flipped, bytes cut, doubled and zeroed: the checksum finds them all, before anything is made of them."""
    whole, draw = old_network().to_bytes(), np.random.default_rng(0)
    for mutant in mutants(whole, draw, MUTANTS // 2):
        if mutant != whole:
            refused(mutant, tmp_path / "m")


@pytest.mark.parametrize(
    ("network", "version", "count"),
    [
        (None, 2, MUTANTS // 2),
        ({"mask_n": 1}, 3, MUTANTS // 5),
        ({"cell": OTHERS, "operations": OPERATIONS}, 4, MUTANTS // 5),
    ],
    ids=str,
)
def test_no_mutant_with_a_right_checksum_crashes_or_takes_memory(
    network: dict[str, Any] | None, version: int, count: int, tmp_path: Path
) -> None:
    packed = old_network() if network is None else drawn(**network)
    whole, draw = packed.to_bytes(), np.random.default_rng(1)
    assert whole[4] == version
    between_groups = DENSE_WEIGHTS_PER_BYTE if version >= 4 else 0
    read(whole, tmp_path / "m")
    accepted = 0
    for number, mutant in enumerate(mutants(whole, draw, count)):
        (tmp_path / "m").write_bytes(sealed(mutant))
        if number % 10 == 0:  # watching memory takes most of this test's time
            tracemalloc.start()
        try:
            packed = read_packed(tmp_path / "m")
        except InputError as error:
            assert str(error).startswith("model: expected ") and len(str(error).splitlines()) == 1
        else:
            accepted += 1
            kept = [kept_count(layer.weights, packed.genotype["p"]) for layer in packed.plan.layers]
            assert all(few <= many for few, many in zip(packed.kept, kept, strict=True))
        finally:
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
        assert peak <= (16 + between_groups) * len(mutant) + SLACK
    assert accepted > 10  # what is coded last may be anything


def mutants(whole: bytes, draw: np.random.Generator, count: int) -> Any:
    for number in range(count):
        content, place = bytearray(whole), int(draw.integers(len(whole)))
        if number % 2:  # near the front, where the sizes are
            place = int(draw.integers(5, 30))
        kind = number // 2 % 5
        if kind < 2:
            for _ in range(kind + 1):
                content[place] ^= 1 << int(draw.integers(8))
                place = int(draw.integers(len(whole)))
        elif kind == 2:
            content[place : place + 4] = draw.integers(0, 256, 4, dtype=np.uint8).tobytes()
        elif kind == 3:
            del content[place : place + int(draw.integers(1, 40))]
        else:
            content[place:place] = bytes(int(draw.integers(1, 40)))
        yield bytes(content)


def refused(content: bytes, path: Path) -> str:
    with pytest.raises(InputError, match=r"\Amodel: expected [^\n]+\Z") as error:
        read(content, path)
    return str(error.value)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(content=st.binary(max_size=300))
def test_anything_behind_a_right_frame(content: bytes, tmp_path: Path) -> None:
    for version in (b"\2", b"\3", b"\4", b"\5"):
        refused(sealed(b"LSNN" + version + content + bytes(4)), tmp_path / "m")


HUGE: dict[str, dict[str, Any]] = {
    "channels": {"retrain_channels": 2 * 10**9, "search_channels": 2 * 10**9},
    "image": {"input_shape": (1, 10**6, 10**6)},
    "planes": {"input_shape": (10**9, 8, 8)},
    "classes": {"classes": 10**12},
    "cells": {"widths": (1,) * 63},
    "widths": {"widths": tuple(2**i for i in range(1, 31))},
    "timesteps": {"timesteps": 10**15},
    "wide": {"retrain_channels": 1000, "search_channels": 1000},
    "between groups": {"retrain_channels": 1600, "search_channels": 1600, "operations": OPERATIONS},
}


def test_nm_masks_cost_what_their_groups_say(tmp_path: Path) -> None:
    free, grouped = (measure_sizes(drawn(mask_n=n, retrain_channels=24)) for n in (0, 1))
    assert grouped.paper == free.paper
    assert grouped.parts["positions"] == pytest.approx(math.log2(5) * grouped.kept, rel=0.02)
    assert free.parts["positions"] == pytest.approx(3.61 * free.kept, rel=0.02)  # H(0.2) / 0.2
    # a network with removed channels, whose groups are not whole any more
    packed = drawn(mask_n=2, p=50, retrain_channels=24)
    packed = replace(packed, bias=tuple(np.where(np.arange(len(b)) % 2, b, -100.0) for b in packed.bias))
    trimmed = trim(packed)[0]
    assert sum(trimmed.kept) < 0.7 * sum(packed.kept)
    assert same(read(packed.to_bytes(), tmp_path / "m"), trimmed)


def test_a_mask_in_another_pattern_is_refused() -> None:
    packed = drawn()
    recipe = replace(packed.recipe, mask_n=1)
    with pytest.raises(
        InputError, match=r"^model: expected a pruned network, got another number of weights in stem than "
    ):
        replace(packed, recipe=recipe).to_bytes()


@pytest.mark.parametrize("name", HUGE)
def test_huge_claims_take_no_memory(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A header that claims a giant, nothing of which is kept, before a small stream."""
    packed, depthwise = old_network(), "operations" in HUGE[name]
    recipe = replace(packed.recipe, **HUGE[name])
    genotype = {**packed.genotype, "bits": [1] * recipe.cells, "p": 99.999999, "timesteps": recipe.timesteps}
    if depthwise:
        genotype["nodes"] = [[[0, "dwconv3x3"], [1, "dwconv3x3"]], [[1, "dwconv3x3"], [2, "dwconv3x3"]]]
    coder = Encoder()
    claimed = replace(packed, recipe=recipe, genotype=genotype, classes=("a",) * 3)

    class Plan:
        timesteps = recipe.timesteps

    writer._header(coder, claimed, Plan)  # type: ignore[arg-type]
    content = sealed((b"LSNN\4" if depthwise else b"LSNN\2") + coder.finish() + bytes(1500) + bytes(4))
    tracemalloc.start()
    try:
        refused(content, tmp_path / "m")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 16 * len(content) + SLACK


def test_frames_of_others(tmp_path: Path) -> None:
    whole = old_network().to_bytes()
    assert "format 2 to 5 expected, not 6" in refused(sealed(whole[:4] + b"\6" + whole[5:]), tmp_path / "m")
    assert "checksum" in refused(whole[:-1], tmp_path / "m")
    for content in (b"", b"LSNN", json.dumps({"a": 1}).encode(), bytes(100)):
        refused(content, tmp_path / "m")
