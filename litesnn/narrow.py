"""The supernet of a search that is given its cell or bit-widths: the chosen operations alone, with the whole one's values."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from litesnn.cell import Cell, EdgeConvs
from litesnn.checks import InputError
from litesnn.layout import Candidate
from litesnn.network import Network


def narrowed(wide: Network, narrow: Network) -> dict[str, Tensor]:
    """The state that ``narrow`` has to load to be ``wide`` without the operations that it lacks.

    Args:
        wide: the supernet.
        narrow: one of the same recipe, channels and classes that has some of its operations.
    """
    before, after = wide.state_dict(), narrow.state_dict()
    state = {name: before[name] for name in after if ".convs." not in name}
    for index, (old, new) in enumerate(zip(_members(wide), _members(narrow), strict=True)):
        places = {member: (g, row) for g, members in enumerate(old) for row, member in enumerate(members)}
        for number, members in enumerate(new):
            chosen = [places[member] for member in members]
            prefix = f"cells.{index}.convs.{number}."
            for name in [name for name in after if name.startswith(prefix)]:
                rows = []
                for g, row in chosen:
                    stacked = before[f"cells.{index}.convs.{g}.{name.removeprefix(prefix)}"]
                    # Operations are stacked along the first dimension; a counter of batches is theirs together.
                    rows.append(stacked.reshape(len(old[g]), -1)[row] if stacked.dim() else stacked)
                state[name] = torch.stack(rows).flatten()[: after[name].numel()].view_as(after[name])
    return state


def _members(network: Network) -> list[list[list[Candidate]]]:
    """The stacked operations, by cell and group."""
    return [
        [group.members for group in cell.convs if isinstance(group, EdgeConvs)]
        for cell in network.cells
        if isinstance(cell, Cell)
    ]


def load_weights(network: Network, weights: Mapping[str, Tensor]) -> None:
    """Takes the weights of an earlier search.

    Raises:
        InputError: they belong to another network.
    """
    try:
        network.load_state_dict(dict(weights))
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise InputError(f"start: expected weights of a search of the same recipe, got others ({reason})") from None


def fits(network: Network, weights: Mapping[str, Tensor]) -> bool:
    """Whether the weights have the names and shapes of this network's."""
    own = network.state_dict()
    return own.keys() == weights.keys() and all(own[name].shape == weights[name].shape for name in own)
