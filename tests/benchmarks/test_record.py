"""Spread, tables and memory of the benchmarks, and the machine's limits."""

from pathlib import Path

import pytest
import torch

from benchmarks import limits, machine
from benchmarks.record import least_seconds, markdown, own_process, spread
from benchmarks.work import KINDS, Conv, Work


def test_spread_by_hand() -> None:
    found = spread([5, 1, 2, 4, 3, 10, 9, 8, 7, 6])
    assert found == {"median": 5.5, "min": 1, "p90": 9, "max": 10, "count": 10}
    assert spread([2.0]) == {"median": 2, "min": 2, "p90": 2, "max": 2, "count": 1}


def test_a_table_is_markdown() -> None:
    assert markdown(["", "ms"], [["one", "1.0"]]) == "|  | ms |\n| --- | --- |\n| one | 1.0 |"


def test_the_fastest_call_counts_and_the_first_does_not() -> None:
    calls: list[int] = []
    assert least_seconds(lambda: calls.append(1), 4, at_least=0) >= 0
    assert len(calls) == 5


def _allocate(mib: int) -> tuple[float, float]:
    big = torch.ones(2 * mib, 2**18)
    del big
    before = machine.begin_peak()
    kept = torch.ones(mib, 2**18)
    return before, machine.peak_memory_mib() - before - 0 * float(kept[0, 0])


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux starts a new peak")
def test_a_new_peak_knows_nothing_of_what_was_freed_before() -> None:
    with own_process() as pool:
        before, grown = pool.submit(_allocate, 64).result()
    assert before > 50
    assert 60 < grown < 80


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", limits.DTYPES)
def test_the_convolutions_that_are_timed_are_those_that_are_counted(kind: str, dtype: str) -> None:
    conv = Conv(images=2, inputs=3, outputs=5, height=4, width=3, in_height=7, in_width=5, stride=2)
    found = limits.conv_call(conv, kind, limits.DTYPES[dtype])()
    if kind == "forward":
        assert isinstance(found, torch.Tensor) and found.shape == (2, 5, 4, 3)
    else:
        assert isinstance(found, tuple)
        shapes = [None if part is None else tuple(part.shape) for part in found]
        wanted = {"input_grad": [(2, 3, 7, 5), None, None], "weight_grad": [None, (5, 3, 3, 3), None]}
        assert shapes == wanted[kind]


def test_rates_weigh_each_convolution_as_it_occurs() -> None:
    small = Conv(images=1, inputs=1, outputs=1, height=10, width=10, in_height=10, in_width=10)
    large = Conv(images=10, inputs=1, outputs=1, height=10, width=10, in_height=10, in_width=10)
    work = Work(times={(small, "forward"): 3, (large, "forward"): 1}, state_values=0, passes=1)  # type: ignore[arg-type]
    found = limits.conv_rates(work, {(small, "forward"): 1e-6, (large, "forward"): 2e-6})
    assert found["own_shapes"] == pytest.approx((3 * 1800 + 18000) / 5e-6 / 1e9)
    assert found["peak"] == pytest.approx(9)
    assert found["peak_shape"] == f"{large}, forward"


def test_loops_in_c_do_what_they_are_timed_for(tmp_path: Path) -> None:
    library = limits.stream_library(tmp_path)
    if library is None:
        pytest.skip("no C compiler")
    import ctypes

    n = 4096
    x, y, z = torch.arange(n).float() / n, torch.zeros(n), torch.zeros(n)
    if any(t.data_ptr() % 64 for t in (x, y, z)):
        pytest.skip("this allocator does not align")
    px, py, pz = (ctypes.c_void_p(t.data_ptr()) for t in (x, y, z))
    count, threads = ctypes.c_long(n), ctypes.c_long(2)
    assert library.stream_read(px, count, threads) == pytest.approx(float(x.sum()), rel=1e-5)
    library.stream_copy(py, px, count, threads)
    assert torch.equal(x, y)
    library.stream_triad(pz, px, py, ctypes.c_float(0.5), count, threads)
    torch.testing.assert_close(z, 1.5 * x)


def test_the_better_of_two_bandwidths_counts_and_arrays_are_no_larger_than_told() -> None:
    runs = [limits.bandwidth(1, 2**20) for _ in range(2)]
    found = limits.better(runs)
    assert found["copy"] == max(run["copy"] for run in runs) and found["best"] >= found["copy"] > 0
    assert runs[0]["array_mib"] == 1  # four times a server's cache are gigabytes
