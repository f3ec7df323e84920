"""Files of format 1: they still load, and what is none is refused in one line, without memory beyond its size."""

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
from litesnn.config import Recipe
from litesnn.export.format1 import checksum
from litesnn.export.packed import Packed, read_packed
from litesnn.export.runtime import Runtime
from tests.litesnn.export.old_file import OLD_FILE, inputs, old_network

ONE_LINE = r"\Amodel: expected [^\n]+\Z"
fuzzed = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)


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
    return save(tensors, metadata | {"crc32": checksum(metadata, tensors)})


@fuzzed
@given(share=st.floats(0, 1, exclude_max=True))
def test_truncated(share: float, tmp_path: Path) -> None:
    whole = OLD_FILE.read_bytes()
    refused(whole[: int(share * len(whole))], tmp_path / "m")


@fuzzed
@given(flips=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 7)), min_size=1, max_size=3))
def test_flipped_bits(flips: list[tuple[float, int]], tmp_path: Path) -> None:
    whole = bytearray(OLD_FILE.read_bytes())
    for place, bit in flips:
        whole[int(place * len(whole))] ^= 1 << bit
    (tmp_path / "m").write_bytes(whole)
    try:
        packed = read_packed(tmp_path / "m")
    except InputError as error:
        assert len(str(error).splitlines()) == 1
    else:  # the flips undid each other, or hit the header's padding
        assert same(packed, old_network())


@fuzzed
@given(content=st.binary(max_size=300))
def test_anything(content: bytes, tmp_path: Path) -> None:
    refused(content, tmp_path / "m")


@fuzzed
@given(data=st.data())
def test_contents_that_do_not_fit(data: st.DataObject, tmp_path: Path) -> None:
    """Arrays changed in length, type or value below a checksum that is right."""
    metadata, tensors = parts_of(OLD_FILE)
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
        assert packed.plan == old_network().plan


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
def test_metadata_that_does_not_fit(data: st.DataObject, tmp_path: Path) -> None:
    metadata, tensors = parts_of(OLD_FILE)
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
        assert packed.plan.weights == old_network().plan.weights


@pytest.mark.parametrize("change", HUGE, ids=lambda change: next(iter(change)))
def test_huge_claims_take_no_memory(change: dict[str, Any], tmp_path: Path) -> None:
    metadata, tensors = parts_of(OLD_FILE)
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


def test_nested_and_endless_metadata(tmp_path: Path) -> None:
    metadata, tensors = parts_of(OLD_FILE)
    for name, text in (
        ("genotype", "[" * 100_000),
        ("network", '{"classes":' + "9" * 5000 + "}"),
        ("kept", "9" * 5000),
    ):
        refused(sealed({**metadata, name: text}, tensors), tmp_path / "m")


def test_other_files(tmp_path: Path) -> None:
    metadata, tensors = parts_of(OLD_FILE)
    assert "format 2 or lsnn-1 expected, not 'lsnn-3'" in refused(
        sealed({**metadata, "format": "lsnn-3"}, tensors), tmp_path / "m"
    )
    assert "other parts" in refused(sealed(metadata, {**tensors, "more": tensors["codes"]}), tmp_path / "m")
    assert "other parts" in refused(sealed({**metadata, "more": "x"}, tensors), tmp_path / "m")
    for path in (tmp_path / "missing", tmp_path):
        with pytest.raises(InputError, match=r"\Amodel: expected a readable file, got [^\n]+\Z"):
            read_packed(path)


@pytest.mark.parametrize("kept", [-1, 1])
def test_a_number_of_kept_weights_that_contradicts_p(kept: int, tmp_path: Path) -> None:
    metadata, tensors = parts_of(OLD_FILE)
    changed = {**metadata, "kept": str(int(metadata["kept"]) + kept)}
    assert "kept weights expected at p = 80" in refused(sealed(changed, tensors), tmp_path / "m")


def test_a_weight_in_another_layer(tmp_path: Path) -> None:
    """As many weights in all, but one more in one layer and one less in the next: every reader refuses the file."""
    metadata, tensors = parts_of(OLD_FILE)
    marks = np.concatenate([codes.ravel() != 0 for codes in old_network().codes])
    stem = old_network().plan.layers[0].weights
    marks[np.flatnonzero(~marks[:stem])[0]] = True
    marks[stem + np.flatnonzero(marks[stem:])[0]] = False
    changed = {**tensors, "positions": np.packbits(marks, bitorder="little")}
    assert "expected at p = 80 in stem" in refused(sealed({**metadata, "form": "bitmap"}, changed), tmp_path / "m")


def test_the_network_is_the_one_that_was_written() -> None:
    """Figures from the version that wrote the file: scores of the first digit, classes and spikes of 20."""
    packed = old_network()
    assert packed.kept == (14, 58, 58, 58, 115, 115, 115, 115, 230, 230, 32) and packed.classes == tuple("0123456789")
    answers = list(map(Runtime(packed), inputs(20)))
    scores = [3.483761, -5.029505, -1.545744, -0.420293, -0.5744, -0.219486, -0.02802, -2.040756, -1.036723, -1.130121]
    np.testing.assert_allclose(answers[0].scores, scores, atol=1e-6)
    classes = [0, 1, 1, 3, 4, 3, 6, 7, 8, 8, 0, 1, 2, 3, 4, 5, 6, 7, 8, 5]
    assert [int(answer.scores.argmax()) for answer in answers] == classes


def test_defaults_of_another_version_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    before = old_network()
    for field in Recipe.__dataclass_fields__.values():
        if field.name in ("tau", "v_threshold"):
            monkeypatch.setattr(field, "default", 0.9)
            monkeypatch.setattr(Recipe, field.name, 0.9)
    again = old_network()
    assert (again.recipe.tau, again.recipe.v_threshold) == (before.recipe.tau, before.recipe.v_threshold) == (0.2, 0.5)


def same(one: Packed, other: Packed) -> bool:
    arrays = zip(
        (*one.codes, one.steps, *one.scale, *one.bias),
        (*other.codes, other.steps, *other.scale, *other.bias),
        strict=True,
    )
    return one.recipe == other.recipe and all(np.array_equal(a, b) for a, b in arrays)
