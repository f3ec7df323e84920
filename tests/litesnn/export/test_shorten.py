"""Shorter scales and biases fire the same spikes: against every sequence of inputs that a small neuron can get."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray

from litesnn.export.membranes import Neuron, _sums, how_many
from litesnn.export.shorten import CLEARANCE, limits_of, shorten
from litesnn.export.shortest import Limits, _shortest_between, _significant, shortest
from litesnn.export.sizes import measure_sizes
from litesnn.export.trim import trim
from tests.litesnn.export.old_file import answers_alike, old_network

Array = NDArray[np.float64]


def a_neuron(seed: int, layers: int, timesteps: int, tau: float = 0.2) -> Neuron:
    draw = np.random.default_rng(seed)
    most = 2 if timesteps == 3 else 4
    worth = draw.normal(1, 1, layers) * draw.uniform(0.05, 0.5, layers)
    return Neuron(
        worth=np.array([*worth, draw.normal(0.2, 0.3)]),
        bounds=tuple((-int(draw.integers(0, most)), int(draw.integers(1, most))) for _ in range(layers)),
        skips=int(draw.integers(0, 2)),
        timesteps=timesteps,
        tau=tau,
        v_threshold=0.5,
    )


def shorter(neuron: Neuron) -> Array:
    """Its numbers with fewer digits."""
    limits = limits_of(neuron)
    assert limits is not None
    found = shortest(limits, neuron.worth)
    assert found is not None
    return found


def membranes(neuron: Neuron, worth: Array) -> list[list[float]]:
    """For every sequence of sums and skips, one after the other, the membrane at each timestep."""
    ranges = [range(low, high + 1) for low, high in [*neuron.bounds, (0, neuron.skips)]]
    found = []
    for sequence in itertools.product(itertools.product(*ranges), repeat=neuron.timesteps):
        membrane, had = 0.0, []
        for *sums, skips in sequence:
            arriving = worth[-1] + skips
            for count, each in zip(sums, worth[:-1], strict=True):
                arriving += count * each
            membrane = neuron.tau * membrane + arriving
            had.append(float(membrane))
            membrane = 0.0 if membrane > neuron.v_threshold else membrane
        found.append(had)
    return found


def trains(neuron: Neuron, worth: Array) -> list[list[bool]]:
    """What it fires."""
    return [[membrane > neuron.v_threshold for membrane in had] for had in membranes(neuron, worth)]


def significant_bits(value: float) -> int:
    """Of the number's binary digits, from the first to the last 1."""
    top = abs(Fraction(value).numerator)
    return (top >> ((top & -top).bit_length() - 1)).bit_length() if top else 0


@pytest.mark.parametrize("tau", [0.2, 0.25, 1.0])
@pytest.mark.parametrize(("layers", "timesteps"), [(0, 3), (1, 1), (1, 2), (1, 3), (2, 1), (2, 2)])
@pytest.mark.parametrize("together", [2**18, 0])
def test_every_sequence_of_inputs(
    layers: int, timesteps: int, tau: float, together: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where sums are too many to ask which membranes fired before."""
    monkeypatch.setattr("litesnn.export.membranes._MOST_TOGETHER", together)
    few = busy = 0
    for seed in range(12):
        neuron = a_neuron(seed, layers, timesteps, tau)
        found = shorter(neuron)
        before = trains(neuron, neuron.worth)
        assert trains(neuron, found) == before
        busy += len(set(map(tuple, before))) > 1
        bits = [sum(map(significant_bits, numbers.tolist())) for numbers in (neuron.worth, found)]
        few += bits[1] < bits[0] / 4
    assert few >= 6 and (busy >= 6 or layers == 0)


@pytest.mark.parametrize("seed", range(20))
def test_every_membrane_stays_clear_of_the_threshold(seed: int) -> None:
    """Of all that it can have, listed one by one, not only of those that are looked at."""
    neuron = a_neuron(seed, 2, 2)
    after = membranes(neuron, shorter(neuron))
    for had, has in zip(membranes(neuron, neuron.worth), after, strict=True):
        for one, other in zip(had, has, strict=True):
            distance, left = one - neuron.v_threshold, other - neuron.v_threshold
            assert (left > 0) == (distance > 0)
            assert abs(left) >= min(abs(distance) / 2, CLEARANCE) - 1e-12


def test_membranes_that_fired_before_are_not_asked() -> None:
    """Of a neuron that fires whenever a spike comes there is no second timestep with two spikes."""
    neuron = Neuron(worth=np.array([0.9, 0.0]), bounds=((0, 1),), skips=0, timesteps=2, tau=0.5, v_threshold=0.5)
    near = neuron.near_the_threshold()
    assert near is not None
    assert sorted(near[0][:, 0].tolist()) == [0, 0, 1, 1]  # 1.5 would be a spike after a spike


def test_the_fewest_bits_against_every_number_of_so_many() -> None:
    """One scale of at most 5 bits and a bias in steps of 1/64: nothing that is tried one by one is shorter."""
    draw = np.random.default_rng(0)
    for _ in range(20):
        neuron = a_neuron(int(draw.integers(10**6)), 1, 2)
        limits = limits_of(neuron)
        assert limits is not None
        found = shorter(neuron)
        scales = [m / 32 * 2.0**e for m in range(16, 32) for e in range(-8, 4)]
        near = [s for s in scales if abs(neuron.worth[0]) / 2 < s < 2 * abs(neuron.worth[0])]
        every = itertools.product(np.copysign(near, neuron.worth[0]), np.arange(-128, 129) / 64)
        fits = [pair for pair in map(np.array, every) if limits.missed_by(pair).max() <= 0 and pair[1]]
        fewest = min((sum(map(significant_bits, pair.tolist())) for pair in fits), default=99)
        assert sum(map(significant_bits, found.tolist())) <= fewest + 1


def test_the_shortest_number_of_an_interval() -> None:
    low, high = np.array([0.3, -0.2, 5.01, 0.7]), np.array([0.6, 0.1, 5.02, 0.8])
    found, bits = _shortest_between(low, high, 0.5)
    assert found.tolist() == [0.5, 0.0, 5.015625, 0.75] and bits.tolist() == [1, 4, 9, 2]
    assert ((low <= found) & (found <= high)).all()
    values = np.random.default_rng(0).normal(size=50).astype(np.float32).astype(float)
    assert _significant(values).tolist() == [significant_bits(value) for value in values.tolist()]


def test_a_scale_of_zero_stays_zero() -> None:
    """A batch norm may multiply a channel by nothing; the channel keeps all its numbers."""
    neuron = a_neuron(0, 2, 2)
    neuron = replace(neuron, worth=np.array([0.0, *neuron.worth[1:]]))
    limits = limits_of(neuron)
    assert limits is not None and shortest(limits, neuron.worth) is None
    packed = old_network()
    zero = [values.copy() for values in packed.scale]
    for values in zero[1:]:
        values[::2] = 0
    packed = replace(packed, scale=tuple(zero))
    short, (_, alive) = shorten(packed), trim(packed)
    assert answers_alike(packed, short, alive)
    assert all((values[::2] == 0).all() for values in short.scale[1:])


def test_limits_that_leave_nothing() -> None:
    ways = np.array([[1.0, 1.0], [-1.0, -1.0]])
    assert shortest(Limits(ways, np.array([1.0, -0.9])), np.array([0.5, 0.5])) is None


@pytest.mark.parametrize(("low", "high", "length", "tau"), [(-2, 3, 3, "1/5"), (0, 1, 4, "1/4"), (-1, 0, 2, "7/20")])
def test_sums_against_all_sequences(low: int, high: int, length: int, tau: str) -> None:
    leak = Fraction(tau)
    every = {
        sum(leak ** (length - 1 - at) * n for at, n in enumerate(sequence))
        for sequence in itertools.product(range(low, high + 1), repeat=length)
    }
    found = _sums(low, high, length, leak)
    np.testing.assert_allclose(found, sorted(map(float, every)), rtol=0, atol=1e-12)
    assert len(every) <= how_many(low, high, length, float(leak))


def test_a_membrane_on_the_threshold_or_too_many_change_nothing() -> None:
    neuron = a_neuron(0, 1, 1)
    on = replace(neuron, worth=np.array([1.0, neuron.v_threshold]))  # without a spike it is there exactly
    assert limits_of(on) is None
    many = replace(neuron, bounds=((-5000, 5000),), timesteps=6)
    assert many.near_the_threshold() is None and limits_of(many) is None
    odd = replace(neuron, tau=math.pi / 10)
    assert odd.near_the_threshold() is None


def test_a_network_fires_the_same_and_its_file_is_smaller() -> None:
    packed = old_network()
    short, (_, alive) = shorten(packed), trim(packed)
    assert answers_alike(packed, short, alive) > 500
    sizes = [measure_sizes(network) for network in (packed, short)]
    numbers = [size.parts["scales and steps"] + size.parts["biases"] for size in sizes]
    assert numbers[1] < 0.9 * numbers[0] and sizes[1].file < sizes[0].file
    assert [size.parts["codes"] for size in sizes] == [sizes[0].parts["codes"]] * 2
    assert all(values.dtype == np.float32 for values in short.scale)
