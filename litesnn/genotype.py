"""The decoded network as data: a ``Genotype`` is all that retraining needs besides the recipe."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from litesnn.checks import InputError, check_choice, check_integer, check_integers, check_number, fail
from litesnn.config import KNOWN_BIT_WIDTHS, Recipe
from litesnn.operations import OPERATIONS, PRIMITIVES

if TYPE_CHECKING:
    from torch import Tensor


def cell_edges(nodes: int) -> list[tuple[int, int]]:
    """All candidate edges ``(input, node)`` of a cell, in the order of alpha's rows.

    Inputs 0 and 1 are the cell's inputs, input 2 + k is node k; node j reads every input below 2 + j (Eq. 2).
    """
    return [(source, node) for node in range(nodes) for source in range(node + 2)]


@dataclass(frozen=True, kw_only=True)
class Genotype:
    """One network of the search space.

    Args:
        nodes: per node its two ``(input, op)`` pairs: input 0 and 1 are the cell's inputs, 2 + k is node k; op is one
            of ``OPERATIONS``. All cells share them.
        bits: weight bit-width of each cell.
        timesteps: T*, at least 1.
        p: percent pruned of every layer, 0 <= p < 100.

    Raises:
        InputError: a value is outside its range.
    """

    nodes: tuple[tuple[tuple[int, str], ...], ...]
    bits: tuple[int, ...]
    timesteps: int
    p: float = 0.0

    def __post_init__(self) -> None:
        if not isinstance(self.nodes, Sequence) or isinstance(self.nodes, str) or not self.nodes:
            raise fail("genotype.nodes", "one list of two (input, op) pairs per node", self.nodes)
        nodes = tuple(_node(j, pairs) for j, pairs in enumerate(self.nodes))
        object.__setattr__(self, "nodes", nodes)
        object.__setattr__(self, "bits", check_integers("genotype.bits", self.bits, minimum=1))
        for bits in self.bits:
            check_choice("genotype.bits", bits, KNOWN_BIT_WIDTHS)
        check_integer("genotype.timesteps", self.timesteps, minimum=1)
        object.__setattr__(self, "p", check_number("genotype.p", self.p, minimum=0, below=100))

    def to_json(self) -> str:
        """JSON text; ``from_json`` reads it back to an equal genotype."""
        return json.dumps(
            {"nodes": self.nodes, "bits": self.bits, "timesteps": self.timesteps, "p": self.p},
        )

    @classmethod
    def from_json(cls, text: str) -> Genotype:
        """Reads what ``to_json`` wrote.

        Raises:
            InputError: not JSON, or not a genotype.
        """
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise InputError(f"genotype: expected JSON, got {text[:40]!r} ({error})") from None
        required, known = {"nodes", "bits", "timesteps"}, {"nodes", "bits", "timesteps", "p"}
        if not isinstance(values, dict) or not required <= set(values) <= known:
            got = sorted(values) if isinstance(values, dict) else type(values).__name__
            raise fail("genotype", "an object with nodes, bits, timesteps and p", got)
        return cls(**values)

    def check_fits(self, recipe: Recipe) -> None:
        """Raises InputError unless the recipe has this many nodes and cells, these operations, and at least these timesteps."""
        if len(self.nodes) != recipe.nodes:
            raise fail("genotype.nodes", f"{recipe.nodes} nodes as in the recipe", len(self.nodes))
        check_operations("genotype", self.nodes, recipe)
        if len(self.bits) != recipe.cells:
            raise fail("genotype.bits", f"one per cell of the recipe ({recipe.cells})", self.bits)
        if self.timesteps > recipe.timesteps:
            raise fail("genotype.timesteps", f"at most the recipe's {recipe.timesteps}", self.timesteps)


def check_operations(name: str, nodes: Sequence[Sequence[tuple[int, str]]], recipe: Recipe) -> None:
    """Raises InputError, which names ``name``, unless the recipe has all operations of a cell."""
    for node, pairs in enumerate(nodes):
        for _, operation in pairs:
            check_choice(f"{name}.nodes[{node}] op", operation, recipe.operations)


def _node(node: int, pairs: Any) -> tuple[tuple[int, str], ...]:
    """Checks one node's two (input, op) pairs and returns them as tuples."""
    field = f"genotype.nodes[{node}]"
    if not isinstance(pairs, Sequence) or isinstance(pairs, str) or len(pairs) != 2:
        raise fail(field, "two (input, op) pairs", pairs)
    for pair in pairs:
        if not isinstance(pair, Sequence) or isinstance(pair, str) or len(pair) != 2:
            raise fail(field, "two (input, op) pairs", pairs)
        check_integer(f"{field} input", pair[0], minimum=0, maximum=node + 1)
        check_choice(f"{field} op", pair[1], OPERATIONS)
    if pairs[0][0] == pairs[1][0]:
        raise fail(field, "two different inputs", pairs)
    return tuple((source, op) for source, op in pairs)


def decode(
    alpha: Tensor,
    beta: Tensor,
    psi: Tensor,
    *,
    nodes: int,
    bit_widths: Sequence[int],
    p: float,
    operations: Sequence[str] = PRIMITIVES,
) -> Genotype:
    """The network that the search has settled on (Sec. 3.4).

    Per node the two incoming edges of largest strength, strength = max over ops of softmax(alpha); per kept edge the op
    of largest alpha; per cell the bit-width of largest beta; T* = argmax psi + 1. Of equals, the first is taken.

    Args:
        alpha: architecture logits ``[edges, ops]``, edges in the order of ``cell_edges``.
        beta: bit-width logits ``[cells, bit-widths]``.
        psi: timestep logits ``[T]``.
        nodes: nodes per cell.
        bit_widths: the candidates in the order of beta's columns.
        p: percent pruned.
        operations: the candidates in the order of alpha's columns.
    """
    strength = alpha.softmax(-1).amax(-1).tolist()
    op = alpha.argmax(-1).tolist()
    edges = cell_edges(nodes)
    kept = []
    for node in range(nodes):
        incoming = [(e, source) for e, (source, target) in enumerate(edges) if target == node]
        two = sorted(sorted(incoming, key=lambda edge: -strength[edge[0]])[:2])
        kept.append(tuple((source, operations[op[e]]) for e, source in two))
    bits = tuple(bit_widths[i] for i in beta.argmax(-1).tolist())
    return Genotype(nodes=tuple(kept), bits=bits, timesteps=int(psi.argmax()) + 1, p=p)
