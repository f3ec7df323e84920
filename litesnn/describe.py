"""A network in words and lines: its cell drawn, bits per cell, T, sizes, operations and energy."""

from litesnn.config import Recipe
from litesnn.cost import DerivedCost, dense_operations
from litesnn.export.sizes import Sizes, size_text
from litesnn.genotype import Genotype
from litesnn.kept import kept_count, position_bits
from litesnn.layout import conv_shapes


def draw_cell(genotype: Genotype, recipe: Recipe) -> str:
    """The cell that all cells of the network share, node by node.

    Example of one node::

        input 0 ── conv3x3 ─┐
        input 1 ── skip ────┴─▶ node 0
    """
    lines = []
    for node, pairs in enumerate(genotype.nodes):
        left = [(_source(source), _operation(source, op, recipe)) for source, op in pairs]
        names = max(len(name) for name, _ in left)
        ops = max(len(op) for _, op in left)
        for i, (name, op) in enumerate(left):
            end = "┐" if i == 0 else f"┴─▶ node {node}"
            lines.append(f"{name:<{names}} ── {op} ──{'─' * (ops - len(op))}{end}")
    outputs = ", ".join(f"node {node}" for node in range(len(genotype.nodes)))
    lines.append(f"{outputs} ──▶ output of the cell, concatenated")
    return "\n".join(lines)


def describe(genotype: Genotype, recipe: Recipe, cost: DerivedCost, activity: str, sizes: Sizes | None = None) -> str:
    """Text for a terminal.

    Args:
        genotype: the network.
        recipe: its recipe.
        cost: its counts.
        activity: one phrase that says which spike rates the counts rest on.
        sizes: of a trained network; without one they follow from the genotype, with positions at their entropy.
    """
    rows = [
        ("bits per cell", " ".join(map(str, genotype.bits))),
        ("bits of stem, classifier", f"{recipe.stem_bits}, {recipe.classifier_bits}"),
        ("timesteps T", str(genotype.timesteps)),
        ("pruned", pruned_text(genotype.p, recipe.mask_n)),
        *(_expected_sizes(genotype, recipe, cost) if sizes is None else sizes.lines()),
        ("dense operations", f"{dense_operations(genotype, recipe) / 1e6:.2f} M per timestep, nothing pruned"),
        ("additions", f"{additions_text(cost)} per sample ({activity})"),
        ("multiplications", f"{cost.multiplications / 1e6:.3f} M per sample (the stem)"),
        ("Bit-SynOps", f"{cost.bit_synops / 1e6:.3f} M per sample"),
        (
            "energy",
            f"{1e3 * cost.energy_mj:.3f} µJ per sample; the same network as an ANN {1e3 * cost.ann_energy_mj:.3f} µJ",
        ),
        ("  with bits", energy_bits_text(cost)),
    ]
    width = max(len(name) for name, _ in rows)
    table = "\n".join(f"{name:<{width}}  {value}" for name, value in rows)
    return f"{draw_cell(genotype, recipe)}\n\n{table}"


def pruned_text(p: float, mask_n: int) -> str:
    """``80 % of the weights of every layer``, and in which pattern where there is one."""
    share = f"{p:g} % of the weights of every layer"
    return f"{share}: {mask_n} of every {mask_n / (1 - p / 100):.4g} in a row stay" if p and mask_n else share


def additions_text(cost: DerivedCost) -> str:
    """``0.216 M``, and where each spike was counted ``0.184 M counted, 0.216 M by Eq. 12``."""
    by_rates = f"{cost.additions / 1e6:.3f} M"
    return (
        by_rates
        if cost.additions_exact is None
        else f"{cost.additions_exact / 1e6:.3f} M counted, {by_rates} by Eq. 12"
    )


def energy_bits_text(cost: DerivedCost) -> str:
    """The energy of docs/energy.md and its parts: ``0.512 µJ per sample: synapses 3 %, memory 41 %, …``."""
    energy = cost.energy_bits
    assert energy is not None
    shares = (f"{name} {100 * part / energy.total_mj:.0f} %" for name, part in energy.parts().items())
    return f"{1e3 * energy.total_mj:.3f} µJ per sample: {', '.join(shares)}"


def _expected_sizes(genotype: Genotype, recipe: Recipe, cost: DerivedCost) -> list[tuple[str, str]]:
    layers = conv_shapes(recipe, recipe.retrain_channels, recipe.classes, genotype)
    counts = [(layer.weights, kept_count(layer.weights, genotype.p)) for layer in layers]
    kept, weights = sum(few for _, few in counts), sum(many for many, _ in counts)
    positions = sum(position_bits(many, few, recipe.mask_n) for many, few in counts)
    dense = sum(layer.weights * (layer.bits or 0) for layer in layers)
    return [
        (
            "size as in the paper",
            f"{size_text(cost.model_size_bits)} (Eq. 18: kept weights at their bits, positions left out)",
        ),
        ("size when packed", f"about {size_text(cost.file_bits)}, less what training leaves without effect"),
        (
            "  positions",
            f"{size_text(positions)} ({positions / max(1, kept):.2f} bits for each of {kept:,} kept weights)",
        ),
        ("  batch norm and steps", f"{size_text(cost.side_bits)} (32 bits each)"),
        ("size when dense", f"{size_text(dense)} (all {weights:,} weights at the same bits)"),
    ]


def _source(source: int) -> str:
    return f"input {source}" if source < 2 else f"node {source - 2}"


def _operation(source: int, op: str, recipe: Recipe) -> str:
    """A skip from a cell input is a convolution, since the channel counts differ; say so."""
    return f"skip ({recipe.input_skip})" if op == "skip" and source < 2 else op
