"""Names of devices."""

import pytest
import torch

from litesnn.checks import InputError
from litesnn.device import check_device, prepare_cpu


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
