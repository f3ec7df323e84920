"""A storage that fails for a while is waited for; anything else is raised at once."""

import errno
import os
from pathlib import Path

import pytest

from litesnn.checks import InputError
from litesnn.files import StorageError, storage_error, write_text
from tune.trials import patience
from tune.trials.patience import PATIENCE_S, Patience
from tune.trials.reasons import StorageDelayed


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "_FIRST_PAUSE_S", 0.01)


class Storage:
    """Fails so many times."""

    def __init__(self, failures: int, error: Exception) -> None:
        self.failures, self.error, self.calls = failures, error, 0

    def __call__(self) -> str:
        self.calls += 1
        if self.calls <= self.failures:
            raise self.error
        return "written"


def test_it_tries_until_it_works_and_says_how_long_it_took(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[StorageDelayed] = []
    warned: list[StorageDelayed] = []
    storage = Storage(3, StorageError("p: expected a path that can be written, got No space left on device"))
    assert Patience(say=said.append)(storage) == "written"
    assert storage.calls == 4 and said == []  # not worth saying
    monkeypatch.setattr(patience, "_WORTH_SAYING_S", 0.0)
    assert Patience(say=said.append, warn=warned.append)(Storage(2, StorageError("full"))) == "written"
    assert [(notice.error, notice.over) for notice in said] == [("full", True)] and 0 < said[0].seconds < 5
    assert warned == [StorageDelayed(seconds=PATIENCE_S, error="full", over=False)]  # once, and while it waits
    assert Patience(say=said.append)(Storage(0, StorageError("full"))) == "written" and len(said) == 1


def test_it_gives_up_in_the_end() -> None:
    storage = Storage(1000, StorageError("full"))
    with pytest.raises(StorageError, match="full"):
        Patience(seconds=0.05)(storage)
    assert 1 < storage.calls < 10


@pytest.mark.parametrize("error", [InputError("name: expected another"), RuntimeError("a bug")])
def test_other_errors_are_raised_at_once(error: Exception) -> None:
    storage = Storage(1, error)
    with pytest.raises(type(error)):
        Patience()(storage)
    assert storage.calls == 1


@pytest.mark.parametrize(
    ("number", "kind"),
    [(errno.ENOSPC, StorageError), (errno.EIO, StorageError), (errno.ESTALE, StorageError)]
    + [(errno.EACCES, InputError), (errno.ENOTDIR, InputError), (errno.EROFS, InputError)],
)
def test_which_errors_may_pass(number: int, kind: type) -> None:
    error = storage_error("p: expected a place", OSError(number, os.strerror(number)))
    assert type(error) is kind and str(error) == f"p: expected a place, got {os.strerror(number)}"


def test_a_full_disk_is_one_of_them_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(number: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="No space left on device"):
        write_text(tmp_path / "file", "text")
    assert list(tmp_path.iterdir()) == []
