"""Where results lie: a local folder or an object store, and the few operations on files that mean the same in both.

A local file is written beside its place and renamed; on an object store a PUT is seen whole or not at all by itself.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from upath import UPath

from litesnn.checks import InputError, fail, user_path
from litesnn.files import StorageError, storage_error
from litesnn.files import write_bytes as write_local

StoragePath = Path | UPath

OBJECT_STORES = ("s3", "s3a", "gs", "gcs", "az", "abfs", "abfss")
_AT_ONCE = 32  # requests under way to an object store
_PATIENCE_S = 5


def storage_path(field: str, text: str | Path) -> StoragePath:
    """What a user's text names: a local path (``~`` expanded, made absolute) or an object store's ``s3://bucket/folder``.

    Credentials, region and endpoint come from the environment or the files that the store's own tools read
    (``AWS_ACCESS_KEY_ID``, ``AWS_ENDPOINT_URL``, …).

    Raises:
        InputError: a protocol that is not an object store's, no bucket, or the package for the protocol is missing.
    """
    match = re.match(r"([a-z][a-z0-9+.-]*)://(.*)", str(text), re.IGNORECASE)
    if match is None:
        return user_path(field, text).absolute()
    protocol, rest = match[1].lower(), match[2].rstrip("/")
    if protocol not in OBJECT_STORES or not rest or rest.startswith("/"):
        raise fail(field, "a local path or s3://BUCKET/FOLDER", str(text))
    # Other processes write too: a listing that was kept would hide their files.
    options: dict[str, Any] = {"use_listings_cache": False}
    if protocol in ("s3", "s3a"):
        options["config_kwargs"] = {"max_pool_connections": 2 * _AT_ONCE}
    try:
        path = UPath(f"{protocol}://{rest}", **options)
        path.fs  # noqa: B018  (imports the protocol's package)
    except (ImportError, ValueError) as error:
        raise InputError(f"{field}: expected a store that can be used here, got {text} ({error})") from None
    return path


def check_path(field: str, path: StoragePath) -> None:
    """Checks, without writing anything, that files can be kept at ``path``, which need not exist yet.

    Raises:
        InputError: a local folder that cannot be written; an object store that does not answer or refuses.
    """
    if isinstance(path, Path):
        existing = next(folder for folder in (path, *path.parents) if folder.exists())
        if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
            raise InputError(f"{field}: expected a folder that can be written, got {existing}")
        return
    try:
        if path.protocol in ("s3", "s3a"):
            _list_one(path)
        else:
            path.exists()
    except Exception as error:  # every store's client has errors of its own
        raise InputError(f"{field}: expected a bucket that can be reached, got {path} ({_text(error)})") from None


def _list_one(path: UPath) -> None:
    """One small request; the file system's own client would try for minutes where nobody answers."""
    import botocore.session
    from botocore.config import Config

    config = Config(connect_timeout=_PATIENCE_S, read_timeout=2 * _PATIENCE_S, retries={"max_attempts": 1})
    client = botocore.session.get_session().create_client("s3", config=config)
    bucket, _, key = path.path.partition("/")
    client.list_objects_v2(Bucket=bucket, Prefix=key, MaxKeys=1)


def read_bytes(path: StoragePath) -> bytes | None:
    """A file's content; None where there is no such file.

    Raises:
        InputError: it is there and cannot be read.
    """
    try:
        if isinstance(path, Path):
            return _read_local(str(path))
        with _one_line(path):
            return path.fs.cat_file(path.path)
    except FileNotFoundError:
        return None


def read_text(path: StoragePath) -> str | None:
    """A text file's content, with a mark for what is not UTF-8; None where there is no such file."""
    content = read_bytes(path)
    return None if content is None else content.decode("utf-8", errors="replace")


def read_files(folder: StoragePath, names: Sequence[str], file: str) -> list[bytes | InputError | None]:
    """The contents of ``folder/<name>/<file>`` for every name; None where there is no such file.

    An error takes the place of a local file that cannot be read, so that it costs its own trial only.

    Raises:
        InputError: the object store cannot be reached.
    """
    if isinstance(folder, Path):
        return [_read_or_error(os.path.join(folder, name, file)) for name in names]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(lambda name: read_bytes(folder / name / file), names))


def folder_names(folder: StoragePath) -> list[str]:
    """Names of the folders in a folder, sorted; none where it does not exist."""
    try:
        if isinstance(folder, Path):
            with os.scandir(folder) as entries:
                return sorted(entry.name for entry in entries if entry.is_dir())
        with _one_line(folder):
            found = folder.fs.ls(folder.path, detail=True, refresh=True)
        return sorted(info["name"].rstrip("/").rpartition("/")[2] for info in found if info["type"] == "directory")
    except (FileNotFoundError, NotADirectoryError):
        return []


def write_bytes(path: StoragePath, content: bytes) -> None:
    """Writes a file whole or not at all.

    Raises:
        InputError: the place cannot be written; a ``StorageError`` if that may pass.
    """
    if isinstance(path, Path):
        write_local(path, content)
        return
    with _one_line(path, missing=True):
        path.fs.pipe_file(path.path, content)


def write_text(path: StoragePath, text: str) -> None:
    """Writes a text file in UTF-8, whole or not at all."""
    write_bytes(path, text.encode("utf-8"))


def remove(path: StoragePath) -> None:
    """Removes a file if it is there."""
    if isinstance(path, Path):
        path.unlink(missing_ok=True)
        return
    try:
        with _one_line(path):
            path.fs.rm_file(path.path)
    except FileNotFoundError:
        pass


def set_aside(path: StoragePath, older: StoragePath) -> None:
    """Makes a file, if it is there, the ``older`` one in place of what lay there.

    A local file is gone from ``path`` then; on an object store, where nothing is renamed, it stays until it is replaced.

    Raises:
        InputError: the place cannot be written; a ``StorageError`` if that may pass.
    """
    try:
        if isinstance(path, Path):
            os.replace(path, str(older))
        elif not isinstance(older, Path):
            with _one_line(path):
                path.fs.cp_file(path.path, older.path)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise storage_error(f"{older}: expected a path that can be written", error) from None


@contextmanager
def local_copy(path: StoragePath) -> Iterator[Path | None]:
    """A local file of the same content for the block: ``path`` itself where it is local. None where there is no file."""
    if isinstance(path, Path):
        yield path if path.exists() else None
        return
    with tempfile.TemporaryDirectory(prefix="litesnn-") as scratch:
        copy = Path(scratch) / path.name
        try:
            with _one_line(path):
                path.fs.get_file(path.path, str(copy))
        except FileNotFoundError:
            yield None
        else:
            yield copy


@contextmanager
def local_draft(path: StoragePath) -> Iterator[Path]:
    """A local path to write to; what lies there when the block ends well becomes ``path``, whole or not at all.

    It is ``path`` itself where that is local: whoever writes must do so atomically.
    """
    if isinstance(path, Path):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="litesnn-") as scratch:
        draft = Path(scratch) / path.name
        yield draft
        with _one_line(path, missing=True):
            path.fs.put_file(str(draft), path.path)


def _read_local(path: str) -> bytes:
    """Raises FileNotFoundError where there is no such file."""
    try:
        with open(path, "rb", buffering=0) as file:
            return file.readall()
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(path) from None
    except OSError as error:
        raise storage_error(f"{path}: expected a file that can be read", error) from None


def _read_or_error(path: str) -> bytes | InputError | None:
    try:
        return _read_local(path)
    except FileNotFoundError:
        return None
    except InputError as error:
        return error


@contextmanager
def _one_line(path: UPath, missing: bool = False) -> Iterator[None]:
    """Turns whatever an object store's client raises into one line; a missing file too if that is an error here."""
    try:
        yield
    except Exception as error:  # every store's client has errors of its own
        if isinstance(error, FileNotFoundError) and not missing:
            raise
        kind = InputError if isinstance(error, FileNotFoundError | PermissionError) else StorageError
        raise kind(f"{path}: expected a store that answers, got {_text(error)}") from None


def _text(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
