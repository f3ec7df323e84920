"""Scales and biases at the precision of fp16: an export that is smaller and says what it changed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from litesnn.checks import InputError
from litesnn.data import load
from litesnn.export.convert import unpack
from litesnn.export.packed import Packed

_SIGNIFICANT_BITS = 11  # of fp16; exponents stay as wide as they are
_SAMPLES = 200


def round_scales(packed: Packed) -> Packed:
    """The network with scales and biases rounded to 11 significant bits, at most 1 in 2048 away."""
    return replace(packed, scale=tuple(map(_rounded, packed.scale)), bias=tuple(map(_rounded, packed.bias)))


@torch.no_grad()
def changes(before: Packed, after: Packed) -> str:
    """What rounding did to the first 200 validation samples, or to random inputs where the data are not at hand."""
    try:
        dataset = load(before.recipe)
        x, of = dataset.normalise(dataset.val.inputs[:_SAMPLES]), "validation samples"
    except InputError:
        draw = torch.Generator().manual_seed(0)
        x, of = torch.randn((_SAMPLES, *before.recipe.input_shape), generator=draw), "random inputs (no data at hand)"
    one, other = (
        unpack(packed, torch.device("cpu")).network(x, before.plan.timesteps).logits.mean(0)
        for packed in (before, after)
    )
    differ = int((one.argmax(-1) != other.argmax(-1)).sum())
    return f"{differ} of {len(x)} {of} change their class, scores by {float((one - other).abs().max()):.2g} at most"


def _rounded(values: NDArray[Any]) -> NDArray[Any]:
    mantissa, exponent = np.frexp(values)
    whole = np.rint(np.ldexp(mantissa, _SIGNIFICANT_BITS))
    return np.ldexp(whole, exponent - _SIGNIFICANT_BITS).astype(values.dtype)
