"""Made learning curves, in families that are hard for stopping rules; every draw is another run of as many trials as are asked for."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.recordings import Recording

SEARCH, RETRAIN = 6, 20
CHANCE, SAMPLES = 10.0, 1000
FAMILIES = {
    "crossing": "large networks begin slowly and pass the small ones",
    "late bloomers": "one in four stays at a third of its accuracy until two thirds of the retraining are over",
    "slow with T": "epochs last as long as there are timesteps, and networks of many begin late",
    "jump at retraining": "supernets stop at half of their accuracy, in an order that says little; networks jump in their first epochs",
    "near ties": "accuracies of all but the smallest lie within a point",
}


def family(name: str, trials: int, generator: np.random.Generator) -> Recording:
    """One run.

    Args:
        name: of ``FAMILIES``.
        trials: how many.
        generator: of everything that chance decides.
    """
    curves = {}
    for number in range(trials):
        trial = f"made_{number}-seed_0"
        size = generator.uniform(0, 1)  # from 1 to 100 kB on a logarithmic scale
        timesteps = int(generator.integers(1, 5))
        synops = np.clip(0.6 * size + 0.1 * timesteps + generator.normal(0, 0.08), 0, 1.2)
        final = 60 + 35 * (1 - np.exp(-3 * (0.1 + size))) + 2 * synops + generator.normal(0, 1.5)
        if name == "near ties":
            final = 90 + generator.uniform(0, 1) - (15 if size < 0.15 else 0)
        pace = {"crossing": 3.5 - 2.5 * size, "slow with T": 4 - 0.8 * timesteps}.get(name, 2.5)
        late = name == "late bloomers" and generator.random() < 0.25
        top = final * (generator.uniform(0.4, 0.6) if name == "jump at retraining" else 0.85)
        seconds = (0.3 + 2 * 10**size / 10) * (timesteps if name == "slow with T" else 1)
        records: list[dict[str, Any]] = []
        for phase, epochs, limit in (("search", SEARCH, top), ("retrain", RETRAIN, final)):
            for epoch in range(1, epochs + 1):
                share = 1 - np.exp(-pace * epoch / epochs * 1.5)
                if epoch == epochs:
                    share = 1.0
                if late and not (phase == "retrain" and epoch > 2 * epochs / 3):
                    share *= 0.33
                accuracy = min(99.0, CHANCE + (limit - CHANCE) * share)
                noise = np.sqrt(accuracy * (100 - accuracy) / SAMPLES)
                bits = 8e3 * 100 ** (size + generator.normal(0, 0.02) * (phase == "search"))
                records.append(
                    {
                        "trial": trial,
                        "phase": phase,
                        "epoch": epoch,
                        "total": len(records) + 1,
                        "val_accuracy": float(np.clip(accuracy + generator.normal(0, noise), 0, 100)),
                        "size_bits": float(bits),
                        "model_size_bits": float(bits),
                        "bit_synops": float(1e5 * 300**synops),
                        "seconds": float(seconds * (2 if phase == "search" else 1)),
                    }
                )
        curves[trial] = records
    return Recording(name=name, curves=curves, chance=CHANCE, val_samples=SAMPLES)
