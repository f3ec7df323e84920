"""A GPU that is not there: what a step asks of one, found out without one.

Tensors of PyTorch's fake mode have shapes, types and devices but no values. They refuse what a GPU refuses, such as operands on two
devices, and need no driver. ``Watch`` sees every operator on its way and complains of, or counts, what would make the
host wait; it counts launches too.

The stand-in is a device of PyTorch's private kind, not ``cuda``: without a driver the autograd engine accepts no
gradients of tensors that say ``cuda``. Registering it cannot be undone and changes what this process takes for its
accelerator: give it a process of its own.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils import _foreach_utils
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

from litesnn import gpu
from litesnn.data.dataset import Dataset, Split

_NAME = "standin"
_READ = {"_local_scalar_dense", "is_nonzero", "equal", "item"}
"""Operators whose result the host waits for."""
_SIZED_BY_VALUES = {"nonzero", "masked_select", "_unique", "_unique2", "unique_dim", "unique_consecutive", "bincount"}
"""Operators whose output's size depends on values, so that the host waits for it."""
_QUIET = set(
    "empty empty_like empty_strided new_empty new_empty_strided _unsafe_view device is_pinned view detach expand permute "
    "_record_function_enter_new _record_function_exit".split()
)
"""Operators that start no work; the views among them are those that are met most."""
_WITHOUT_FAKE = {"_fused_sgd_", "_fused_adam_"}
"""Operators that work in place and have no fake implementation, or none that takes learning rates from tensors."""

Made = TypeVar("Made")


class HostWaitError(AssertionError):
    """Something that makes the host wait for the device, or the device for the host."""


class Watch(TorchDispatchMode):
    """Sees every operator that runs while it is on.

    Args:
        strict: raise at what must not happen inside a step; else it is only counted.

    Attributes:
        launches: operators that start work, by name. Views, allocations and questions start none; an operator that takes a list
            of tensors counts once, as does one that its library splits in several.
        waits: names of the operators that the host waits for: values read, copies to the host, sizes that depend on values.
        uploads: bytes copied from the host, by operator call.
        on_host: operators that worked on tensors in the host's memory.
        moved: bytes of all tensors that launches were given and made, each once a launch: what memory carries where no cache helps.
        kernels: every kernel of ours that would have run, with its arguments and constants.
    """

    def __init__(self, *, strict: bool) -> None:
        super().__init__()
        self.strict = strict
        self.launches: Counter[str] = Counter()
        self.waits: list[str] = []
        self.uploads: list[int] = []
        self.on_host: Counter[str] = Counter()
        self.moved = 0
        self.kernels: list[tuple[Any, tuple[Any, ...], dict[str, Any]]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func._schema.name.partition("::")[2]
        if name in _QUIET:
            return func(*args, **(kwargs or {}))
        given = [leaf for leaf in tree_leaves((args, kwargs or {})) if isinstance(leaf, Tensor)]
        if name in _READ | _SIZED_BY_VALUES and any(_away(t) for t in given):
            self._wait(name)
            if name == "_local_scalar_dense":
                return 1 if not given[0].is_floating_point() else 1.0
        if name in ("index", "index_put", "index_put_") and any(
            isinstance(t, Tensor) and t.dtype == torch.bool for t in tree_leaves(args[1])
        ):
            self._wait(f"{name} by booleans")
        if name in _WITHOUT_FAKE:
            devices = {t.device for t in given if t.dim()}
            assert len(devices) <= 1, f"{name}: expected one device, got {devices}"
            out = None
        else:
            out = func(*args, **(kwargs or {}))
        if name in ("convolution", "convolution_backward"):
            out = tree_map(_channels_last, out)
        if name not in _READ and not _is_view(func):
            self._note(name, given, [leaf for leaf in tree_leaves(out) if isinstance(leaf, Tensor)])
        return out

    def _note(self, name: str, given: list[Tensor], made: list[Tensor]) -> None:
        target = given[0] if name == "copy_" else made[0] if made else None
        source = given[1 if name == "copy_" else 0] if given else None
        if target is not None and source is not None and _away(source) and not _away(target):
            self._wait(f"{name} to the host")
        elif target is not None and source is not None and _away(target) and not _away(source) and source.dim():
            self.uploads.append(size(source))
            if self.strict:
                raise HostWaitError(f"{name} of {list(source.shape)} from the host")
        if any(_away(t) for t in [*given, *made]):
            self.launches[name] += 1
            self.moved += sum(map(size, [*given, *(each for each in made if all(each is not g for g in given))]))
        elif given or made:
            self.on_host[name] += 1
            if self.strict:
                raise HostWaitError(f"{name} on the host")

    def _wait(self, what: str) -> None:
        self.waits.append(what)
        if self.strict:
            raise HostWaitError(f"the host waits for {what}")


def size(tensor: Tensor) -> int:
    """Bytes of a tensor's entries."""
    return tensor.numel() * tensor.element_size()


def _away(tensor: Tensor) -> bool:
    # Asked of the tensor itself, the device of a fake one goes through every mode once more.
    device = tensor.fake_device if isinstance(tensor, FakeTensor) else tensor.device
    return device.type not in ("cpu", "meta")


def _channels_last(out: Any) -> Any:
    """In the layout that the GPU's library gives to what it makes of tensors in that layout; fake mode knows no library."""
    return out.contiguous(memory_format=torch.channels_last) if isinstance(out, Tensor) and out.dim() == 4 else out


def _is_view(func: Any) -> bool:
    aliases = [result.alias_info for result in func._schema.returns]
    return any(alias is not None and not alias.is_write for alias in aliases)


@functools.cache
def stand_in() -> torch.device:
    """The device, registered in this process for good."""
    torch._C._ensureCUDADeviceGuardSet()
    _setup_privateuseone_for_python_backend(_NAME)
    # Lists of fake tensors are to take the path that lists of real ones take on a GPU.
    _foreach_utils._foreach_supported_types.append(FakeTensor)
    return torch.device(_NAME, 0)


class FakeGpu:
    """Runs whose tensors are fake and lie on the stand-in."""

    def __init__(self) -> None:
        self.device = stand_in()
        self.mode = FakeTensorMode(allow_non_fake_inputs=True)

    def move(self, tensor: Tensor) -> Tensor:
        """A fake tensor on the device, of the same shape, layout and type."""
        with self.mode:
            made = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device=self.device)
            return made.requires_grad_(tensor.requires_grad)

    def dataset(self, dataset: Dataset) -> Dataset:
        """The data set on the device."""
        train, val, test = (
            Split(self.move(s.inputs), self.move(s.labels)) for s in (dataset.train, dataset.val, dataset.test)
        )
        mean, std = self.move(dataset.mean), self.move(dataset.std)
        return Dataset(dataset.name, dataset.classes, train, val, test, mean, std)

    def build(self, make: Callable[[torch.device], Made]) -> Made:
        """Makes something whose modules are on the device; they are made on the CPU as ever, and moved there."""

        def to(module: nn.Module, device: torch.device) -> nn.Module:
            assert device == self.device
            return module._apply(self.move)

        with patch.object(nn.Module, "to", to):
            return make(self.device)

    @contextmanager
    def watch(self, *, strict: bool, kernels: bool = False) -> Iterator[Watch]:
        """Everything inside runs in fake mode, and is seen.

        Args:
            strict: see ``Watch``.
            kernels: choose the kernels of ``litesnn.gpu``, as on a GPU with Triton; they are counted, not run.
        """
        watch = Watch(strict=strict)

        def start(kernel: Any, programs: Any, arguments: Any, constants: Any) -> None:
            tensors = [leaf for leaf in tree_leaves(arguments) if isinstance(leaf, Tensor)]
            assert all(_away(tensor) for tensor in tensors), f"{kernel}: expected tensors of the device alone"
            watch.launches[f"kernel {kernel.__name__}"] += 1
            watch.moved += sum(map(size, tensors))
            watch.kernels.append((kernel, arguments, constants))

        with (
            patch.object(gpu, "device_type", lambda: _NAME if kernels else None),
            patch.object(gpu, "_start", start),
            self.mode,
            watch,
        ):
            yield watch
