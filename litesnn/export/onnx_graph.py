"""A packed network as an ONNX graph, unrolled over its timesteps, for runtimes that know nothing of spikes.

Input ``input`` float32 [N, C, H, W], normalised; output ``logits`` [N, K], the mean over the timesteps; N is free.
The stem's convolution is there once. A neuron is three operations: u = I + d * u_before * (1 - y_before), y = u >
V_th, and its cast.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from litesnn.data.sources import import_package
from litesnn.export.file_layout import rows_fed
from litesnn.export.packed import Packed

_OPSET = 17  # 2022; nothing newer is needed
_IR_VERSION = 8


def onnx_bytes(packed: Packed) -> bytes:
    """The content of a ``.onnx`` file.

    Raises:
        InputError: ``onnx`` is not installed.
    """
    graph = _Graph(import_package("onnx", "onnx"), packed)
    graph.unroll()
    content: bytes = graph.model().SerializeToString()
    return content


class _Graph:
    """Nodes and constants as they are added; a tensor is known by its name."""

    def __init__(self, onnx: Any, packed: Packed) -> None:
        self.onnx, self.packed, self.plan = onnx, packed, packed.plan
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def unroll(self) -> None:
        """All timesteps; the membranes of one are named in the next."""
        plan, packed = self.plan, self.packed
        rows = rows_fed(plan)
        for index in range(len(plan.layers) - 1):
            self._constant(f"weight{index}", packed.weight(index) * packed.scale[index][:, None, None, None])
            row = rows[index]
            assert row is not None
            self._constant(f"bias{index}", packed.first_bias(row, index))
        self._constant("matrix", packed.weight(len(plan.layers) - 1)[:, :, 0, 0].T)
        self._constant("decay", np.array(plan.tau, np.float32))
        self._constant("threshold", np.array(plan.v_threshold, np.float32))
        self._constant("one", np.array(1, np.float32))
        frame = self._convolve(0, "input", "stem")
        logits = [self._timestep(t, frame) for t in range(plan.timesteps)]
        total = self._add("Sum", logits, "sum")
        self._constant("timesteps", np.array(plan.timesteps, np.float32))
        self._add("Div", [total, "timesteps"], "logits")

    def model(self) -> Any:
        """The whole model, checked."""
        helper, float32 = self.onnx.helper, self.onnx.TensorProto.FLOAT
        recipe = self.packed.recipe
        graph = helper.make_graph(
            self.nodes,
            "litesnn",
            [helper.make_tensor_value_info("input", float32, ["N", *recipe.input_shape])],
            [helper.make_tensor_value_info("logits", float32, ["N", recipe.classes])],
            self.constants,
        )
        opset = helper.make_opsetid("", _OPSET)
        model = helper.make_model(graph, opset_imports=[opset], ir_version=_IR_VERSION, producer_name="litesnn")
        helper.set_model_props(
            model,
            {
                "classes": json.dumps(self.packed.classes, ensure_ascii=False),
                "mean": json.dumps(self.packed.mean.tolist()),
                "std": json.dumps(self.packed.std.tolist()),
            },
        )
        self.onnx.checker.check_model(model, full_check=True)
        return model

    def _timestep(self, t: int, frame: str) -> str:
        """Logits of one timestep."""
        plan = self.plan
        for number, row in enumerate(plan.rows):
            terms = []
            for index in row.layers:
                if number == 0:
                    terms.append(frame)
                    continue
                terms.append(self._convolve(index, self._state(t, plan.layers[index].reads), f"current{index}_{t}"))
            terms += [f"spikes{skipped}_{t}" for skipped in row.skips]
            if t:
                quiet = self._add("Sub", ["one", f"spikes{number}_{t - 1}"], f"quiet{number}_{t}")
                left = self._add("Mul", [f"membrane{number}_{t - 1}", quiet], f"left{number}_{t}")
                terms.append(self._add("Mul", [left, "decay"], f"leaked{number}_{t}"))
            membrane = self._add("Sum", terms, f"membrane{number}_{t}")
            fired = self._add("Greater", [membrane, "threshold"], f"fired{number}_{t}")
            self._add("Cast", [fired], f"spikes{number}_{t}", to=self.onnx.TensorProto.FLOAT)
        pooled = self._add("GlobalAveragePool", [self._state(t, plan.layers[-1].reads)], f"pooled_{t}")
        flat = self._add("Flatten", [pooled], f"flat_{t}")
        return self._add("MatMul", [flat, "matrix"], f"logits_{t}")

    def _state(self, t: int, reads: tuple[int, ...]) -> str:
        """The spikes of some rows, concatenated once per timestep."""
        if len(reads) == 1:
            return f"spikes{reads[0]}_{t}"
        name = f"state{'_'.join(map(str, reads))}_at{t}"
        if any(name in node.output for node in self.nodes):
            return name
        return self._add("Concat", [f"spikes{read}_{t}" for read in reads], name, axis=1)

    def _convolve(self, index: int, state: str, name: str) -> str:
        layer = self.plan.layers[index]
        shape = {"kernel_shape": [layer.kernel] * 2, "strides": [layer.stride] * 2, "pads": [layer.kernel // 2] * 4}
        return self._add("Conv", [state, f"weight{index}", f"bias{index}"], name, **shape)

    def _add(self, operation: str, inputs: list[str], name: str, **attributes: Any) -> str:
        self.nodes.append(self.onnx.helper.make_node(operation, inputs, [name], **attributes))
        return name

    def _constant(self, name: str, values: NDArray[Any]) -> None:
        self.constants.append(self.onnx.numpy_helper.from_array(np.ascontiguousarray(values, np.float32), name))
