"""Additions counted spike by spike against Eq. 12, and the energy that knows bits against the paper's.

Networks are searched and retrained at three pruning rates, from none of the λ to much of them. Of each the spikes of the
validation split are counted; Eq. 12 takes the rates of the same spikes. Why they differ is taken apart by counting the
additions of the cells for spikes that are evened out: over all neurons that a layer reads, over the pixels of a channel, not at all.

    python -m benchmarks additions digits --search-epochs 2 --psi-warmup-epochs 1 --retrain-epochs 6
"""

from __future__ import annotations

import json
import sys
from itertools import pairwise
from typing import Any

import torch

from benchmarks.comparisons.repeats import (
    Record,
    Row,
    by_variant,
    mean_text,
    measured,
    parser,
    presets_of,
    run_command,
    search_and_retrain,
)
from benchmarks.record import heading, table
from litesnn.additions import layer_additions
from litesnn.config import SearchPoint
from litesnn.cost import energy_mj
from litesnn.data import Dataset
from litesnn.evaluate import evaluate
from litesnn.export.convert import conv_layers
from litesnn.export.plan import make_plan
from litesnn.inference import freeze
from litesnn.kept import kept_count
from litesnn.model import Model

POINTS = {
    "digits": {
        "p = 50": SearchPoint(lambda1=0, lambda2=0, p=50),
        "p = 80": SearchPoint(lambda1=1e-6, lambda2=1e-9, p=80),
        "p = 95": SearchPoint(lambda1=1e-5, lambda2=1e-8, p=95),
    },
}
"""Per preset three pruning rates, with none, little and much of both λ."""
CAUSES = "eq_12", "geometry", "channels", "counted"
_FINE = 2.0**24


def difference(row: Row) -> float:
    """By how many percent Eq. 12 is above what was counted; below where negative."""
    return 100 * (float(row["additions"]) / float(row["additions_exact"]) - 1)


def factor(row: Row, part: str | None = None) -> float:
    """The energy that knows bits, or one part of it, in multiples of what the paper's model gives."""
    parts: dict[str, float] = row["energy_bits"]
    paper = energy_mj(row["additions"], row["multiplications"])
    return (sum(parts.values()) if part is None else parts[f"{part}_mj"]) / paper


def causes(model: Model, data: Dataset) -> dict[str, float]:
    """Additions of the cells per sample, from Eq. 12 to the count.

    Returns:
        ``eq_12``; ``geometry``: borders and strides counted, every neuron that a layer reads equally busy; ``channels``:
        every pixel of a channel equally busy; ``counted``.
    """
    frozen, timesteps = freeze(model.network), model.genotype.timesteps
    result = evaluate(lambda x: frozen(x, timesteps, measure_rates=True, count_spikes=True), data, data.val, timesteps)
    assert result.spikes is not None
    plan = make_plan(model.recipe, json.loads(model.genotype.to_json()))
    found = dict.fromkeys(CAUSES, 0.0)
    for layer, (conv, _, part, parts) in zip(plan.layers[1:-1], list(conv_layers(model.network))[1:-1], strict=True):
        weight = conv.compressed_weight(None).detach().chunk(parts)[part]
        spikes = torch.cat([result.spikes[row] for row in layer.reads]) / result.samples
        even = {
            "geometry": spikes.mean().expand_as(spikes),
            "channels": spikes.mean((1, 2), keepdim=True).expand_as(spikes),
            "counted": spikes,
        }
        found["eq_12"] += kept_count(layer.weights, model.genotype.p) * layer.positions * float(spikes.mean())
        for cause, state in even.items():  # what is counted comes out whole
            found[cause] += layer_additions(layer, weight, state * _FINE) / _FINE
    return found


def report(result: dict[str, Any]) -> str:
    """The stored record: a line per network, then per pruning rate the mean over the seeds."""
    lines = heading(result)
    for preset, found in presets_of(result):
        variants = list(by_variant(found["runs"], list(POINTS[preset])))
        body = [_line(f"{preset} {name}, seed {row['seed']}", row) for name, rows in variants for row in rows]
        names = "test %", "T", "bits", "counted k", "Eq. 12 k", "differs %", "paper nJ", "with bits nJ", *_PARTS
        lines += [*table(["network", *names], body), ""]
        for name, rows in variants:
            steps = [[100 * (row["causes"][b] / row["causes"][a] - 1) for row in rows] for a, b in pairwise(CAUSES)]
            lines.append(
                f"{preset} {name}: Eq. 12 differs by {mean_text([difference(row) for row in rows], '.1f')} %; "
                f"with bits {mean_text([factor(row) for row in rows], '.2f')} times the paper's energy, "
                f"neurons alone {mean_text([factor(row, 'neurons') for row in rows], '.2f')} times; "
                "from Eq. 12 to the count of the cells: borders and strides "
                f"{mean_text(steps[0], '.1f')} %, channels {mean_text(steps[1], '.1f')} %, pixels {mean_text(steps[2], '.1f')} %"
            )
    return "\n".join(lines)


_PARTS = "synapses", "memory", "scales", "neurons", "stem"


def _line(name: str, row: Row) -> list[str]:
    parts = row["energy_bits"]
    whole = sum(parts.values())
    return [
        name,
        f"{row['test_accuracy']:.2f}",
        str(row["timesteps"]),
        " ".join(map(str, row["bits"])),
        f"{row['additions_exact'] / 1e3:.1f}",
        f"{row['additions'] / 1e3:.1f}",
        f"{difference(row):+.1f}",
        f"{1e6 * energy_mj(row['additions'], row['multiplications']):.1f}",
        f"{1e6 * whole:.1f}",
        *(f"{100 * parts[f'{part}_mj'] / whole:.0f} %" for part in _PARTS),
    ]


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit code."""
    options = parser("additions", __doc__, list(POINTS)).parse_args(arguments)

    def work(record: Record) -> None:
        points = POINTS[options.preset]

        def train(variant: str, seed: int, data: Dataset) -> Row:
            trained = search_and_retrain(points[variant], record.recipe, data, seed, record.start(variant, seed))
            cost = trained.cost
            assert cost.energy_bits is not None
            return {
                **measured(trained),
                "causes": causes(trained.model, data),
                "additions_exact": cost.additions_exact,
                "energy_bits": {f"{name}_mj": part for name, part in cost.energy_bits.parts().items()},
            }

        record.complete(list(points), train)

    return run_command("additions", options, work, report)


if __name__ == "__main__":
    sys.exit(main())
