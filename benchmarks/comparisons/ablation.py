"""λ1 and λ2 varied as in the paper's ablation: size, Bit-SynOps, bits, timesteps and accuracy over several seeds.

Sec. 4.3 and Fig. 3 vary the two weights of the paper's small network (p = 90): (λ1, 0), (λ1, λ2) and (5 λ1, λ2). Here the same
three, and none of both for comparison, with levels at which the cost terms matter to the recipe. The paper's claims are that
λ2 lowers Bit-SynOps and size, and that more of λ1 lowers both as well, at the expense of accuracy.

    python -m benchmarks ablation digits --seeds 3
"""

from __future__ import annotations

import statistics
import sys
from pathlib import Path
from typing import Any

from benchmarks.comparisons.pictures import draw_ablation
from benchmarks.comparisons.repeats import (
    Record,
    Row,
    by_variant,
    mean_text,
    of_variant,
    paired,
    parser,
    presets_of,
    run_command,
    train_point,
)
from benchmarks.record import heading, table
from litesnn.config import SearchPoint
from litesnn.data import Dataset

P = 90
FACTOR = 5
"""The paper's larger λ1 over its usual one."""
LEVELS = {  # λ1, λ2; for the paper's own recipe the paper's
    "digits": (5e-6, 5e-9),
    "cifar10-small": (5e-6, 5e-10),
    "gsc-small": (5e-6, 5e-10),
    "cifar10": (1e-9, 1e-13),
}
NONE, FIRST, BOTH, LARGER = "no λ", "λ1", "λ1 and λ2", f"{FACTOR} λ1 and λ2"
VARIANTS = NONE, FIRST, BOTH, LARGER
CLAIMS = (  # from, to, what the paper says goes down
    (NONE, FIRST, "model_size_bits"),
    (FIRST, BOTH, "bit_synops"),
    (FIRST, BOTH, "model_size_bits"),
    (BOTH, LARGER, "model_size_bits"),
    (BOTH, LARGER, "bit_synops"),
)
NAMES = {"model_size_bits": "model size", "bit_synops": "Bit-SynOps"}
IMAGE = Path(__file__).parents[2] / "docs" / "images" / "ablation.png"


def point(preset: str, variant: str) -> SearchPoint:
    """λ1, λ2 and p of a variant."""
    lambda1, lambda2 = LEVELS[preset]
    first = {NONE: 0.0, FIRST: lambda1, BOTH: lambda1, LARGER: float(f"{FACTOR * lambda1:.6g}")}[variant]
    return SearchPoint(lambda1=first, lambda2=lambda2 if variant in (BOTH, LARGER) else 0, p=P)


def verdict(runs: list[Row], first: str, second: str, key: str) -> str:
    """One line: what became of a cost from one variant to the next, and whether every seed says the same."""
    changes = paired(runs, first, second, key)
    before = statistics.mean(row[key] for row in of_variant(runs, first))
    after = statistics.mean(row[key] for row in of_variant(runs, second))
    down = sum(change < 0 for change in changes)
    if down == len(changes):
        word = "holds with every seed"
    elif after < before:
        word = f"holds on average, with {down} of {len(changes)} seeds"
    else:
        word = f"does NOT hold: lower with {down} of {len(changes)} seeds"
    return f"{first} -> {second}: {NAMES[key]} {100 * (after / before - 1):+.0f} %, the paper's direction (down) {word}"


def report(result: dict[str, Any]) -> str:
    """The stored record as a table, and whether the paper's directions are found."""
    lines = heading(result)
    for preset, found in presets_of(result):
        body = []
        for variant, rows in by_variant(found["runs"], VARIANTS):
            at = point(preset, variant)
            body.append(
                [
                    f"{preset} {variant}",
                    *(f"{value:g}" for value in (at.lambda1, at.lambda2)),
                    mean_text([row["test_accuracy"] for row in rows], ".2f"),
                    mean_text([row["model_size_bits"] / 8e3 for row in rows], ".3f"),
                    mean_text([row["bit_synops"] / 1e6 for row in rows], ".3f"),
                    mean_text([statistics.mean(row["bits"]) for row in rows], ".2f"),
                    mean_text([row["timesteps"] for row in rows], ".1f"),
                    str(len(rows)),
                ]
            )
        lines += table(["", "λ1", "λ2", "test %", "size kB", "Bit-SynOps M", "bits, mean of cells", "T", "seeds"], body)
        lines += [verdict(found["runs"], *claim) for claim in CLAIMS if len(body) == len(VARIANTS)]
        lines.append("")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit code."""
    made = parser("ablation", __doc__, list(LEVELS))
    made.add_argument("--image", type=Path, default=IMAGE, metavar="FILE.png", help="the picture")
    options = made.parse_args(arguments)

    def work(record: Record) -> None:
        def train(variant: str, seed: int, data: Dataset) -> Row:
            chosen = point(options.preset, variant)
            return train_point(chosen, record.recipe, data, seed, record.start(VARIANTS.index(variant), seed))

        record.complete(VARIANTS, train)
        draw_ablation(record.here["runs"], VARIANTS, options.preset, options.image)

    return run_command("ablation", options, work, report)


if __name__ == "__main__":
    sys.exit(main())
