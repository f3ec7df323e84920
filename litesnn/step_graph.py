"""Training steps as CUDA graphs: the launches of one step are recorded and replayed, so that the host starts one thing per step.

Set ``LITESNN_GRAPHS=1`` to use them on a GPU. A graph holds the addresses of tensors and the values of numbers. What changes between
the steps of an epoch are the batch and the learning rates of a schedule: both are tensors that a graph reads. All else is the same in
every step of an epoch (shapes, T, whether psi is learnt already, the constant rates), and each epoch records a graph of its own.
So nothing that happens between epochs, such as evaluation or loading a checkpoint, can leave a graph with memory that is gone.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.optim import Optimizer

Step = Callable[..., Tensor]
"""Takes the tensors of a batch; returns the loss, a scalar on their device."""


def wanted(device: torch.device) -> bool:
    """Whether steps on this device are to be graphs."""
    return device.type == "cuda" and os.environ.get("LITESNN_GRAPHS") == "1"


class CudaGraph:
    """What a GPU does in one call, to be done again.

    Args:
        device: a GPU.
    """

    def __init__(self, device: torch.device) -> None:
        self._stream = torch.cuda.Stream(device)
        self._graph = torch.cuda.CUDAGraph()

    def warm_up(self, call: Callable[[], Tensor]) -> Tensor:
        """Makes the call as ever, on the stream that will be recorded: libraries set themselves up at their first call there."""
        present = torch.cuda.current_stream(self._stream.device)
        self._stream.wait_stream(present)
        with torch.cuda.stream(self._stream):
            made = call()
        present.wait_stream(self._stream)
        return made

    def record(self, call: Callable[[], Tensor]) -> Tensor:
        """Writes down what the call starts, without doing it; what it returns is filled by ``replay``."""
        # torch's own context stays on the stream if the recording cannot be ended; the outer one leaves it in any case.
        with torch.cuda.stream(self._stream), torch.cuda.graph(self._graph, stream=self._stream):
            return call()

    def replay(self) -> None:
        """Starts everything that was recorded."""
        self._graph.replay()


class StepGraph:
    """The steps of one epoch: the first is taken as ever, the second is recorded, from then on the record is replayed.

    If it cannot be recorded, a warning of one line says why, and all steps are taken as ever. Recording changes no tensor, so
    nothing is lost by an attempt.

    Args:
        step: what is recorded. It must read nothing that changes within the epoch but its arguments and the learning rates of
            ``scheduled``.
        graph: records and replays.
        optimizers: all that the step uses.
        scheduled: those of them whose learning rate changes from step to step, alike in all groups. They are fused, so
            that a rate can be a tensor; as one it has single precision.
    """

    def __init__(
        self, step: Step, graph: CudaGraph, optimizers: Sequence[Optimizer], scheduled: Sequence[Optimizer]
    ) -> None:
        self._step, self._optimizers, self._scheduled = step, optimizers, scheduled
        self._graph: CudaGraph | None = graph
        self._warm = False
        self._inputs: list[Tensor] = []  # what the graph reads
        self._rates: list[Tensor] = []  # likewise, one per scheduled optimizer
        self._loss: Tensor | None = None  # what it writes

    def __call__(self, *inputs: Tensor) -> Tensor:
        """Takes a step; the loss is overwritten by the next one."""
        if self._graph is None:
            return self._step(*inputs)
        if not self._warm:
            self._warm = True
            return self._graph.warm_up(lambda: self._step(*inputs))
        if self._loss is None:
            self._record(self._graph, inputs)
        if self._loss is None or [x.shape for x in inputs] != [x.shape for x in self._inputs]:
            return self._step(*inputs)
        for buffer, given in zip(self._inputs, inputs, strict=True):
            buffer.copy_(given)
        for rate, optimizer in zip(self._rates, self._scheduled, strict=True):
            rate.fill_(optimizer.param_groups[0]["lr"])
        self._graph.replay()
        return self._loss

    def _record(self, graph: CudaGraph, inputs: Sequence[Tensor]) -> None:
        device = inputs[0].device
        try:
            self._inputs = [given.clone() for given in inputs]
            self._rates = [torch.empty((), device=device) for _ in self._scheduled]
            with self._recordable():
                self._loss = graph.record(lambda: self._step(*self._inputs))
        except Exception as error:  # of CUDA and its libraries, of any kind; also if there is no memory for it
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            warnings.warn(f"steps without a graph on {device}: {reason}", stacklevel=3)
            self._graph, self._inputs, self._rates = None, [], []

    @contextmanager
    def _recordable(self) -> Iterator[None]:
        """Lets optimizers read their rates from tensors, and Adam admit that it can be recorded; for as long as it lasts."""
        groups = [group for optimizer in self._optimizers for group in optimizer.param_groups]
        before = [dict(group) for group in groups]
        for rate, optimizer in zip(self._rates, self._scheduled, strict=True):
            for group in optimizer.param_groups:
                group["lr"] = rate
        for group in groups:
            if "capturable" in group:
                group["capturable"] = True
        try:
            yield
        finally:
            for group, values in zip(groups, before, strict=True):
                group.update(values)
