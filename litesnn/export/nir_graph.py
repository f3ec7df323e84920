"""A packed network as a NIR graph (Neuromorphic Intermediate Representation), for simulators and neuromorphic hardware.

Cells become convolutions, LIF nodes and sums. NIR has no concatenation, and needs none: a convolution over
concatenated inputs is the sum of convolutions over its parts, and what several edges bring to a node is added up.
Batch norm is in weight and bias of its convolution. The classifier comes before the pooling, as 1 x 1 convolutions of
spikes: the mean of a linear map is the linear map of the mean. The input is the same normalised frame at every
timestep, the output that timestep's logits.

NIR's LIF is tau dv/dt = (v_leak - v) + R I. With a step dt that is v <- (1 - dt / tau) v + dt / tau R I, so Eq. 1
with its decay d is tau = dt / (1 - d), R = tau / dt, v_leak = v_reset = 0 and the same threshold. dt is 0.1 ms, what
other programs take for granted.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from litesnn.data.sources import import_package
from litesnn.export.packed import Packed
from litesnn.export.plan import Layer, Row

DT = 1e-4
"""Seconds of a timestep."""


def nir_graph(packed: Packed) -> Any:
    """The network as a ``nir.NIRGraph``.

    Raises:
        InputError: ``nir`` is not installed.
    """
    nir = _nir()
    plan = packed.plan
    shape = np.array(packed.recipe.input_shape)
    nodes: dict[str, Any] = {"input": nir.Input(input_type={"input": shape})}
    edges: list[tuple[str, str]] = []
    for number, row in enumerate(plan.rows):
        nodes[f"row{number}"] = _neurons(nir, row, plan.tau, plan.v_threshold)
        edges += [(f"row{skipped}", f"row{number}") for skipped in row.skips]
        for index in row.layers:
            layer = plan.layers[index]
            weight = packed.weight(index) * packed.scale[index][:, None, None, None]
            first = 0
            for part, read in enumerate(layer.reads or (-1,)):
                channels = plan.rows[read].channels if read >= 0 else layer.inputs
                name = f"conv{index}_{part}"
                bias = packed.first_bias(number, index if part == 0 else -1)
                nodes[name] = _convolution(nir, layer, weight[:, first : first + channels], bias)
                edges += [(f"row{read}" if read >= 0 else "input", name), (name, f"row{number}")]
                first += channels
    last, first = plan.layers[-1], 0
    for part, read in enumerate(last.reads):
        channels = plan.rows[read].channels
        weight = packed.weight(len(plan.layers) - 1)[:, first : first + channels]
        nodes[f"classifier{part}"] = _convolution(nir, last, weight, np.zeros(last.outputs, np.float32))
        edges += [(f"row{read}", f"classifier{part}"), (f"classifier{part}", "pool")]
        first += channels
    size = np.array(last.in_size)
    nodes["pool"] = nir.AvgPool2d(kernel_size=size, stride=size, padding=np.array([0, 0]))
    # Counted from the end: some programs count dimensions with the batch (snnTorch), others without (SpikingJelly).
    nodes["flat"] = nir.Flatten(input_type={"input": np.array([last.outputs, 1, 1])}, start_dim=-3, end_dim=-1)
    edges += [("pool", "flat"), ("flat", "output")]
    nodes["output"] = nir.Output(output_type={"output": np.array([last.outputs])})
    return nir.NIRGraph(nodes=nodes, edges=edges, metadata={"dt": DT, "timesteps": plan.timesteps})


def nir_bytes(packed: Packed) -> bytes:
    """The content of a ``.nir`` file (HDF5).

    Raises:
        InputError: ``nir`` is not installed.
    """
    graph, file = nir_graph(packed), io.BytesIO()
    _nir().write(file, graph)
    return file.getvalue()


def _nir() -> Any:
    return import_package("nir", "nir")


def _neurons(nir: Any, row: Row, tau: float, v_threshold: float) -> Any:
    """NIR asks for one number per neuron; all neurons of a network share theirs."""

    def every(value: float) -> Any:
        return np.full((row.channels, *row.size), value)

    zero, threshold = every(0.0), every(v_threshold)
    if tau == 1:  # nothing leaks
        return nir.IF(r=every(1 / DT), v_threshold=threshold, v_reset=zero)
    time = DT / (1 - tau)
    return nir.LIF(tau=every(time), r=every(time / DT), v_leak=zero, v_threshold=threshold, v_reset=zero)


def _convolution(nir: Any, layer: Layer, weight: Any, bias: Any) -> Any:
    pad = layer.kernel // 2
    return nir.Conv2d(
        input_shape=layer.in_size,
        weight=np.ascontiguousarray(weight),
        stride=(layer.stride, layer.stride),
        padding=(pad, pad),
        dilation=(1, 1),
        groups=1,
        bias=bias,
    )
