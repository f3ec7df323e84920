"""Every kernel that a step launches, compiled for a GPU that is not there; and what a step launches.

Run by ``test_gpu.py``, in a process of their own. Triton brings its own assembler: what it accepts fits the chip, which the
interpreter cannot tell.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
import triton
from torch import Tensor
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from benchmarks.stand_in import FakeGpu, Watch
from litesnn.config import Recipe, SearchPoint
from litesnn.data.dataset import Dataset
from litesnn.genotype import Genotype
from litesnn.joint_search import Search
from litesnn.retraining import Retrain
from tests.litesnn.conftest import tiny_dataset, tiny_genotype, tiny_recipe  # noqa: F401  # fixtures

POINT = SearchPoint(lambda1=1e-6, lambda2=1e-9, p=50)
TYPES = {
    **{torch.float32: "*fp32", torch.bfloat16: "*bf16"},
    **{torch.int64: "*i64", torch.int32: "*i32", torch.uint8: "*u8"},
}
H100 = GPUTarget("cuda", 90, 32)


@pytest.fixture(scope="module")
def gpu() -> FakeGpu:
    return FakeGpu()


def steps(
    gpu: FakeGpu, recipe: Recipe, genotype: Genotype, dataset: Dataset, p: float, *, kernels: bool
) -> tuple[Watch, Watch]:
    """What the second step of a search and of a retraining does, of one cell; the first may move tables that stay."""
    recipe, genotype = replace(recipe, widths=(1,)), replace(genotype, bits=genotype.bits[:1])
    search = gpu.build(lambda device: Search(replace(POINT, p=p), recipe, gpu.dataset(dataset), device=device))
    retrain = gpu.build(lambda device: Retrain(replace(genotype, p=p), recipe, gpu.dataset(dataset), device=device))
    x = gpu.move(torch.empty(8, *recipe.input_shape))
    labels = gpu.move(torch.empty(8, dtype=torch.int64))
    found = []
    for run in (search, retrain):
        run.network.train()
        for strict in (False, True):
            with gpu.watch(strict=strict, kernels=kernels) as watch:
                run.step(x, labels, x, labels) if isinstance(run, Search) else run.step(x, labels)
        found.append(watch)
    return found[0], found[1]


@pytest.fixture(scope="module")
def watched(gpu: FakeGpu) -> list[Watch]:
    recipe, genotype, dataset = (f.__wrapped__() for f in (tiny_recipe, tiny_genotype, tiny_dataset))  # type: ignore[attr-defined]
    made = [recipe(psi_warmup_epochs=0), recipe(psi_warmup_epochs=0, precision="bf16", mask_n=2)]
    return [watch for each in made for watch in steps(gpu, each, genotype, dataset, 50, kernels=True)]


def typed(value: Any, place: tuple[int, ...], constants: dict[tuple[int, ...], Any]) -> Any:
    """An argument's type as Triton writes it; what it compiles in goes to ``constants``."""
    if isinstance(value, Tensor):
        return TYPES[value.dtype]
    if isinstance(value, tuple):
        return tuple(typed(each, (*place, i), constants) for i, each in enumerate(value))
    if value is None or (isinstance(value, int) and value == 1):
        constants[place] = value
        return "constexpr"
    return "fp32" if isinstance(value, float) else "i32"


def source(kernel: Any, arguments: tuple[Any, ...], fixed: dict[str, Any]) -> ASTSource:
    constants: dict[tuple[int, ...], Any] = {}
    signature = {
        name: typed(value, (i,), constants)
        for i, (name, value) in enumerate(zip(kernel.arg_names, arguments, strict=False))
    }
    for name, value in fixed.items():
        signature[name] = "constexpr"
        constants[kernel.arg_names.index(name),] = value
    return ASTSource(kernel, signature={n: signature[n] for n in kernel.arg_names}, constexprs=constants)


def variants(watched: list[Watch]) -> Iterator[tuple[str, ASTSource]]:
    """Of each kernel one launch per set of types, tuples of any length alike."""
    seen = set()
    for watch in watched:
        for kernel, arguments, fixed in watch.kernels:
            kinds = (kernel.__name__, fixed.get("LEVEL"), *map(kind, arguments))
            if kinds not in seen:
                seen.add(kinds)
                yield kernel.__name__, source(kernel, arguments, fixed)


def kind(value: Any) -> Any:
    if isinstance(value, tuple):
        return frozenset(map(kind, value))
    return value.dtype if isinstance(value, Tensor) else type(value)


def test_every_kernel_compiles_for_the_chip(watched: list[Watch]) -> None:
    found = list(variants(watched))
    names = {name for name, _ in found}
    assert names == set(
        "lif_forward lif_backward moments statistics spread gradient_sums factors input_gradient "
        "count_bits count_ties mark deviations compress compress_backward add_up".split()
    )
    for name, each in found:
        made = triton.compile(each, target=H100)
        assert len(made.asm["cubin"]) > 1000, name
        assert made.metadata.shared <= 227 * 1024, name


def test_kernels_take_a_fifth_of_the_launches(
    gpu: FakeGpu,
    watched: list[Watch],
    tiny_recipe: Callable[..., Recipe],  # noqa: F811
    tiny_genotype: Genotype,  # noqa: F811
    tiny_dataset: Dataset,  # noqa: F811
) -> None:
    """Of small networks; ``python -m benchmarks launches`` counts the paper's."""
    plain = steps(gpu, tiny_recipe(psi_warmup_epochs=0), tiny_genotype, tiny_dataset, 50, kernels=False)
    for before, after in zip(plain, watched[:2], strict=True):
        assert after.launches.total() < 0.4 * before.launches.total() and not after.waits and not after.uploads


def test_without_pruning_nothing_is_marked(
    gpu: FakeGpu,
    tiny_recipe: Callable[..., Recipe],  # noqa: F811
    tiny_genotype: Genotype,  # noqa: F811
    tiny_dataset: Dataset,  # noqa: F811
) -> None:
    for watch in steps(gpu, tiny_recipe(psi_warmup_epochs=0), tiny_genotype, tiny_dataset, 0, kernels=True):
        assert "kernel mark" not in watch.launches and watch.launches["kernel compress"] in (1, 2)
