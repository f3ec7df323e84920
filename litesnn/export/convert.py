"""From a trained network to its packed form and back.

A packed network must answer with the numbers of the network that was trained, not with numbers close to them.
Evaluation multiplies by two things that training keeps in other forms, and both are stored as evaluation sees them:

- a weight is level * step, rounded once; the step is found so that this holds for every kept weight of the layer;
- batch norm in evaluation is x * scale + bias with one scale and one bias per channel, which the library computes from
  four numbers. They are read off the library itself, since another order of the same formula differs in the last bit.

What the batch norms of a node's edges add is one sum, exact in double precision. ``unpack`` puts all of it into the same
``Network``, as fixed weights and as a batch norm of mean 0 and variance 1, so that the same operations run in the same
order on the same numbers, but for that sum: it is added with the first edge, which in single precision may round a membrane
the other way.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from litesnn.cell import EdgeConvs
from litesnn.checks import InputError
from litesnn.compconv import CompConv
from litesnn.export.file_layout import RATE_UNIT, rows_fed
from litesnn.export.packed import Packed
from litesnn.export.plan import make_plan
from litesnn.export.shorten import shorten
from litesnn.genotype import Genotype
from litesnn.model import Model
from litesnn.network import Network
from litesnn.quantize import layer_std, levels

_NEIGHBOURS = 4  # floats on each side of a quotient among which the step is looked for


class FixedConv(CompConv):
    """A CompConv whose compressed weight is given; nothing in it can be trained.

    Args:
        weight: ``[G * out_channels, in_channels, kernel, kernel]``.
        trained: the layer that it stands for.
    """

    fixed: Tensor

    def __init__(self, weight: Tensor, trained: CompConv) -> None:
        nn.Module.__init__(self)
        for name, value in vars(trained).items():  # kernel, stride, bits, …: whatever is no tensor
            if not name.startswith("_"):
                setattr(self, name, value)
        self.register_buffer("fixed", weight.contiguous(memory_format=torch.channels_last))

    def compressed_weight(self, bit_shares: Tensor | None) -> Tensor:
        """The given weight."""
        return self.fixed


def pack(model: Model) -> Packed:
    """The packed form of a trained model, its scales and biases as short as leave every spike where it is.

    Those of a network that came from a packed file stay as they are: they have been shortened, and trained since perhaps.

    Raises:
        InputError: weights or batch norm are not finite.
    """
    packed = pack_exactly(model)
    return packed if model.network.stem_norm.folded else shorten(packed)


@torch.no_grad()
def pack_exactly(model: Model) -> Packed:
    """The packed form of a trained model with the very numbers that its evaluation uses.

    Raises:
        InputError: weights or batch norm are not finite.
    """
    codes, steps, scale, shifts = [], [], [], []
    for conv, norm, part, parts in conv_layers(model.network):
        weight = conv.compressed_weight(None).chunk(parts)[part].cpu()
        layer_codes, step = _codes(weight, conv, part)
        codes.append(layer_codes)
        steps.append(step)
        if norm is not None:
            factor, shift = (values.chunk(parts)[part].cpu().numpy() for values in _affine(norm))
            scale.append(factor)
            shifts.append(shift.astype(np.float64))
    if not all(np.isfinite(values).all() for values in (np.array(steps), *scale, *shifts)):
        raise InputError("model: expected finite weights and batch norm, got NaN or infinity")
    genotype = json.loads(model.genotype.to_json())
    rows = make_plan(model.recipe, genotype).rows
    return Packed(
        recipe=model.recipe,
        genotype=genotype,
        classes=model.classes,
        codes=tuple(codes),
        steps=np.array(steps, np.float32),
        scale=tuple(scale),
        bias=tuple(sum((shifts[layer] for layer in row.layers), np.zeros(row.channels)) for row in rows),
        mean=model.mean.cpu().numpy(),
        std=model.std.cpu().numpy(),
        rates=(np.rint(model.rates.cpu().double().numpy() * RATE_UNIT) / RATE_UNIT).astype(np.float32),
    )


@torch.no_grad()
def unpack(packed: Packed, device: torch.device, *, double: bool = False) -> Model:
    """The model that ``pack`` was given, with the same logits and spikes; it cannot be trained further.

    Args:
        packed: the network.
        device: where it will run.
        double: build it in double precision instead, with products of code and step that are not rounded to single.

    Channels that are not in the file never fire in it, so that spike rates can be lower than the trained network's.
    """
    genotype, recipe = Genotype.from_json(json.dumps(dict(packed.genotype))), packed.recipe
    with torch.random.fork_rng(devices=[]), torch.device("meta"):  # shapes alone: all numbers come from the file
        network = Network(recipe, recipe.retrain_channels, recipe.classes, genotype.p, genotype)
    if double:
        network.double()
    rows, kind = rows_fed(packed.plan), np.float64 if double else np.float32
    weights: dict[int, list[Tensor]] = {}
    affine: dict[int, list[tuple[Tensor, Tensor]]] = {}
    owners: dict[int, tuple[CompConv, nn.BatchNorm2d | None]] = {}
    places = sorted(
        enumerate(conv_layers(network)), key=lambda item: item[1][2]
    )  # parts of one convolution in their order
    for index, (conv, norm, _, _) in places:
        owners[id(conv)] = conv, norm
        weights.setdefault(id(conv), []).append(torch.from_numpy(packed.weight(index, kind)))
        if norm is not None:
            row = rows[index]
            assert row is not None
            pair = torch.from_numpy(packed.scale[index].copy()), torch.from_numpy(packed.first_bias(row, index, kind))
            affine.setdefault(id(conv), []).append(pair)
    fixed = {key: FixedConv(torch.cat(parts), owners[key][0]) for key, parts in weights.items()}
    for key, (_, norm) in owners.items():
        if norm is not None:
            _set_affine(norm, *(torch.cat(values) for values in zip(*affine[key], strict=True)))
    network.stem, network.classifier = fixed[id(network.stem)], fixed[id(network.classifier)]
    for cell in network.cells:
        for convs in cell.convs:  # type: ignore[union-attr]
            convs.conv = fixed[id(convs.conv)]
    return Model(
        network=network.eval().requires_grad_(False).to(device),
        genotype=genotype,
        recipe=recipe,
        classes=packed.classes,
        mean=torch.from_numpy(packed.mean.copy()).to(device),
        std=torch.from_numpy(packed.std.copy()).to(device),
        rates=torch.from_numpy(packed.rates.copy()).to(device),
    )


def conv_layers(network: Network) -> Iterator[tuple[CompConv, nn.BatchNorm2d | None, int, int]]:
    """The layers in the order of the plan: their convolution and norm, and which of how many parts they are."""
    yield network.stem, network.stem_norm, 0, 1
    for cell in network.cells:
        found = []
        for convs in cell.convs:  # type: ignore[union-attr]
            assert isinstance(convs, EdgeConvs)
            for part, member in enumerate(convs.members):
                found.append(((member.node, member.source), (convs.conv, convs.norm, part, len(convs.members))))
        yield from (layer for _, layer in sorted(found, key=lambda item: item[0]))
    yield network.classifier, None, 0, 1


def _codes(weight: Tensor, conv: CompConv, part: int) -> tuple[NDArray[np.int8], np.float32]:
    """Codes and step of one layer's compressed weight, such that code / 2 * step is that weight to the last bit."""
    if isinstance(conv, FixedConv):
        raise InputError("model: expected a trained network, got one that has been packed")
    (bits,) = conv.bits
    _, near = levels(conv.weight[part], layer_std(conv.weight[part]), bits)
    values = weight.contiguous().numpy()
    kept = values[values != 0]
    step = np.float32(near.item())
    codes = np.where(values == 0, 0, 2 * np.floor(values / step) + 1).astype(np.int8)
    if not len(kept):
        return codes, step
    half = codes[codes != 0].astype(np.float32) / 2
    for candidate in _around(kept[0] / half[0]):
        if np.array_equal(half * candidate, kept):
            return codes, candidate
    raise InputError("model: expected weights that are multiples of one step, got others")


def _around(value: np.float32) -> list[np.float32]:
    """``value`` and its neighbours, nearest first."""
    found, low, high = [np.float32(value)], np.float32(value), np.float32(value)
    for _ in range(_NEIGHBOURS):
        low, high = np.nextafter(low, np.float32(0)), np.nextafter(high, np.float32(np.inf))
        found += [low, high]
    return found


def _affine(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """What batch norm in evaluation multiplies with and adds, per channel, as the library computes it."""
    assert norm.running_mean is not None and norm.running_var is not None
    weight, bias, mean, var = norm.weight, norm.bias, norm.running_mean, norm.running_var
    ones = torch.ones(1, len(weight), 1, 1, device=weight.device)
    no = torch.zeros_like(mean)
    scale = F.batch_norm(ones, no, var, weight, no, False, 0.0, norm.eps)
    shift = F.batch_norm(0 * ones, mean, var, weight, bias, False, 0.0, norm.eps)
    return scale.flatten(), shift.flatten()


def _set_affine(norm: nn.BatchNorm2d, scale: Tensor, bias: Tensor) -> None:
    """Makes a batch norm in evaluation multiply with ``scale`` and add ``bias``, exactly."""
    assert norm.running_mean is not None and norm.running_var is not None
    norm.to_empty(device="cpu")
    norm.eps = 0.0
    norm.running_mean.zero_()
    norm.running_var.fill_(1.0)
    norm.weight.copy_(scale)
    norm.bias.copy_(bias)
