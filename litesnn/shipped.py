"""A network as it would ship: the answers of ``litesnn run`` and of a device, for whole batches and by torch.

Spikes come from the packed network in double precision, scores from sums of integer codes over them, as in
``litesnn.export.runtime``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from litesnn.export.convert import unpack
from litesnn.export.packed import Packed


class Shipped:
    """A packed network, ready to answer.

    Args:
        packed: the network.
        device: where this runs.
    """

    def __init__(self, packed: Packed, device: torch.device) -> None:
        # The runtime multiplies no rounded factors either.
        exact = dataclasses.replace(packed, recipe=dataclasses.replace(packed.recipe, precision="fp32"))
        self._network = unpack(exact, device, double=True).network
        self._codes = packed.codes[-1][:, :, 0, 0].astype(np.int64)  # [K, C]
        height, width = packed.plan.layers[-1].in_size
        self._timesteps = packed.plan.timesteps
        self._scale = packed.steps.astype(np.float64)[-1] / 2 / (height * width * self._timesteps)

    @torch.no_grad()
    def spikes(self, x: Tensor) -> dict[str, Tensor]:
        """Spikes of stem and cells for normalised inputs ``[B, C, H, W]``, booleans ``[T, B, C, H, W]`` by name."""
        found: dict[str, Tensor] = {}

        def keep(number: int) -> Callable[[nn.Module, Any, Any], None]:
            def hook(module: nn.Module, inputs: Any, output: Any) -> None:
                if number == 1:
                    found["stem"] = inputs[0]
                found[f"cell{number}"] = output[0]

            return hook

        hooks = [cell.register_forward_hook(keep(number)) for number, cell in enumerate(self._network.cells, 1)]
        try:
            self._network(x.double(), self._timesteps)
        finally:
            for handle in hooks:
                handle.remove()
        return {name: (state > 0).unflatten(0, (self._timesteps, -1)).contiguous() for name, state in found.items()}

    def scores(self, x: Tensor) -> NDArray[np.float64]:
        """Mean logits over the timesteps for normalised inputs ``[B, C, H, W]``: ``[B, K]``."""
        *_, last = self.spikes(x).values()
        counts = last.sum((0, 3, 4)).cpu().numpy()  # [B, C]
        scores: NDArray[np.float64] = (counts @ self._codes.T) * self._scale
        return scores
