"""Files that are written whole or not at all."""

import errno
import os
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from litesnn.checks import InputError

_PASSING = {
    *(errno.ENOSPC, errno.EDQUOT, errno.ENOMEM, errno.ENOBUFS),  # somebody may free what is missing
    *(errno.EIO, errno.EAGAIN, errno.EBUSY, errno.ESTALE, errno.ETIMEDOUT),  # a disk, or a server behind it
    *(errno.ECONNRESET, errno.ENETDOWN, errno.ENETUNREACH, errno.EHOSTDOWN, errno.EHOSTUNREACH),
}
_PAUSES_S = (0.1, 0.5)


class StorageError(InputError):
    """A storage that fails now and may work later: it is full, or the disk or server behind it does not answer."""


def storage_error(text: str, error: OSError) -> InputError:
    """The error to raise for the system's ``error``: a ``StorageError`` where trying again makes sense."""
    return (StorageError if error.errno in _PASSING else InputError)(f"{text}, got {error.strerror or error}")


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Lets ``write`` fill a temporary file beside ``path`` and renames it, so that ``path`` is never half-written.

    A storage that has a bad moment is tried three times in all.

    Raises:
        InputError: the folder cannot be written; a ``StorageError`` if that may pass.
    """
    for pause in _PAUSES_S:
        try:
            return _write_once(path, write)
        except StorageError:
            time.sleep(pause)
    _write_once(path, write)


def _write_once(path: Path, write: Callable[[Path], None]) -> None:
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        os.close(handle)
        temporary = Path(name)
        write(temporary)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        raise storage_error(f"{path}: expected a path that can be written", error) from None
    finally:
        if temporary is not None:
            with suppress(OSError):  # what is left is removed when the trial ends
                temporary.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes | memoryview) -> None:
    """Writes a binary file atomically."""

    def write(temporary: Path) -> None:
        temporary.write_bytes(content)

    write_atomically(path, write)


def write_text(path: Path, text: str) -> None:
    """Writes a text file in UTF-8 atomically."""
    write_bytes(path, text.encode("utf-8"))
