"""``pareto.py serve``: the dashboard as a program of its own, beside a run, after it, or before the first one."""

from __future__ import annotations

import argparse
import contextlib
import ipaddress
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import uvicorn

from litesnn.checks import InputError, fail, user_path
from tune.storage.paths import StoragePath, check_path, storage_path
from tune.views.dashboard.server import app

TOKEN_VARIABLE = "LITESNN_DASHBOARD_TOKEN"
LEAST_TOKEN = 16  # characters
LOCAL_INTERVAL_S, BUCKET_INTERVAL_S = 1.0, 10.0
_INTERVALS_S = 0.1, 3600.0
_PATIENCE_S = 1  # for answers under way at the end
_MOST_CONNECTIONS = 500


def serve(args: argparse.Namespace) -> None:
    """Serves until Ctrl-C or SIGTERM.

    Args:
        args: ``storage``, ``host``, ``port``, ``token_file`` and ``interval``, as text or None.

    Raises:
        InputError: an option that cannot be; no token where others could ask; a port in use.
    """
    port = _port(args.port)
    storage = storage_path("storage", args.storage)
    interval = _interval(args.interval, storage)
    token = _token(args.token_file)
    family, address = _resolve(args.host, port)
    public = not ipaddress.ip_address(address[0].partition("%")[0]).is_loopback
    if public and token is None:
        raise fail("host", f"127.0.0.1, or a token for others (--token-file or {TOKEN_VARIABLE})", args.host)
    if not isinstance(storage, Path):
        check_path("storage", storage)
    stopping = threading.Event()
    web = app(storage, token, stopping, interval)
    with _listening(family, address) as listening:
        server = _Server(_config(web), stopping)
        print(_line(listening.getsockname(), storage), flush=True)
        server.run(sockets=[listening])
    if any(thread is not threading.main_thread() and not thread.daemon for thread in threading.enumerate()):
        # A bucket that does not answer must not hold up the end; nothing is ever written that could be lost.
        sys.stdout.flush()
        os._exit(0)


class _Server(uvicorn.Server):
    """Ends with exit code 0 on a signal, open streams included; uvicorn would raise the signal again."""

    def __init__(self, config: uvicorn.Config, stopping: threading.Event) -> None:
        super().__init__(config)
        self._stopping = stopping

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        def end(*_: object) -> None:
            self.force_exit = self.should_exit  # the second time
            self.should_exit = True
            self._stopping.set()

        before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            self._stopping.set()
            for number, handler in before.items():
                signal.signal(number, handler)


def _config(web: object) -> uvicorn.Config:
    return uvicorn.Config(
        web,  # type: ignore[arg-type]
        http="h11",  # bounds the head of a request
        ws="none",
        lifespan="off",
        log_level="error",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_PATIENCE_S,
        limit_concurrency=_MOST_CONNECTIONS,
    )


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text[:6]) <= 65535):
        raise fail("port", "a whole number from 0 (a free one) to 65535", text)
    return int(text)


def _interval(text: str | None, storage: StoragePath) -> float:
    if text is None:
        return LOCAL_INTERVAL_S if isinstance(storage, Path) else BUCKET_INTERVAL_S
    least, most = _INTERVALS_S
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not least <= seconds <= most:
        raise fail("interval", f"a number of seconds from {least:g} to {most:g}", text)
    return seconds


def _token(file: str | None) -> str | None:
    """What is in the file, else in the environment; None where there is neither.

    No complaint repeats what was found.
    """
    if file is not None:
        path = user_path("token-file", file)
        try:
            with path.open("rb") as opened:
                mode = os.fstat(opened.fileno()).st_mode
                content = opened.read(4096)
        except OSError as error:
            raise fail("token-file", "a file that can be read", f"{path} ({error.strerror})") from None
        if mode & 0o077:
            raise InputError(f"token-file: expected a file for you alone (chmod 600 {path}), got mode {mode & 0o777:o}")
        return _checked("token-file", content.decode("utf-8", errors="replace").strip())
    text = os.environ.get(TOKEN_VARIABLE)
    return None if text is None else _checked(TOKEN_VARIABLE, text.strip())


def _checked(field: str, token: str) -> str:
    if not (token.isascii() and token.isprintable() and " " not in token):
        raise InputError(f"{field}: expected a token of letters, digits and signs, got other characters")
    if len(token) < LEAST_TOKEN:
        raise fail(field, f"a token of at least {LEAST_TOKEN} characters", len(token))
    return token


def _resolve(host: str, port: int) -> tuple[socket.AddressFamily, tuple[str, int]]:
    """Family and numeric address of what ``--host`` names."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError):
        raise fail("host", "an address of this machine, such as 127.0.0.1", host) from None
    family, _, _, _, address = found[0]
    return family, (str(address[0]), port)


@contextlib.contextmanager
def _listening(family: socket.AddressFamily, address: tuple[str, int]) -> Iterator[socket.socket]:
    try:
        listening = socket.create_server(address, family=family, backlog=128)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise InputError(
            f"port: expected a free port at an address of this machine, got {address[1]} at {address[0]} ({reason})"
        ) from None
    with listening:
        yield listening


def _line(address: tuple[str, int], storage: StoragePath) -> str:
    host, port = address[:2]
    everywhere = host in ("0.0.0.0", "::")
    shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    url = f"http://{f'[{shown}]' if ':' in shown else shown}:{port}/"
    more = " and this machine's other addresses" if everywhere else ""
    waits = isinstance(storage, Path) and not storage.exists()
    return f"{url}{more} shows {storage}{', where nothing is yet;' if waits else ','} Ctrl-C ends"
