"""A CUDA graph that is not there: what a call does is recorded on a CPU and replayed as a GPU would, without any of its Python.

A graph holds addresses and numbers, and so does this: a replay runs the recorded operators and kernels in their order, on memory at the
same places and with the same numbers, and leaves every result where the recorded call had it. What was made during the recording
belongs to the record. Of memory that was there before it keeps only the address: if it is gone by the time of a replay, that is an error
here, where a GPU would silently read something else. As on a GPU, recording itself changes nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, UntypedStorage
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from benchmarks.stand_in import _READ, _SIZED_BY_VALUES
from litesnn import gpu, native


class NotRecordableError(RuntimeError):
    """Something that a GPU refuses while it records."""


@dataclass(frozen=True)
class Place:
    """Where a tensor lies."""

    storage: UntypedStorage | StorageWeakRef
    offset: int
    shape: torch.Size
    stride: tuple[int, ...]
    dtype: torch.dtype

    def tensor(self) -> Tensor:
        """What lies there now."""
        storage = self.storage
        if isinstance(storage, StorageWeakRef):
            storage = UntypedStorage._new_with_weak_ptr(storage.cdata)  # type: ignore[attr-defined]
            if storage is None:
                raise AssertionError(f"a replay reads memory that is gone: {list(self.shape)}, {self.dtype}")
        return torch.empty(0, dtype=self.dtype).set_(storage, self.offset, self.shape, self.stride)


class _Recorder(TorchDispatchMode):
    """Takes down every operator and kernel that runs while it is on."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Callable[..., Any], Any, Any, list[Place]]] = []
        self.own: set[int] = set()  # storages made since the beginning, by address
        self.before: dict[
            int, tuple[StorageWeakRef, UntypedStorage]
        ] = {}  # all others that were met, and what they held

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func._schema.name.partition("::")[2]
        if name in _READ | _SIZED_BY_VALUES:
            raise NotRecordableError(f"the host waits for {name}")
        places = tree_map(self.placed, (args, kwargs or {}))
        met = {t.untyped_storage()._cdata for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)}
        made = func(*args, **(kwargs or {}))
        tensors = [leaf for leaf in tree_leaves(made) if isinstance(leaf, Tensor)]
        self.own |= {t.untyped_storage()._cdata for t in tensors} - met
        if tensors or met:
            self.calls.append((func, *places, [self.placed(t) for t in tensors]))
        return made

    def kernel(self, start: Callable[..., None]) -> Callable[..., None]:
        """``start``, which runs a kernel and returns nothing, taken down as well."""

        def recorded(*args: Any) -> None:
            self.calls.append((start, tree_map(self.placed, args), {}, []))
            with torch._C._DisableTorchDispatch():  # what an interpreter does is not to be taken down
                start(*args)

        return recorded

    def placed(self, value: Any) -> Any:
        """The place of a tensor; anything else as it is."""
        if not isinstance(value, Tensor):
            return value
        storage = value.untyped_storage()
        key = storage._cdata
        held: UntypedStorage | StorageWeakRef = storage
        if key not in self.own:
            held = StorageWeakRef(storage)
            if key not in self.before or self.before[key][0].expired():
                self.before[key] = held, storage.clone()
        return Place(held, value.storage_offset(), value.shape, value.stride(), value.dtype)

    def restore(self) -> None:
        """Lets everything that was there before be as it was."""
        for storage, content in self.before.values():
            if not storage.expired():
                UntypedStorage._new_with_weak_ptr(storage.cdata).copy_(content)  # type: ignore[attr-defined]


class RecordedGraph:
    """Stands in for ``litesnn.step_graph.CudaGraph``."""

    replays = 0
    """Of all graphs."""

    def __init__(self, device: torch.device) -> None:
        self.calls: list[tuple[Callable[..., Any], Any, Any, list[Place]]] = []

    def warm_up(self, call: Callable[[], Tensor]) -> Tensor:
        return call()

    def record(self, call: Callable[[], Tensor]) -> Tensor:
        recorder = _Recorder()
        try:
            with (
                patch.object(native, "call", recorder.kernel(native.call)),
                patch.object(gpu, "_start", recorder.kernel(gpu._start)),
                recorder,
            ):
                made = call()
        finally:
            recorder.restore()
        self.calls = recorder.calls
        return made

    @torch.no_grad()
    def replay(self) -> None:
        RecordedGraph.replays += 1
        for func, places, named, results in self.calls:
            args, kwargs = tree_map(lambda leaf: leaf.tensor() if isinstance(leaf, Place) else leaf, (places, named))
            made = [leaf for leaf in tree_leaves(func(*args, **kwargs)) if isinstance(leaf, Tensor)]
            for new, place in zip(made, results, strict=True):
                recorded = place.tensor()
                if new.untyped_storage()._cdata != recorded.untyped_storage()._cdata:
                    recorded.copy_(new)
