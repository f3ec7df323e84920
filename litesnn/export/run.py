"""``litesnn run``: one file classified by the reference runtime, with its counts. Loads no torch for images."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from litesnn.checks import check_integer, fail
from litesnn.export.inputs import read_input
from litesnn.export.packed import Packed, read_packed
from litesnn.export.runtime import Answer, Runtime
from litesnn.prediction import Prediction


def run(args: argparse.Namespace) -> None:
    """Prints the classes of ``args.input`` by the network in ``args.model``."""
    top = check_integer("top", args.top, minimum=1)
    if args.model.suffix == ".safetensors":
        raise fail("model", "a packed network (litesnn export MODEL)", str(args.model))
    packed = read_packed(args.model)
    x = read_input(Path(args.input), packed)
    runtime = Runtime(packed)
    started = time.perf_counter()
    answer = runtime(x)
    print(report(packed, answer, top, time.perf_counter() - started))


def report(packed: Packed, answer: Answer, top: int, seconds: float) -> str:
    """The text that ``run`` prints."""
    best = np.argsort(-answer.scores, kind="stable")[:top]
    shares = Prediction.of(answer.scores, packed.classes, packed.recipe.logit_scale).probabilities
    width = max(len(packed.classes[k]) for k in best)
    lines = [f"{packed.classes[k]:<{width}}  {100 * shares[k]:5.1f} %   score {answer.scores[k]:.4f}" for k in best]
    fired = sum(int(spikes.sum()) for spikes in answer.spikes)
    updates = sum(spikes.size for spikes in answer.spikes)
    rows = [
        ("spikes", f"{fired:,} of {updates:,} neuron updates in {packed.plan.timesteps} timesteps"),
        ("additions", f"{answer.additions:,} of integer codes; SynOps of these spikes by Eq. 12: {answer.synops:,.0f}"),
        (
            "multiplications",
            f"{answer.multiplications:,} in the stem, once; counted for every timestep: {answer.stem_synops:,.0f}",
        ),
        ("neurons", f"{answer.neuron_additions:,} additions, {answer.neuron_multiplications:,} multiplications"),
        ("time", f"{1e3 * seconds:.1f} ms of NumPy, made for counting and not for speed"),
    ]
    width = max(len(name) for name, _ in rows)
    return "\n".join([*lines, "", *(f"{name:<{width}}  {value}" for name, value in rows)])
