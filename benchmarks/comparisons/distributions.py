"""Distributions of W, ē(W) and the output with the pruning rate, drawn from a trained layer of a real search.

Fig. 2(c) of the paper: W is bell-shaped; ē(W), its quantised versions mixed over bit-widths (Eq. 10), is discrete and of the
same trend; small weights are pruned more, so that W_output (Eq. 11) is high on the sides and low at the centre and far out.
Here all three are taken after a whole search from the largest layer that decoding keeps (the first of equals), and
summarised for all layers of the supernet. By construction every layer is pruned by exactly p; where in W it is
pruned was learned.

    python -m benchmarks distributions digits
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.comparisons.pictures import draw_distributions
from benchmarks.comparisons.repeats import Record, parser, presets_of, run_command
from benchmarks.record import heading, progress, table
from litesnn.compconv import CompConv
from litesnn.config import SearchPoint
from litesnn.joint_search import Search
from litesnn.layout import ConvShape, conv_shapes
from litesnn.prune import prune_mask
from litesnn.quantize import fake_quantize
from litesnn.run import complete

POINTS = {
    "digits": SearchPoint(lambda1=1e-6, lambda2=1e-9, p=50),
    "cifar10-small": SearchPoint(lambda1=1e-6, lambda2=1e-10, p=50),
    "gsc-small": SearchPoint(lambda1=1e-6, lambda2=1e-10, p=50),
}
REACH = 3.5
"""How many standard deviations the bins reach to both sides; what lies beyond is in the outermost ones."""
BINS = 43  # odd: one of them is centred on zero
IMAGE = Path(__file__).parents[2] / "docs" / "images" / "distributions.png"


@dataclass(frozen=True, kw_only=True)
class Trained:
    """The tensors of one CompConv after a search, flat, ``[weights]`` each.

    Args:
        shape: the layer.
        weight: W.
        mixed: ē(W), the mean of its quantised versions by the shares of the bit-widths.
        mask: 1 where a weight is kept.
    """

    shape: ConvShape
    weight: Tensor
    mixed: Tensor
    mask: Tensor


def trained_layers(search: Search) -> Iterator[Trained]:
    """Every CompConv of a search's supernet."""
    recipe, network = search.recipe, search.network
    shapes = conv_shapes(recipe, recipe.search_channels, recipe.searched_classes, None)
    shares = search.arch.shares().bits.detach()
    of_cells = {(shape.cell, shape.edge, shape.op): shape for shape in shapes if shape.cell is not None}
    yield from _layers(network.stem, None, shapes[:1])
    for index, cell in enumerate(network.cells):
        for group in cell.convs:  # type: ignore[union-attr]
            members = [of_cells[index, member.edge, member.op] for member in group.members]
            yield from _layers(group.conv, shares[index], members)
    yield from _layers(network.classifier, None, shapes[-1:])


def _layers(conv: CompConv, shares: Tensor | None, shapes: list[ConvShape]) -> Iterator[Trained]:
    """The layers of a group, Eq. 8 to 11 one by one."""
    weight, scores = conv.weight.detach(), conv.importance.detach()
    parts = zip(conv.bits, [1.0] if shares is None else shares.tolist(), strict=True)
    mixed = sum(share * fake_quantize(weight, bits, start_dim=1) for bits, share in parts)
    assert isinstance(mixed, Tensor)
    mask = prune_mask(scores, conv.p, start_dim=1)
    for shape, *tensors in zip(shapes, weight, mixed, mask, strict=True):
        flat = [tensor.flatten() for tensor in tensors]
        yield Trained(shape=shape, weight=flat[0], mixed=flat[1], mask=flat[2])


def histograms(layer: Trained) -> dict[str, Any]:
    """The distributions of a layer, in units of the standard deviation of W.

    Returns:
        ``edges`` of the bins of W, ``weights`` and ``pruned`` per bin, and the exact ``values`` with their ``counts`` of
        ē(W) and of the output, where 0 is what is pruned.
    """
    std = float(layer.weight.std())
    edges = torch.linspace(-REACH, REACH, BINS + 1, dtype=torch.float64)
    scaled = (layer.weight.double() / std).clamp(-REACH, REACH)

    def count(values: Tensor) -> list[int]:
        return [int(n) for n in torch.histogram(values, edges)[0]]

    return {
        "weight_std": std,
        "edges": [round(float(edge), 6) for edge in edges],
        "weights": count(scaled),
        "pruned": count(scaled[layer.mask == 0]),
        "mixed": _levels(layer.mixed / std),
        "output": _levels(layer.mixed * layer.mask / std),
    }


def _levels(values: Tensor) -> dict[str, list[Any]]:
    """The different values of a discrete distribution, and how many of each."""
    rounded = (values.double() * 1e5).round() / 1e5 + 0.0  # no -0
    found, counts = rounded.unique(return_counts=True)
    return {"values": [round(v, 5) for v in found.tolist()], "counts": counts.tolist()}


def summary(layer: Trained) -> dict[str, Any]:
    """One line on a layer: pruning rates in percent of all weights, of the quarter smallest in |W| and of the largest."""
    count = layer.weight.numel()
    quarter = max(1, count // 4)
    order = layer.weight.abs().argsort()
    pruned = 100 * (1 - layer.mask[order])
    centred = layer.weight.double() - layer.weight.double().mean()
    variance = centred.square().mean()
    return {
        "name": layer.shape.name,
        "weights": count,
        "kept": int(layer.mask.sum()),
        "pruned": float(pruned.mean()),
        "pruned_of_smallest_quarter": float(pruned[:quarter].mean()),
        "pruned_of_largest_quarter": float(pruned[-quarter:].mean()),
        "skewness": float(centred.pow(3).mean() / variance.pow(1.5)),
        "excess_kurtosis": float(centred.pow(4).mean() / variance.square() - 3),
        "levels": int(layer.mixed.unique().numel()),
    }


def find(record: Record) -> None:
    """Searches once, then describes its layers."""
    point, recipe = POINTS[record.options.preset], record.recipe
    search = Search(point, recipe, record.data(), seed=0, device=torch.device("cpu"))
    complete(search, record.start("search"), lambda epoch: progress(f"epoch {epoch.epoch} of {epoch.epochs}"), None)
    layers = list(trained_layers(search))
    genotype = search.genotype()
    kept = {shape.name for shape in conv_shapes(recipe, recipe.search_channels, recipe.searched_classes, genotype)} - {
        "stem",
        "classifier",
    }
    largest = max((layer for layer in layers if layer.shape.name in kept), key=lambda layer: layer.shape.weights)
    assert largest.shape.cell is not None
    shares = search.arch.shares().bits[largest.shape.cell].tolist()
    record.here.update(
        point={"lambda1": point.lambda1, "lambda2": point.lambda2, "p": point.p},
        bit_shares={str(bits): share for bits, share in zip(recipe.bit_widths, shares, strict=True)},
        layer=largest.shape.name,
        shape=[largest.shape.out_channels, largest.shape.in_channels, largest.shape.kernel, largest.shape.kernel],
        **histograms(largest),
        layers=[summary(layer) for layer in layers],
    )


def report(result: dict[str, Any]) -> str:
    """The stored record: the drawn layer, and one line per layer of the supernet."""
    lines = heading(result)
    for preset, found in presets_of(result):
        shares = ", ".join(f"{bits} bits {share:.2f}" for bits, share in found["bit_shares"].items())
        lines += [f"{preset}, drawn: {found['layer']}, W {found['shape']}; shares of the bit-widths: {shares}", ""]
        body = [
            [
                row["name"],
                str(row["weights"]),
                str(row["levels"]),
                *(f"{row[f'pruned{which}']:.1f}" for which in ("", "_of_smallest_quarter", "_of_largest_quarter")),
                *(f"{row[key]:+.2f}" for key in ("skewness", "excess_kurtosis")),
            ]
            for row in found["layers"]
        ]
        header = ["", "weights", "levels of ē(W)", "pruned %", "of smallest quarter", "of largest quarter"]
        lines += [*table([*header, "skewness of W", "excess kurtosis"], body), ""]
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit code."""
    made = parser("distributions", __doc__, list(POINTS))
    made.add_argument("--image", type=Path, default=IMAGE, metavar="FILE.png", help="the picture")
    options = made.parse_args(arguments)

    def work(record: Record) -> None:
        find(record)
        found = record.here
        outputs, inputs, kernel, _ = found["shape"]
        size = f"{kernel} x {kernel} convolution, {inputs} to {outputs} channels"
        title = f"{options.preset}, {found['layer']} ({size}) after the search, p = {found['point']['p']:g} %"
        draw_distributions(found, title, options.image)

    return run_command("distributions", options, work, report)


if __name__ == "__main__":
    sys.exit(main())
