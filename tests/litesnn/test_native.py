"""The kernels against plain PyTorch: values and gradients, at odd sizes too; and doing without them."""

import os
import platform
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from litesnn import native
from litesnn.compconv import CompConv
from litesnn.neuron import lif, lif_of_sum
from litesnn.prune import prune_mask
from tests.litesnn.kernels import built, compare

NEURON = 0.4, 0.5, 3.0


def last(*shape: int) -> Tensor:
    return torch.randn(shape).to(memory_format=torch.channels_last)


@built
@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (1, 3, 5, 7), (3, 5, 3, 2), (4, 24, 16, 16)])
@pytest.mark.parametrize("timesteps", [1, 2, 5])
@pytest.mark.parametrize("threads", [1, 2])
def test_lif_of_sum(monkeypatch: pytest.MonkeyPatch, shape: tuple[int, ...], timesteps: int, threads: int) -> None:
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    currents = [last(timesteps * shape[0], *shape[1:]) for _ in range(4)]
    inputs = [currents[0], currents[1], *((current > 0).float() for current in currents[2:])]  # with a share: spikes
    for each in inputs:
        each.requires_grad_()
    shares = [None, None, torch.tensor(0.3, requires_grad=True), torch.tensor(0.8, requires_grad=True)]
    leaves = [*inputs, *(s for s in shares if s is not None)]
    compare(monkeypatch, lambda: lif_of_sum(inputs, shares, timesteps, NEURON), leaves)


@built
@pytest.mark.parametrize("length", [1 << 21, (1 << 21) + 3])
def test_lif_of_more_than_the_cache_holds(monkeypatch: pytest.MonkeyPatch, length: int) -> None:
    """Written past the cache where the place is aligned, which an odd length makes it only at the first timestep."""
    current = torch.randn(4, length).requires_grad_()
    compare(monkeypatch, lambda: lif(current), [current])


@built
@pytest.mark.parametrize("b", [0.5, 3.0, 60.0])
def test_lif_far_from_and_at_the_threshold(monkeypatch: pytest.MonkeyPatch, b: float) -> None:
    current = torch.cat([torch.linspace(-200, 200, 401), torch.tensor([0.5, 0.0, 1.0])]).expand(3, -1).contiguous()
    current.requires_grad_()
    compare(monkeypatch, lambda: lif(current, 0.2, 0.5, b), [current])


@built
def test_lif_of_a_surrogate_whose_cosh_is_beyond_single_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    current = torch.randn(3, 500).requires_grad_()
    compare(monkeypatch, lambda: lif(current, 0.2, 0.5, 400.0), [current], tolerance=0.01)


@built
@pytest.mark.parametrize(
    ("p", "n"), [(0.0, 0), (35.0, 0), (80.0, 0), (99.9, 0), (0.0, 1), (80.0, 1), (33.3, 3), (99.9, 2)]
)
@pytest.mark.parametrize(("shape", "kernel"), [((1, 1, 1), 1), ((2, 3, 5), 3), ((8, 24, 48), 3), ((1, 12, 100), 1)])
def test_compressed_weight(
    monkeypatch: pytest.MonkeyPatch, p: float, n: int, shape: tuple[int, int, int], kernel: int
) -> None:
    torch.manual_seed(0)
    layers, inputs, outputs = shape
    conv = CompConv(layers, inputs, outputs, kernel, 1, (1, 2, 3, 4), p, mask_n=n)
    shares = torch.tensor([0.1, 0.2, 0.3, 0.4], requires_grad=True)
    leaves = [conv.weight, shares] + ([conv.scores] if p else [])
    compare(monkeypatch, lambda: conv.compressed_weight(shares), leaves)


@built
@pytest.mark.parametrize("p", [10.0, 50.0, 90.0])
@pytest.mark.parametrize("n", [0, 1, 3])
def test_equal_scores_are_kept_in_order(p: float, n: int) -> None:
    conv = CompConv(3, 4, 5, 3, 1, (2,), p, mask_n=n)
    with torch.no_grad():
        conv.scores.copy_(torch.randint(-2, 3, conv.scores.shape).float())
    kept = conv.compressed_weight(None) != 0
    assert torch.equal(kept, prune_mask(conv.scores, p, start_dim=1, n=n).flatten(0, 1).bool())


def test_other_precisions_take_the_plain_path() -> None:
    assert not native.usable(torch.zeros(2, dtype=torch.float64))
    assert lif(torch.ones(2, 3, dtype=torch.float64)).dtype == torch.float64


PROGRAM = """
import torch
from litesnn import native
from litesnn.neuron import lif
print(native.kernels() is not None, lif(torch.ones(2, 1)).tolist())
"""


def program(**environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    return done.stdout.strip()


def test_switched_off_or_without_a_working_compiler_the_plain_path_runs(tmp_path: Path) -> None:
    broken = tmp_path / "cc"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    for environment in ({"LITESNN_NATIVE": "0"}, {"CC": str(broken)}, {"CC": "no-such-compiler"}):
        assert program(**environment, XDG_CACHE_HOME=str(tmp_path / "cache")) == "False [[1.0], [1.0]]"
    assert not list((tmp_path / "cache").rglob("*.so"))


# Without -Wpsabi: vectors stay within the library, how a processor without 512-bit registers passes them is no one else's.
CC = f"cc {'-m64' if platform.machine() == 'x86_64' else '-O1'} -Wall -Wextra -Wno-psabi -Werror"


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the kernels were compiled with the options of ``CC``, once for all tests here: it takes long."""
    folder = tmp_path_factory.mktemp("cache")
    (folder / "said").write_text(program(CC=CC, XDG_CACHE_HOME=str(folder)))
    return folder


@built
def test_a_compiler_with_options(cache: Path) -> None:
    assert (cache / "said").read_text() == "True [[1.0], [1.0]]"


def test_a_user_without_a_home_gets_the_plain_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container whose user is a number alone; there is no such user that every machine lets us become."""

    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", no_home)
    assert native.kernels.__wrapped__() is None


@built
def test_compiled_once_and_found_again(cache: Path) -> None:
    (library,) = (cache / "litesnn" / "native").iterdir()
    written = library.stat().st_mtime_ns
    assert program(CC=CC, XDG_CACHE_HOME=str(cache)) == "True [[1.0], [1.0]]"
    assert list((cache / "litesnn" / "native").iterdir()) == [library] and library.stat().st_mtime_ns == written
    assert native._is_whole(library)


def test_a_library_that_is_not_whole_is_built_anew_and_never_loaded(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The compiler and the loader are replaced: loading half a library would end this process."""
    built_as, loaded = [], []

    def compile_to(compiler: list[str], target: Path) -> None:
        target.write_bytes(bytes(range(256)) * 40)
        built_as.append(target)

    (tmp_path / "cc").write_text("#!/bin/sh\necho 1\n")
    (tmp_path / "cc").chmod(0o755)
    monkeypatch.setenv("CC", str(tmp_path / "cc"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("LITESNN_NATIVE", raising=False)
    monkeypatch.setattr(native, "_compile", compile_to)
    monkeypatch.setattr(native.ctypes, "CDLL", lambda path: loaded.append(Path(path).read_bytes()))
    native.kernels.__wrapped__()
    (library,) = (tmp_path / "litesnn" / "native").iterdir()
    whole = library.read_bytes()
    for damaged in (whole[:-1], whole[: len(whole) // 2], whole[:5], b"", whole[:9] + b"x" + whole[10:], whole[:-32]):
        library.write_bytes(damaged)
        native.kernels.__wrapped__()
        assert library.read_bytes() == whole
    native.kernels.__wrapped__()
    assert len(built_as) == 7 and loaded == [whole] * 8


@built
def test_the_source_compiles_without_a_warning(cache: Path, tmp_path: Path) -> None:
    if not list(cache.rglob("*.so")):
        command = [*shlex.split(CC), *native._FLAGS, "-shared", *map(str, Path(native.__file__).parent.glob("*.c"))]
        done = subprocess.run([*command, "-o", str(tmp_path / "k.so"), "-lm"], capture_output=True, text=True)
        pytest.fail(done.stderr)
