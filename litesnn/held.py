"""What a search is given instead of learning it: a cell, bit-widths, masks or a number of timesteps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from litesnn.checks import InputError, check_choice, check_integer, fail
from litesnn.config import Recipe
from litesnn.genotype import Genotype, cell_edges, check_operations
from litesnn.network import Shares


@dataclass(frozen=True, kw_only=True)
class Held:
    """The parts of a network that a search keeps as they are; None: it learns them.

    A device may compute with 4 bits alone, or a sensor give a fixed number of frames: then there is nothing to choose.

    Args:
        nodes: the cell, as ``Genotype.nodes``; alpha is not learnt.
        bits: weight bit-width of each cell, candidates of the recipe; beta is not learnt.
        timesteps: T, at most the recipe's; psi is not learnt, and no more timesteps are computed.
        masks: keep the pruning scores as they are at the start.

    Raises:
        InputError: a value is none that any recipe could have.
    """

    nodes: tuple[tuple[tuple[int, str], ...], ...] | None = None
    bits: tuple[int, ...] | None = None
    timesteps: int | None = None
    masks: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.masks, bool):
            raise fail("held.masks", "True or False", self.masks)
        if self.timesteps is not None:
            check_integer("held.timesteps", self.timesteps, minimum=1)
        try:  # a genotype checks its parts
            whole = Genotype(
                nodes=self.nodes if self.nodes is not None else (((0, "skip"), (1, "skip")),),
                bits=self.bits if self.bits is not None else (1,),
                timesteps=1,
            )
        except InputError as error:
            raise InputError(str(error).replace("genotype.", "held.")) from None
        if self.nodes is not None:
            object.__setattr__(self, "nodes", whole.nodes)
        if self.bits is not None:
            object.__setattr__(self, "bits", whole.bits)

    def to_dict(self) -> dict[str, Any]:
        """What is held, as plain values; empty if nothing is."""
        values = {"nodes": self.nodes, "bits": self.bits, "timesteps": self.timesteps, "masks": self.masks or None}
        return {name: value for name, value in values.items() if value is not None}

    def check_fits(self, recipe: Recipe) -> None:
        """Raises InputError unless the recipe has as many nodes and cells, these operations and bits and so many timesteps."""
        if self.nodes is not None:
            if len(self.nodes) != recipe.nodes:
                raise fail("held.nodes", f"{recipe.nodes} nodes as in the recipe", len(self.nodes))
            check_operations("held", self.nodes, recipe)
        if self.bits is not None:
            if len(self.bits) != recipe.cells:
                raise fail("held.bits", f"one per cell of the recipe ({recipe.cells})", self.bits)
            for bits in self.bits:
                check_choice("held.bits", bits, recipe.bit_widths)
        if self.timesteps is not None and self.timesteps > recipe.timesteps:
            raise fail("held.timesteps", f"at most the recipe's {recipe.timesteps}", self.timesteps)

    def shares(self, learnt: Shares, recipe: Recipe) -> Shares:
        """The learnt shares, but 1 for what is held and 0 for what else there was to choose.

        Args:
            learnt: ops ``[edges, ops]``, bits ``[cells, bit-widths]``, timesteps ``[T]``.
            recipe: the recipe.

        Returns:
            Shares of the same shapes, timesteps ``[held T]`` where T is held.
        """
        if self.nodes is not None:
            learnt = replace(learnt, ops=_chosen_edges(self.nodes, recipe.operations, learnt.ops))
        if self.bits is not None:
            chosen = torch.zeros_like(learnt.bits)
            for cell, bits in enumerate(self.bits):
                chosen[cell, recipe.bit_widths.index(bits)] = 1
            learnt = replace(learnt, bits=chosen)
        if self.timesteps is not None:
            last = torch.zeros(self.timesteps, device=learnt.timesteps.device)
            last[-1] = 1
            learnt = replace(learnt, timesteps=last)
        return learnt

    def decoded(self, learnt: Genotype) -> Genotype:
        """The genotype with what is held in place of what was decoded."""
        held: Mapping[str, Any] = {name: value for name, value in self.to_dict().items() if name != "masks"}
        return replace(learnt, **held)


def _chosen_edges(nodes: tuple[tuple[tuple[int, str], ...], ...], operations: tuple[str, ...], like: Tensor) -> Tensor:
    chosen = torch.zeros_like(like)
    for row, (source, node) in enumerate(cell_edges(len(nodes))):
        for kept, op in nodes[node]:
            if kept == source:
                chosen[row, operations.index(op)] = 1
    return chosen
