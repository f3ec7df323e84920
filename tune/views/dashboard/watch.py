"""Tells every open page what changes: one look at the storage at a time, however many pages are open."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from tune.views.dashboard.snapshot import Snapshot

_KEEPALIVE_S = 15.0
_WAKE_S = 0.25  # how late a stream may notice that the server ends
_SHARE = 0.2  # at most this share of a core is spent on looking, however large the storage
_MOST = 64


@dataclass(frozen=True)
class _State:
    versions: dict[str, str]
    error: str | None


@dataclass(eq=False)
class _Listener:
    loop: asyncio.AbstractEventLoop
    news: asyncio.Event = field(default_factory=asyncio.Event)
    state: _State | None = None
    over: bool = False


class Watcher:
    """Looks at the storage while anybody listens, in a thread of its own.

    Args:
        snapshot: what looks.
        interval: seconds between two looks; longer where a look takes long.
        ending: once set, all streams end.
        most: streams that may be open at once.
    """

    def __init__(self, snapshot: Snapshot, interval: float, ending: threading.Event, most: int = _MOST) -> None:
        self._snapshot = snapshot
        self._interval = interval
        self._ending = ending
        self._most = most
        self._listeners: set[_Listener] = set()
        self._thread: threading.Thread | None = None
        self._state: _State | None = None
        self._lock = threading.Lock()

    def is_full(self) -> bool:
        """Whether no further stream may be opened."""
        return len(self._listeners) >= self._most

    async def changes(self) -> AsyncIterator[str]:
        """Server-sent events: the version of every experiment at first, then what changes; ends at once if full."""
        listener = _Listener(asyncio.get_running_loop())
        if not self._join(listener):
            return
        try:
            yield "retry: 2000\n\n"
            known = _State({}, None)
            last = time.monotonic()
            while not self._ending.is_set() and not listener.over:
                state = listener.state
                listener.news.clear()
                lines = [] if state is None else _lines(known, state)
                if not lines and time.monotonic() - last >= _KEEPALIVE_S:
                    lines = [": still here\n\n"]  # also how a connection that is gone is noticed
                for line in lines:
                    last = time.monotonic()
                    yield line
                known = state or known
                try:
                    await asyncio.wait_for(listener.news.wait(), _WAKE_S)
                except TimeoutError:
                    continue
        finally:
            with self._lock:
                self._listeners.discard(listener)

    def _join(self, listener: _Listener) -> bool:
        with self._lock:
            if self.is_full():
                return False
            self._listeners.add(listener)
            if self._thread is None:
                self._state = None  # it may be old by now
                # A look at a bucket that does not answer must not hold up the end of the program.
                self._thread = threading.Thread(target=self._watch, name="dashboard-watch", daemon=True)
                self._thread.start()
            listener.state = self._state
        return True

    def _watch(self) -> None:
        try:
            while True:
                began = time.monotonic()
                versions = self._snapshot.versions(anew=True)
                self._tell(_State(versions, self._snapshot.error))
                pause = max(self._interval, (time.monotonic() - began) / _SHARE)
                if self._ending.wait(pause) or self._gives_up():
                    return
        finally:
            self._gives_up(whoever_listens=True)

    def _gives_up(self, whoever_listens: bool = False) -> bool:
        """Whether this thread ends: nobody listens, or it must; then pages that listen ask again, and start another."""
        with self._lock:
            if self._thread is not threading.current_thread() or (self._listeners and not whoever_listens):
                return False
            self._thread = None
            for listener in self._listeners:
                listener.over = True
            return True

    def _tell(self, state: _State) -> None:
        with self._lock:
            self._state = state
            for listener in self._listeners:
                listener.state = state
                try:
                    listener.loop.call_soon_threadsafe(listener.news.set)
                except RuntimeError:  # the server has ended meanwhile
                    return


def _lines(known: _State, state: _State) -> list[str]:
    names = sorted({**known.versions, **state.versions})
    changed = [name for name in names if known.versions.get(name) != state.versions.get(name)]
    lines = [f"data: {json.dumps({'experiment': name, 'version': state.versions.get(name)})}\n\n" for name in changed]
    if known.error != state.error:
        lines.append(f"event: storage\ndata: {json.dumps({'error': state.error})}\n\n")
    return lines
