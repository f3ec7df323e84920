"""An event-driven reference runtime: what a device does with a packed network, in integer additions. NumPy alone.

Between stem and scores only spikes travel. A spike adds the codes of the kept weights of its channel to the integer
accumulators that it reaches; where no spike is, nothing happens. Then each neuron takes its accumulators times one
number per channel plus another (quantisation step and batch norm in one), leaks, and fires or not (Eq. 1). The stem
sees real values and multiplies; its frame is the same at every timestep, so it works once.

The integer sums are exact in any order, what follows is in double precision. The spikes are therefore those of the
network evaluated in double precision; single precision can differ where a membrane lies within its rounding of the
threshold.

Every operation is counted where it is done. Beside them stand the SynOps that Eq. 12 gives for the same spikes: kept
weights times output positions times mean spike rate. They differ for known reasons, see ``LayerCount``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from litesnn.export.packed import Packed
from litesnn.export.plan import Layer

_CHUNK = 2**20  # additions that are laid out in memory at once

Spikes = NDArray[np.bool_]
Indices = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class LayerCount:
    """Operations of one layer on one sample, all timesteps.

    Args:
        name: of the layer.
        additions: synaptic additions done, each of one code to one accumulator.
        multiplications: done by the stem, each of one pixel with one code, and added up.
        synops: Eq. 12 from the spikes that the layer read; the stem's are T times all products, Eq. 12 with rate 1.

    For a convolution ``additions`` differs from ``synops`` since Eq. 12 takes border positions for inputs that can
    spike, and all inputs and weights for equally busy: a pixel at the border has fewer neighbours, a busy channel may
    have more kept weights than others, and with stride 2 some taps see other pixels than others. The classifier adds
    each spike of the H * W pixels where Eq. 12 counts their mean once. The stem computes once what is counted T
    times.
    """

    name: str
    additions: int
    multiplications: int
    synops: float


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the runtime says about one sample.

    Args:
        scores: mean logit per class over the timesteps, ``[K]``.
        spikes: per row ``[T, C, H, W]``.
        layers: counts per layer.
        neuron_additions: of neurons: bias, sums over edges, leaky membrane.
        neuron_multiplications: of neurons: accumulator times scale, membrane times leak.
    """

    scores: NDArray[np.float64]
    spikes: tuple[Spikes, ...]
    layers: tuple[LayerCount, ...]
    neuron_additions: int
    neuron_multiplications: int

    @property
    def additions(self) -> int:
        """Synaptic additions done."""
        return sum(layer.additions for layer in self.layers)

    @property
    def multiplications(self) -> int:
        """Multiplications of the stem done."""
        return sum(layer.multiplications for layer in self.layers)

    @property
    def synops(self) -> float:
        """SynOps of cells and classifier by Eq. 12, from these spikes."""
        return sum(layer.synops for layer in self.layers[1:])

    @property
    def stem_synops(self) -> float:
        """Multiplications of the stem as the method counts them: T times all of them."""
        return self.layers[0].synops


class Runtime:
    """Classifies one sample at a time.

    Args:
        packed: the network.
    """

    def __init__(self, packed: Packed) -> None:
        self.plan = packed.plan
        self._layers = [_Synapses(layer, codes) for layer, codes in zip(self.plan.layers, packed.codes, strict=True)]
        halves = packed.steps.astype(np.float64) / 2
        self._scale = [half * scale for half, scale in zip(halves, packed.scale, strict=False)]
        self._bias = packed.bias
        self._last = halves[-1]

    def __call__(self, x: NDArray[np.float32]) -> Answer:
        """Classifies a normalised input ``[C, H, W]``."""
        plan = self.plan
        rows: list[Spikes] = []
        sums: NDArray[Any]
        counts: dict[int, LayerCount] = {}
        added = multiplied = 0
        for number, row in enumerate(plan.rows):
            shape = (plan.timesteps, row.channels, *row.size)
            current = np.zeros(shape)
            if row.layers:
                current += self._bias[number][:, None, None]
            for index in row.layers:
                layer = plan.layers[index]
                if number == 0:
                    sums, counts[index] = self._stem(x)
                else:
                    state = np.concatenate([rows[read] for read in layer.reads], axis=1)
                    sums, counts[index] = self._layers[index].receive(state)
                current += sums * self._scale[index][:, None, None]
                added, multiplied = added + sums.size, multiplied + sums.size
            for skipped in row.skips:
                current += rows[skipped]
                added += current.size
            rows.append(_fire(current, plan.tau, plan.v_threshold))
            added, multiplied = added + current.size, multiplied + current.size
        state = np.concatenate([rows[read] for read in plan.layers[-1].reads], axis=1)
        sums, counts[len(plan.layers) - 1] = self._layers[-1].pool(state)
        height, width = plan.layers[-1].in_size
        return Answer(
            scores=sums * (self._last / (height * width * plan.timesteps)),
            spikes=tuple(rows),
            layers=tuple(counts[index] for index in range(len(plan.layers))),
            neuron_additions=added,
            neuron_multiplications=multiplied,
        )

    def _stem(self, x: NDArray[np.float32]) -> tuple[NDArray[np.float64], LayerCount]:
        """Products of pixels and codes, ``[1, O, H, W]``: one for every timestep."""
        layer, synapses = self.plan.layers[0], self._layers[0]
        padded = np.pad(x.astype(np.float64), ((0, 0), (1, 1), (1, 1)))
        height, width = layer.out_size
        sums = np.zeros((1, layer.outputs, height, width))
        done = 0
        for out, channel, dy, dx, code in synapses.kept():
            sums[0, out] += code * padded[channel, dy : dy + height, dx : dx + width]
            done += height * width
        count = LayerCount(name=layer.name, additions=0, multiplications=done, synops=float(done * self.plan.timesteps))
        return sums, count


class _Synapses:
    """The kept weights of one layer, sorted by the input channel whose spikes they answer to."""

    def __init__(self, layer: Layer, codes: NDArray[np.int8]) -> None:
        self.layer = layer
        channel, out, self.dy, self.dx = np.nonzero(codes.transpose(1, 0, 2, 3))
        self.channel, self.out = channel, out
        self.code = codes[out, channel, self.dy, self.dx].astype(np.int32)
        self.first = np.searchsorted(channel, np.arange(layer.inputs + 1))

    def kept(self) -> list[tuple[int, int, int, int, int]]:
        """(output, input, tap row, tap column, code) of every kept weight."""
        columns = (self.out, self.channel, self.dy, self.dx, self.code)
        return list(zip(*(column.tolist() for column in columns), strict=True))

    def receive(self, state: Spikes) -> tuple[NDArray[np.int32], LayerCount]:
        """Sums of codes ``[T, O, H, W]`` for spikes ``[T, I, H, W]``."""
        layer = self.layer
        timesteps, (height, width), pad = len(state), layer.out_size, layer.kernel // 2
        sums = np.zeros((timesteps, layer.outputs, height, width), np.int32)
        additions = 0
        for (t, y, x), which, kept in self._events(state):
            # A weight at tap (dy, dx) of output (y', x') looks at y = stride * y' + dy - pad, and x likewise.
            up, left = y[which] + pad - self.dy[kept], x[which] + pad - self.dx[kept]
            reached = (up >= 0) & (left >= 0) & (up % layer.stride == 0) & (left % layer.stride == 0)
            up, left = up // layer.stride, left // layer.stride
            reached &= (up < height) & (left < width)
            place = ((t[which] * layer.outputs + self.out[kept]) * height + up) * width + left
            place, codes = place[reached], self.code[kept[reached]]
            np.add.at(sums.reshape(-1), place, codes)
            additions += len(codes)
        return sums, self._count(state, additions)

    def pool(self, state: Spikes) -> tuple[NDArray[np.int64], LayerCount]:
        """Sums of codes ``[O]`` over timesteps and pixels, for the classifier."""
        sums = np.zeros(self.layer.outputs, np.int64)
        additions = 0
        for _, _, kept in self._events(state):
            np.add.at(sums, self.out[kept], self.code[kept])
            additions += len(kept)
        return sums, self._count(state, additions)

    def _events(self, state: Spikes) -> Iterator[tuple[Indices, Indices, Indices]]:
        """Chunks of spikes (t, y, x) as ``[3, n]``; for each addition, which spike and which kept weight it is."""
        t, channel, y, x = np.nonzero(state)
        fan_out = self.first[channel + 1] - self.first[channel]
        ends = np.cumsum(fan_out)
        start = 0
        while start < len(t):
            before = ends[start - 1] if start else 0
            stop = max(start + 1, int(np.searchsorted(ends, before + _CHUNK, side="right")))
            part = slice(start, stop)
            which = np.repeat(np.arange(stop - start), fan_out[part])
            first = self.first[channel[part]] - (ends[part] - fan_out[part] - before)
            yield np.stack([t[part], y[part], x[part]]), which, first[which] + np.arange(len(which))
            start = stop

    def _count(self, state: Spikes, additions: int) -> LayerCount:
        rate = state.mean(axis=(1, 2, 3)).sum()  # summed over the timesteps (Eq. 13)
        synops = float(len(self.code) * self.layer.positions * rate)
        return LayerCount(name=self.layer.name, additions=additions, multiplications=0, synops=synops)


def _fire(current: NDArray[np.float64], tau: float, v_threshold: float) -> Spikes:
    """Spikes of LIF neurons for currents ``[T, ...]`` from u_0 = 0 (Eq. 1)."""
    spikes = np.zeros(current.shape, np.bool_)
    membrane = np.zeros(current.shape[1:])
    for t, arriving in enumerate(current):
        membrane = tau * np.where(spikes[t - 1], 0.0, membrane) + arriving if t else arriving
        spikes[t] = membrane > v_threshold
    return spikes
