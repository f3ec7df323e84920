"""Genotypes: JSON there and back, every malformed input one line, decoding against brute force."""

import json
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from litesnn.checks import InputError
from litesnn.config import Recipe
from litesnn.genotype import Genotype, cell_edges, decode

VALID: dict[str, Any] = {
    "nodes": [[[0, "conv3x3"], [1, "skip"]], [[0, "skip"], [2, "conv3x3"]]],
    "bits": [1, 2, 4],
    "timesteps": 3,
    "p": 50.0,
}


@st.composite
def genotypes(draw: st.DrawFn) -> Genotype:
    nodes = []
    for node in range(draw(st.integers(1, 4))):
        sources = draw(st.lists(st.integers(0, node + 1), min_size=2, max_size=2, unique=True))
        nodes.append(tuple((source, draw(st.sampled_from(["conv3x3", "skip"]))) for source in sources))
    return Genotype(
        nodes=tuple(nodes),
        bits=tuple(draw(st.lists(st.sampled_from([1, 2, 3, 4]), min_size=1, max_size=8))),
        timesteps=draw(st.integers(1, 10)),
        p=draw(st.floats(0, 100, exclude_max=True)),
    )


@settings(max_examples=100)
@given(genotypes())
def test_json_there_and_back(genotype: Genotype) -> None:
    assert Genotype.from_json(genotype.to_json()) == genotype
    assert json.loads(genotype.to_json())["p"] == genotype.p


def test_p_may_be_left_out() -> None:
    text = json.dumps({key: value for key, value in VALID.items() if key != "p"})
    assert Genotype.from_json(text).p == 0


def test_the_edges_of_a_cell() -> None:
    # Node j reads the two cell inputs and every earlier node.
    assert cell_edges(3) == [(0, 0), (1, 0), (0, 1), (1, 1), (2, 1), (0, 2), (1, 2), (2, 2), (3, 2)]


NOT_GENOTYPES = [
    "",
    "{",
    "nonsense\nin two lines",
    "null",
    "3",
    '"text"',
    "[1, 2]",
    "{}",
    "[" * 100_000,  # deeper than the JSON reader goes
    "1" * 5000,  # longer than Python converts
]


@pytest.mark.parametrize("text", NOT_GENOTYPES, ids=range(len(NOT_GENOTYPES)))
def test_text_that_is_no_genotype_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(InputError, match=r"\Agenotype: expected [^\n]+\Z"):
        Genotype.from_json(text)


BAD_VALUES = [
    ("nodes", None),
    ("nodes", []),
    ("nodes", "ab"),
    ("nodes", {"0": 1}),
    ("nodes", [[]]),
    ("nodes", [3]),
    ("nodes", ["ab"]),
    ("nodes", [[[0, "skip"]]]),
    ("nodes", [[[0, "skip"], [1, "skip"], [1, "skip"]]]),
    ("nodes", [[[0, "skip"], 1]]),
    ("nodes", [[[0, "skip"], "1s"]]),
    ("nodes", [[[0, "skip"], [1]]]),
    ("nodes", [[[0, "skip"], [2, "skip"]]]),  # node 0 does not read itself
    ("nodes", [[[0, "skip"], [-1, "skip"]]]),
    ("nodes", [[[0, "skip"], [0, "conv3x3"]]]),
    ("nodes", [[[0, "skip"], [True, "skip"]]]),
    ("nodes", [[[0, "skip"], [1.0, "skip"]]]),
    ("nodes", [[[0, "skip"], [1, "conv5x5"]]]),
    ("nodes", [[[0, "skip"], [1, ["skip"]]]]),
    ("nodes", [[[0, "skip"], [1, None]]]),
    ("bits", None),
    ("bits", []),
    ("bits", 4),
    ("bits", "4"),
    ("bits", [5]),
    ("bits", [0]),
    ("bits", [True]),
    ("bits", [2.0]),
    ("bits", [[2]]),
    ("timesteps", 0),
    ("timesteps", 2.0),
    ("timesteps", True),
    ("timesteps", "2"),
    ("timesteps", None),
    ("p", -1),
    ("p", 100),
    ("p", "50"),
    ("p", None),
    ("p", float("nan")),
    ("p", float("inf")),
    ("p", 10**400),  # an integer that no float holds
]


@pytest.mark.parametrize(("field", "value"), BAD_VALUES, ids=range(len(BAD_VALUES)))
def test_a_bad_value_is_refused_in_one_line_that_names_it(field: str, value: Any) -> None:
    with pytest.raises(InputError, match=rf"\Agenotype\.{field}[^\n]*: expected [^\n]+, got [^\n]+\Z"):
        Genotype.from_json(json.dumps({**VALID, field: value}))


@pytest.mark.parametrize("missing", ["nodes", "bits", "timesteps"])
def test_a_missing_field_is_refused(missing: str) -> None:
    text = json.dumps({key: value for key, value in VALID.items() if key != missing})
    with pytest.raises(InputError, match=r"\Agenotype: expected [^\n]+\Z"):
        Genotype.from_json(text)


def test_an_unknown_field_is_refused() -> None:
    with pytest.raises(InputError, match="colour"):
        Genotype.from_json(json.dumps({**VALID, "colour": 1}))


# Logits on a coarse grid give many ties; of equals the first is taken.
GRID = st.integers(-3, 3).map(lambda k: k / 2)


@settings(max_examples=150)
@given(data=st.data(), nodes=st.integers(1, 4), cells=st.integers(1, 3), timesteps=st.integers(1, 5))
def test_decoding_equals_brute_force(data: st.DataObject, nodes: int, cells: int, timesteps: int) -> None:
    edges = [(source, node) for node in range(nodes) for source in range(node + 2)]
    alpha = data.draw(st.lists(st.tuples(GRID, GRID), min_size=len(edges), max_size=len(edges)))
    beta = data.draw(st.lists(st.tuples(GRID, GRID, GRID), min_size=cells, max_size=cells))
    psi = data.draw(st.lists(GRID, min_size=timesteps, max_size=timesteps))

    expected = []
    for node in range(nodes):
        # max softmax of two logits rises with their distance
        incoming = {source: logits for (source, target), logits in zip(edges, alpha, strict=True) if target == node}
        ranked = sorted(incoming, key=lambda source: (-abs(incoming[source][0] - incoming[source][1]), source))
        expected.append(
            tuple((s, "conv3x3" if incoming[s][0] >= incoming[s][1] else "skip") for s in sorted(ranked[:2]))
        )

    got = decode(torch.tensor(alpha), torch.tensor(beta), torch.tensor(psi), nodes=nodes, bit_widths=(1, 2, 4), p=33.3)
    assert got.nodes == tuple(expected)
    assert got.bits == tuple((1, 2, 4)[row.index(max(row))] for row in beta)
    assert got.timesteps == psi.index(max(psi)) + 1
    assert got.p == 33.3


def test_check_fits() -> None:
    genotype = Genotype.from_json(json.dumps(VALID))
    genotype.check_fits(Recipe.preset("digits"))  # 2 nodes, 3 cells
    with pytest.raises(InputError, match=r"genotype\.nodes: expected 3 nodes as in the recipe, got 2"):
        genotype.check_fits(Recipe.preset("digits", nodes=3, search_channels=15))
    with pytest.raises(InputError, match=r"genotype\.bits: expected one per cell of the recipe \(2\)"):
        genotype.check_fits(Recipe.preset("digits", widths=[1, 2]))
