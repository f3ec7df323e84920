"""Joining or starting a Ray cluster, and what it has room for."""

from __future__ import annotations

import logging
import os
import socket
import sys
import uuid
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from litesnn.checks import InputError, fail
from litesnn.config import Recipe
from tune.running.gpu_share import gpu_share
from tune.running.settings import Settings

_SOCKET_PATH_BYTES = 103 if sys.platform == "darwin" else 107
_SECONDS_TO_LOOK = 60  # for a task on another host; a busy one starts its first worker process in a few


def connect(address: str) -> None:
    """Joins a cluster; ``auto`` is that of the job or machine, or a local one where there is none.

    Raises:
        InputError: no cluster at the address, or no room for the names of a local one's sockets.
    """
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if Path(__file__).parents[2].name == "litesnn_pareto":  # from a wheel: the workers have to look there too
        options["runtime_env"] = {"worker_process_setup_hook": "litesnn_pareto.admit"}
    # A trial's error is shown as one line; its traceback lies in the run's folder.
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    found = _cluster_here() if address == "auto" else address
    if found is None or found == "local":
        _check_temporary_folder()
        _bind_to_loopback()
        _close_token()
        ray.init(address="local", include_dashboard=False, **options)
        _close_token()
        return
    field = "RAY_ADDRESS" if found == os.environ.get("RAY_ADDRESS") else "address"
    _check_reachable(field, found)
    try:
        ray.init(address=found, **options)
    except (ConnectionError, ValueError) as error:
        raise InputError(f"{field}: expected a Ray cluster, got {found} ({last_line(str(error))})") from None


def _cluster_here() -> str | None:
    """What ``auto`` means: the cluster that the environment names, as in a Ray job, or that of ``ray start`` here.

    Ray's own ``auto`` takes any cluster on the machine, one too that another command has started for itself alone and
    takes down with it; and it waits for minutes for one that is gone and has left its address behind.
    """
    named = os.environ.get("RAY_ADDRESS")
    if named and named != "auto":
        return named
    noted: str | None = ray._private.utils.read_ray_address()
    return noted if noted and _nobody_at(noted) is None else None


def _check_reachable(field: str, address: str) -> None:
    """Ray itself waits for minutes where nobody listens."""
    host, _, port = address.rpartition(":")
    if not host or "://" in host or not port.isdigit():
        raise fail(field, "auto, local or HOST:PORT", address)
    error = _nobody_at(address)
    if error is not None:
        raise InputError(f"{field}: expected a Ray cluster, got nobody at {address} ({error})") from None


def _nobody_at(address: str) -> Exception | None:
    """Why nobody can be reached at HOST:PORT; None if somebody can."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
    except (OSError, OverflowError, ValueError) as error:
        return error
    return None


def _check_temporary_folder() -> None:
    """Refuses a folder below which the sockets of Ray would have longer paths than the system allows."""
    folder = ray._common.utils.get_default_system_temp_dir()
    most = _SOCKET_PATH_BYTES - len(f"/ray/session_2000-01-01_00-00-00_000000_{os.getpid()}/sockets/plasma_store")
    length = len(os.fsencode(folder))
    if length > most:
        variable = next((name for name in ("RAY_TMPDIR", "TMPDIR") if os.environ.get(name)), "TMPDIR")
        raise InputError(
            f"{variable}: expected a folder whose path has at most {most} bytes, as Ray keeps its sockets below it, "
            f"got {length} in {folder}; RAY_TMPDIR=/tmp moves these alone"
        )


def _bind_to_loopback() -> None:
    """Makes every server of a cluster started from here listen on loopback alone.

    Ray does so where it takes the machine for one that cannot join others, which on Linux nothing but this switch says;
    a node address of 127.0.0.1 is replaced by an outward one. A test looks at the open ports.
    """
    os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # for the processes that Ray starts
    ray._private.ray_constants.ENABLE_RAY_CLUSTER = False  # for this one, which has read the variable already


def _close_token() -> None:
    """Makes Ray's token readable for its owner alone: Ray itself writes it for all to read, and other clusters use it too.

    A file that ``RAY_AUTH_TOKEN_PATH`` names is its owner's business: a team may share it.
    """
    with suppress(OSError, RuntimeError):  # there is none, or it is somebody else's; a user without a home
        file = Path.home() / ".ray" / "auth_token"
        if file.stat().st_mode & 0o077:
            file.chmod(0o600)


def resources(settings: Settings) -> dict[str, float]:
    """What Ray gives to a trial."""
    return {"cpu": settings.cpus_per_trial, "gpu": settings.gpus_per_trial or 0}


def with_gpus(settings: Settings, recipe: Recipe) -> Settings:
    """The settings with a share of a GPU for each trial where none was given.

    Args:
        settings: of a command that has joined its cluster.
        recipe: the widest of the experiment.
    """
    if settings.gpus_per_trial is not None:
        return settings
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return replace(settings, gpus_per_trial=gpu_share(recipe, nodes, settings.cpus_per_trial))


def slots(settings: Settings) -> int:
    """How many trials the cluster can run at once.

    Raises:
        InputError: none of its nodes has room for a single trial.
    """
    wanted = {key.upper(): amount for key, amount in resources(settings).items() if amount}
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    count = sum(min(int(node.get(key, 0) / amount) for key, amount in wanted.items()) for node in nodes)
    if count == 0:
        for key, amount in wanted.items():
            largest = max(node.get(key, 0) for node in nodes)
            if largest < amount:
                raise fail(f"{key.lower()}s-per-trial", f"at most the {largest:g} of the largest node", amount)
        raise fail("cpus-per-trial and gpus-per-trial", "what one node has", resources(settings))
    return min(count, settings.max_concurrent) if settings.max_concurrent else count


def check_shared(folder: Path) -> None:
    """Makes sure that every host of the cluster sees the folder that trials write to.

    Args:
        folder: a local folder, which need not exist yet.

    Raises:
        InputError: some host does not see it; trials there would write to a place of their own.
    """
    here = ray.get_runtime_context().get_node_id()
    others = {node["NodeID"]: node for node in ray.nodes() if node["Alive"] and node["NodeID"] != here}
    if not others:
        return
    existing = next(place for place in (folder, *folder.parents) if place.exists())
    probe = existing / f".seen-{uuid.uuid4().hex}"
    probe.touch()
    try:
        looks = {
            _exists.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)).remote(
                str(probe)
            ): node
            for node in others
        }
        seen, pending = ray.wait(list(looks), num_returns=len(looks), timeout=_SECONDS_TO_LOOK)
        blind = [looks[look] for look in seen if not ray.get(look)] + [looks[look] for look in pending]
    finally:
        probe.unlink(missing_ok=True)
    if blind:
        hosts = ", ".join(sorted({others[node]["NodeManagerHostname"] for node in blind}))
        raise InputError(
            f"storage: expected a folder that all hosts of the cluster share, or s3://…, got {folder}, "
            f"which is not seen from {hosts}"
        )


@ray.remote(num_cpus=0)
def _exists(path: str) -> bool:
    return Path(path).exists()


def last_line(text: str) -> str:
    """The last line of an error's text, which says what happened."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "unknown"
