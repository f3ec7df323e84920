"""Files that are no packed networks: one line each, whatever is wrong with them, and no memory beyond their size."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import save

from litesnn.checks import InputError
from litesnn.export.packed import Packed, _checksum, read_packed
from tests.litesnn.export.conftest import Trained

ONE_LINE = r"\Amodel: expected [^\n]+\Z"
fuzzed = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)


def refused(content: bytes, path: Path) -> str:
    path.write_bytes(content)
    with pytest.raises(InputError, match=ONE_LINE) as error:
        read_packed(path)
    return str(error.value)


def parts_of(path: Path) -> tuple[dict[str, str], dict[str, Any]]:
    with safe_open(path, framework="np") as file:
        return file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a dict)


def sealed(metadata: dict[str, str], tensors: dict[str, Any]) -> bytes:
    """A file with a checksum that is right, as somebody with bad intentions would write it."""
    metadata = {name: value for name, value in metadata.items() if name != "crc32"}
    return save(tensors, metadata | {"crc32": _checksum(metadata, tensors)})


@fuzzed
@given(share=st.floats(0, 1, exclude_max=True))
def test_truncated(share: float, trained: Trained, tmp_path: Path) -> None:
    whole = trained.packed_path.read_bytes()
    refused(whole[: int(share * len(whole))], tmp_path / "m")


@fuzzed
@given(flips=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 7)), min_size=1, max_size=3))
def test_flipped_bits(flips: list[tuple[float, int]], trained: Trained, tmp_path: Path) -> None:
    whole = bytearray(trained.packed_path.read_bytes())
    for place, bit in flips:
        whole[int(place * len(whole))] ^= 1 << bit
    (tmp_path / "m").write_bytes(whole)
    try:
        packed = read_packed(tmp_path / "m")
    except InputError as error:
        assert len(str(error).splitlines()) == 1
    else:  # the flips undid each other, or hit the header's padding
        assert same(packed, trained.packed)


@fuzzed
@given(content=st.binary(max_size=300))
def test_anything(content: bytes, tmp_path: Path) -> None:
    refused(content, tmp_path / "m")


@fuzzed
@given(data=st.data())
def test_contents_that_do_not_fit(data: st.DataObject, trained: Trained, tmp_path: Path) -> None:
    """Arrays changed in length, type or value below a checksum that is right."""
    metadata, tensors = parts_of(trained.packed_path)
    name = data.draw(st.sampled_from(sorted(tensors)))
    array = tensors[name]
    kinds = ["shorter", "longer", "type", "shape"] + (["nan", "minus"] if array.dtype == np.float32 else ["value"])
    kind = data.draw(st.sampled_from(kinds))
    place = data.draw(st.integers(0, array.size - 1))
    changed = array.copy()
    if kind == "nan":
        changed.flat[place] = np.nan
    elif kind == "minus":
        changed.flat[place] -= 1e9
    elif kind == "value":
        changed.flat[place] = data.draw(st.integers(0, 255))
    tensors[name] = {
        "shorter": lambda: array.ravel()[:-1],
        "longer": lambda: np.append(array.ravel(), array.ravel()[-1:]),
        "type": lambda: array.astype(np.float64),
        "shape": lambda: array.reshape(1, *array.shape),
    }.get(kind, lambda: changed)()
    (tmp_path / "m").write_bytes(sealed(metadata, tensors))
    try:
        packed = read_packed(tmp_path / "m")
    except InputError as error:
        assert len(str(error).splitlines()) == 1
    else:  # another network, of the same shapes
        assert kind == "value" or (kind == "minus" and name in ("mean", "scale", "bias"))
        assert packed.plan == trained.packed.plan


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
HUGE: list[dict[str, Any]] = [
    {"retrain_channels": 2 * 10**9},
    {"input_shape": [1, 10**6, 10**6]},
    {"input_shape": [10**9, 8, 8]},
    {"classes": 10**12},
    {"widths": [2**i for i in range(1, 31)]},
    {"widths": [1] * 4_000},
    {"timesteps": 10**15},
    {"nodes": 10**15},
]


@fuzzed
@given(data=st.data())
def test_metadata_that_does_not_fit(data: st.DataObject, trained: Trained, tmp_path: Path) -> None:
    metadata, tensors = parts_of(trained.packed_path)
    name = data.draw(st.sampled_from(["network", "genotype", "classes", "form", "kept"]))
    if name in ("network", "genotype") and data.draw(st.booleans()):
        values = json.loads(metadata[name])
        field = data.draw(st.sampled_from([*sorted(values), "aux_weight", "timesteps", "tau"]))
        text = json.dumps({**values, field: data.draw(json_values)})
    else:
        text = json.dumps(data.draw(json_values)) if data.draw(st.booleans()) else data.draw(st.text(max_size=20))
    (tmp_path / "m").write_bytes(sealed({**metadata, name: text}, tensors))
    try:
        packed = read_packed(tmp_path / "m")
    except InputError as error:
        assert len(str(error).splitlines()) == 1
    else:
        assert packed.plan.weights == trained.packed.plan.weights


@pytest.mark.parametrize("change", HUGE, ids=lambda change: next(iter(change)))
def test_huge_claims_take_no_memory(change: dict[str, Any], trained: Trained, tmp_path: Path) -> None:
    metadata, tensors = parts_of(trained.packed_path)
    genotype = json.loads(metadata["genotype"])
    cells = len(change.get("widths", genotype["bits"]))
    metadata["network"] = json.dumps({**json.loads(metadata["network"]), **change})
    metadata["genotype"] = json.dumps({**genotype, "bits": [1] * cells, "p": 99.999999})
    content = sealed(metadata, tensors)
    tracemalloc.start()
    try:
        refused(content, tmp_path / "m")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 100_000_000


def test_nested_and_endless_metadata(trained: Trained, tmp_path: Path) -> None:
    metadata, tensors = parts_of(trained.packed_path)
    for name, text in (
        ("genotype", "[" * 100_000),
        ("network", '{"classes":' + "9" * 5000 + "}"),
        ("kept", "9" * 5000),
    ):
        refused(sealed({**metadata, name: text}, tensors), tmp_path / "m")


def test_other_files(trained: Trained, tmp_path: Path) -> None:
    metadata, tensors = parts_of(trained.packed_path)
    assert "format lsnn-1, got 'litesnn-1'" in refused(trained.path.read_bytes(), tmp_path / "m")
    assert "got 'lsnn-2'" in refused(sealed({**metadata, "format": "lsnn-2"}, tensors), tmp_path / "m")
    assert "the parts of a packed" in refused(sealed(metadata, {**tensors, "more": tensors["codes"]}), tmp_path / "m")
    assert "the parts of a packed" in refused(sealed({**metadata, "more": "x"}, tensors), tmp_path / "m")
    for path in (tmp_path / "missing", tmp_path):
        with pytest.raises(InputError, match=r"\Amodel: expected a readable file, got [^\n]+\Z"):
            read_packed(path)


def same(one: Packed, other: Packed) -> bool:
    arrays = zip(
        (*one.codes, one.steps, *one.scale, *one.bias),
        (*other.codes, other.steps, *other.scale, *other.bias),
        strict=True,
    )
    return one.recipe == other.recipe and all(np.array_equal(a, b) for a, b in arrays)
