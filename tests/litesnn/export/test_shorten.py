"""Shorter scales and biases fire the same spikes: against every sequence of inputs that a small neuron can get."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray

from litesnn.export.convert import pack_exactly
from litesnn.export.membranes import Neuron, _how_many, _sums
from litesnn.export.shorten import _in_bf16, _shortest, shorten
from litesnn.export.sizes import measure_sizes
from litesnn.export.trim import trim
from tests.litesnn.export.old_file import answers_alike, old_network
from tests.litesnn.export.test_latent import random_model

Array = NDArray[np.float64]


def a_neuron(seed: int, layers: int, timesteps: int, tau: float = 0.2) -> Neuron:
    draw = np.random.default_rng(seed)
    most = 2 if timesteps == 3 else 4
    return Neuron(
        numbers=np.array([*draw.normal(1, 1, layers).astype(np.float32), draw.normal(0.2, 0.3)], float),
        factors=draw.uniform(0.05, 0.5, layers).astype(np.float32).astype(float),
        bounds=tuple((-int(draw.integers(0, most)), int(draw.integers(1, most))) for _ in range(layers)),
        skips=int(draw.integers(0, 2)),
        timesteps=timesteps,
        tau=tau,
        v_threshold=0.5,
    )


def trains(neuron: Neuron, numbers: Array) -> list[tuple[bool, ...]]:
    """What the neuron fires for every sequence of sums and skips, one after the other."""
    ranges = [range(low, high + 1) for low, high in [*neuron.bounds, (0, neuron.skips)]]
    fired = []
    for sequence in itertools.product(itertools.product(*ranges), repeat=neuron.timesteps):
        membrane, spikes = 0.0, []
        for *sums, skips in sequence:
            arriving = numbers[-1] + skips
            for count, factor, scale in zip(sums, neuron.factors, numbers[:-1], strict=True):
                arriving += count * factor * scale
            membrane = neuron.tau * membrane + arriving
            spikes.append(membrane > neuron.v_threshold)
            membrane = 0.0 if spikes[-1] else membrane
        fired.append(tuple(spikes))
    return fired


def significant_bits(value: float) -> int:
    """Of the number's binary digits, from the first to the last 1."""
    top = abs(Fraction(value).numerator)
    return (top >> ((top & -top).bit_length() - 1)).bit_length() if top else 0


@pytest.mark.parametrize("tau", [0.2, 0.25, 1.0])
@pytest.mark.parametrize(("layers", "timesteps"), [(0, 3), (1, 1), (1, 2), (1, 3), (2, 1), (2, 2)])
def test_every_sequence_of_inputs(layers: int, timesteps: int, tau: float) -> None:
    shorter = busy = 0
    for seed in range(12):
        neuron = a_neuron(seed, layers, timesteps, tau)
        found = _shortest([neuron])
        before = trains(neuron, neuron.numbers)
        assert trains(neuron, found) == before
        busy += len(set(before)) > 1
        bits = [sum(map(significant_bits, numbers.tolist())) for numbers in (neuron.numbers, found)]
        shorter += bits[1] < bits[0] / 2
    assert shorter >= 6 and (busy >= 6 or layers == 0)


@pytest.mark.parametrize("seed", range(20))
def test_no_membrane_moves_by_more_than_half_of_its_distance(seed: int) -> None:
    """Of all membranes, listed one by one, not only of those that are looked at."""
    neuron = a_neuron(seed, 2, 2)
    found = _shortest([neuron])
    ranges = [range(low, high + 1) for low, high in [*neuron.bounds, (0, neuron.skips)]]
    steps = list(itertools.product(*ranges))
    for run in [*itertools.product(steps, repeat=1), *itertools.product(steps, repeat=2)]:
        before, after = (
            sum(
                neuron.tau ** (len(run) - 1 - at)
                * (numbers[-1] + sums[-1] + sum(sums[i] * neuron.factors[i] * numbers[i] for i in range(2)))
                for at, sums in enumerate(run)
            )
            for numbers in (neuron.numbers, found)
        )
        assert abs(after - before) <= abs(before - neuron.v_threshold) / 2 + 1e-12


@pytest.mark.parametrize(("low", "high", "length", "tau"), [(-2, 3, 3, "1/5"), (0, 1, 4, "1/4"), (-1, 0, 2, "7/20")])
def test_sums_against_all_sequences(low: int, high: int, length: int, tau: str) -> None:
    leak = Fraction(tau)
    every = {
        sum(leak ** (length - 1 - at) * n for at, n in enumerate(sequence))
        for sequence in itertools.product(range(low, high + 1), repeat=length)
    }
    found = _sums(low, high, length, leak)
    np.testing.assert_allclose(found, sorted(map(float, every)), rtol=0, atol=1e-12)
    assert len(every) <= _how_many(low, high, length, leak)


def test_a_membrane_on_the_threshold_or_too_many_change_nothing() -> None:
    neuron = a_neuron(0, 1, 1)
    on = replace(neuron, numbers=np.array([1.0, neuron.v_threshold]))  # without a spike it is there exactly
    assert np.array_equal(_shortest([on]), on.numbers)
    many = replace(neuron, bounds=((-5000, 5000),), timesteps=6)
    assert many.near_the_threshold() is None and np.array_equal(_shortest([many]), many.numbers)
    odd = replace(neuron, tau=math.pi / 10)
    assert odd.near_the_threshold() is None


def test_bf16() -> None:
    import torch

    for value in (0.1, 1.0, 0.0123, 3.14159, 255.5):
        assert _in_bf16(value) == float(torch.tensor(value, dtype=torch.float32).bfloat16())
    bits = {  # significant bits of all scales and biases behind the stem
        several: sum(
            significant_bits(value)
            for values in shorten(pack_exactly(random_model(80, (several,) * 3, precision="bf16"))).scale[1:]
            for value in values.tolist()
        )
        for several in (1, 2)
    }
    assert bits[1] < 0.8 * bits[2]  # of several bits a code is no multiple of one number once it is rounded


def test_a_network_fires_the_same_and_its_file_is_smaller() -> None:
    packed = old_network()
    short, (_, alive) = shorten(packed), trim(packed)
    assert answers_alike(packed, short, alive) > 500
    sizes = [measure_sizes(network) for network in (packed, short)]
    numbers = [size.parts["scales and steps"] + size.parts["biases"] for size in sizes]
    assert numbers[1] < 0.9 * numbers[0] and sizes[1].file < sizes[0].file
    assert [size.parts["codes"] for size in sizes] == [sizes[0].parts["codes"]] * 2
    assert all(values.dtype == np.float32 for values in short.scale)
