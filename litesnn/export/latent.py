"""A packed network as one that can be trained: latent weights and scores that compress to the codes of the file.

A packed file has lost the latent weights, the scores and the statistics of batch norm. What is made here in their place
answers as the file does and packs to the same file again:

- every kept weight lies where its code comes from, and the layer's standard deviation gives the file's step. Pruned weights,
  whose values nobody sees, take the size that this needs; without any, the outermost weights do, which have no bound;
- scores are of one size for kept and half of it for pruned weights;
- a batch norm multiplies by the file's scale and adds its bias, in training too: see ``EdgeNorm.folded``.

Weights come out bit by bit where the file was made by the same kernels, within two units in the last place elsewhere.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from litesnn.checks import InputError
from litesnn.compconv import CompConv
from litesnn.edge_norm import EdgeNorm
from litesnn.export.convert import conv_layers
from litesnn.export.file_layout import Marks, alive_ends, read_pairs, rows_fed, within_groups
from litesnn.export.packed import Packed
from litesnn.export.trim import trim
from litesnn.genotype import Genotype
from litesnn.kept import kept_count, mask_groups
from litesnn.model import Model
from litesnn.network import Network
from litesnn.steps import STEP_PER_STD

_MARGIN = 0.02  # of a step, between a weight and the border of its level
_MOST_SPREAD = 2.0**20  # of a step, of weights that nobody sees or that have no bound
_TRIES = 64
_NUDGE = 2.0**-25  # relative; a quarter of the distance of two floats, or half of it

Array = NDArray[np.float64]


def trainable(packed: Packed, device: torch.device) -> Model:
    """The network of a packed file with parameters that can be trained.

    Its recipe augments nothing, since the file does not know how it was trained.

    Raises:
        InputError: the codes are those of no trained network.
    """
    neutral: dict[str, Any] = {"horizontal_flip": False, "cutout": 0, "crop_padding": 0, "aux_cell": 0}
    recipe = dataclasses.replace(packed.recipe, **neutral)
    genotype = Genotype.from_json(json.dumps(dict(packed.genotype)))
    with torch.random.fork_rng(devices=[]):
        network = Network(recipe, recipe.retrain_channels, recipe.classes, genotype.p, genotype).eval()
    rows, unseen = rows_fed(packed.plan), _unseen(packed)
    parts: dict[int, list[_Part]] = {}
    convs: dict[int, CompConv] = {}
    for index, (conv, norm, part, count) in enumerate(conv_layers(network)):
        convs[id(conv)] = conv
        parts.setdefault(id(conv), []).append(_Part(packed, index, part, unseen[index]))
        row = rows[index]
        if norm is not None and row is not None:
            assert isinstance(norm, EdgeNorm)
            norm.fold()
            places = slice(part * (len(norm.weight) // count), (part + 1) * (len(norm.weight) // count))
            with torch.no_grad():
                norm.weight[places] = torch.from_numpy(packed.scale[index].copy())
                norm.bias[places] = torch.from_numpy(_bias_of(packed, row, index))
    for key, conv in convs.items():
        _fill(conv, parts[key])
    return Model(
        network=network.to(device),
        genotype=genotype,
        recipe=recipe,
        classes=packed.classes,
        mean=torch.from_numpy(packed.mean.copy()).to(device),
        std=torch.from_numpy(packed.std.copy()).to(device),
        rates=torch.from_numpy(packed.rates.copy()).to(device),
    )


def _unseen(packed: Packed) -> list[Marks]:
    """Per layer the weights that make no difference, those of removed channels, ``[O, I, K, K]``.

    Those between groups count among them.
    """
    _, alive = trim(packed)
    marks = []
    for layer, (outputs, inputs) in zip(packed.plan.layers, alive_ends(packed.plan, list(alive)), strict=True):
        seen = read_pairs(layer, outputs, inputs)[:, :, None, None]
        marks.append(np.broadcast_to(~seen, layer.shape))
    return marks


def _bias_of(packed: Packed, row: int, layer: int) -> NDArray[np.float32]:
    """The layer's part of its row's bias: the float next to it for the first layer, what is left for the second."""
    bias, layers = packed.bias[row], packed.plan.rows[row].layers
    high = bias.astype(np.float32)
    if layer == layers[0]:
        return high
    return (bias - high).astype(np.float32) if layer == layers[1] else np.zeros_like(high)


class _Part:
    """One layer: its codes, the weights that they stand for, and latent weights for them.

    Args:
        packed: the network.
        index: of the layer.
        part: its place in its convolution.
        unseen: weights that make no difference; a trimmed file has fewer codes than p leaves, and these make up for it.
    """

    def __init__(self, packed: Packed, index: int, part: int, unseen: Marks) -> None:
        layer = packed.plan.layers[index]
        shape = layer.outputs, layer.inputs // layer.groups, layer.kernel, layer.kernel
        own = within_groups(layer)
        codes = packed.codes[index][own].astype(np.float64).reshape(shape)
        kept = kept_count(layer.weights, packed.genotype["p"])
        flat, free = codes.reshape(-1), unseen[own].reshape(-1) & (codes == 0).reshape(-1)
        for start, end, few in mask_groups(layer.weights, kept, layer.mask_n):
            missing = few - int(np.count_nonzero(flat[start:end]))
            places = start + np.flatnonzero(free[start:end])
            if not 0 <= missing <= len(places):
                raise InputError(f"model: expected as many weights in {layer.name} as p leaves, got {missing} too few")
            flat[places[:missing]] = 1 - 2 * (np.arange(missing) % 2)
        self.part, self.seen, self.wanted = part, torch.from_numpy(~unseen), torch.from_numpy(packed.weight(index))
        self.kept = codes != 0
        self._codes, self._bits, self._step = codes, layer.bits, float(packed.steps[index])
        self._noise = _noise(codes.size).reshape(codes.shape)
        self._latent = self._find(layer.name) * self._step

    def latent(self, nudge: int) -> NDArray[np.float32]:
        """Latent weights ``[O, I / groups, K, K]``, all of them larger by ``nudge`` times a fraction of their last place."""
        return (self._latent * (1 + nudge * _NUDGE)).astype(np.float32)

    def nudge_for(self, compressed: Tensor) -> int:
        """By how much weights must change so that they compress to the file's and not to ``compressed``."""
        sums = [float((weight * self.seen).abs().sum(dtype=torch.float64)) for weight in (self.wanted, compressed)]
        return round((sums[0] / sums[1] - 1) / _NUDGE) if min(sums) > 0 else 0

    def _find(self, name: str) -> Array:
        """Latent weights in steps, with the standard deviation that the step stands for.

        If the kept ones deviate too much in the middle of their levels, with 0 for pruned ones, they move towards the inner
        borders. Else pruned ones spread, or where there are none, weights of the outermost levels, outwards.
        """
        wanted = 1 / STEP_PER_STD[self._bits]
        middle, sign = self._codes / 2, np.sign(self._codes)
        if self._codes.size == 1:  # has no deviation
            return middle
        inner = middle - sign * (0.5 - _MARGIN)
        spread = np.where(self.kept, 0.0, self._noise)
        if self.kept.all():
            spread = sign * np.abs(self._noise) * (np.abs(self._codes) == 2**self._bits - 1)
        for start, way, most in ((inner, middle - inner, 1.0), (middle, spread, _MOST_SPREAD)):
            share = _share(start, way, wanted, most)
            if share is not None:
                found = start + share * way
                return found * (wanted / found.std(ddof=1))  # what rounding has left, far less than the margin
        raise InputError(f"model: expected codes of a trained network, got others in {name}")


def _share(start: Array, way: Array, wanted: float, most: float) -> float | None:
    """The least s in 0 … ``most`` with which ``start + s * way`` has the standard deviation ``wanted``; None without one."""
    (constant, linear), (_, square) = np.cov(start.ravel(), way.ravel())
    constant -= wanted**2
    root = linear**2 - square * constant
    if square <= 0 or root < 0:
        return None
    found = [s for s in ((-linear - root**0.5) / square, (-linear + root**0.5) / square) if 0 <= s <= most]
    return found[0] if found else None


def _noise(count: int) -> Array:
    """The quantiles of a Gaussian in a fixed, mixed order."""
    ranks = (np.arange(1, count + 1) - 0.5) / count
    values = torch.special.ndtri(torch.from_numpy(ranks)).numpy()
    mixed: Array = np.random.default_rng(0).permutation(values)
    return mixed


@torch.no_grad()
def _fill(conv: CompConv, parts: list[_Part]) -> None:
    """Writes weights and scores, nudged until the steps that the convolution finds are those of the file."""
    assert conv.scores is not None
    size = math.sqrt(6 / conv.weight[0, 0].numel())
    for part in parts:
        conv.weight[part.part] = torch.from_numpy(part.latent(0))
        sign = torch.where(conv.weight[part.part] < 0, -1.0, 1.0)
        conv.scores[part.part] = sign * torch.from_numpy(np.where(part.kept, size, size / 2).astype(np.float32))
    best = {part.part: (math.inf, 0) for part in parts}
    centre = dict.fromkeys(best, 0)
    for number, offset in enumerate(_offsets()):
        left = [part for part in parts if best[part.part][0]]
        if not left:
            return
        for part in left:
            conv.weight[part.part] = torch.from_numpy(part.latent(centre[part.part] + offset))
        compressed = conv.compressed_weight(None).chunk(len(parts))
        for part in left:
            found = compressed[part.part]
            difference = float(((found - part.wanted) * part.seen).abs().max())
            best[part.part] = min(best[part.part], (difference, centre[part.part] + offset))
            if number == 0:  # sums of many squares in single precision are off by more than a few places
                centre[part.part] = part.nudge_for(found)
    for part in parts:
        if best[part.part][0]:
            conv.weight[part.part] = torch.from_numpy(part.latent(best[part.part][1]))


def _offsets() -> Iterator[int]:
    yield 0
    yield 0
    for size in range(1, _TRIES):
        yield size
        yield -size
