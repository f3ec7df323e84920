"""A dashboard on a real socket for tests, ended with its block."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import uvicorn

from litesnn.genotype import Genotype
from tune.storage.paths import StoragePath
from tune.views.dashboard.server import app

POINT = {"lambda1": 0.0, "lambda2": 0.5, "p": 50.0, "seed": 0}
EPOCH = {"phase": "search", "epoch": 1, "epochs": 2, "val_accuracy": 50.0, "seconds": 1.5, "loss": float("nan")}
NETWORK = Genotype(nodes=(((0, "conv3x3"), (1, "skip")),), bits=(2, 1), timesteps=3, p=50.0)


@contextmanager
def serving(storage: StoragePath, token: str | None = None, interval: float = 0.1) -> Iterator[httpx.Client]:
    """A client of a dashboard over the storage."""
    stopping = threading.Event()
    server = uvicorn.Server(uvicorn.Config(app(storage, token, stopping, interval), log_level="warning"))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{listening.getsockname()[1]}", timeout=20) as client:
                yield client
        finally:
            stopping.set()
            server.should_exit = True
            thread.join(20)
    assert not thread.is_alive()
