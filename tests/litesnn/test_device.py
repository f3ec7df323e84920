"""Names of devices."""

import pytest
import torch

from litesnn.checks import InputError
from litesnn.device import cap_gpu_memory, check_device, prepare_cpu


def test_devices_that_exist() -> None:
    assert check_device("cpu") == torch.device("cpu")
    assert check_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize("name", ["", "gpu", "meta", "cuda:x", "cuda:99", "cuda:999", "cpu cpu", "mps\n"])
def test_devices_that_do_not_exist_are_refused(name: str) -> None:
    with pytest.raises(InputError, match=r"\Adevice: expected [^\n]+, got [^\n]+\Z"):
        check_device(name)


def test_threads() -> None:
    prepare_cpu(1)
    assert torch.get_num_threads() == 1
    for threads in (0, -1, 1.5, True):
        with pytest.raises(
            InputError, match=r"\Athreads: expected an integer of at least 1 and at most 1024, got [^\n]+\Z"
        ):
            prepare_cpu(threads)  # type: ignore[arg-type]


def test_a_part_of_a_gpu_is_a_part_of_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[float, torch.device]] = []
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", lambda *given: asked.append(given))
    for name, share in (("cuda", 0.25), ("cuda", 1), ("cuda", 2), ("cpu", 0.5)):
        cap_gpu_memory(torch.device(name), share)
    assert asked == [(0.25, torch.device("cuda"))]
