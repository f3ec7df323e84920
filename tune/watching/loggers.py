"""Ray's own loggers for the tools that teams already use."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from netrc import NetrcParseError, netrc
from pathlib import Path

from ray.air._internal import usage
from ray.tune import Callback

from litesnn.checks import InputError
from tune.storage.store import Experiment


def check_loggers(names: Sequence[str]) -> None:
    """Makes sure, before anything runs, that the packages are there.

    Raises:
        InputError: a package is missing.
    """
    for name in names:
        package = {"tensorboard": "tensorboardX"}.get(name, name)
        try:
            __import__(package)
        except ImportError:
            raise InputError(
                f"log: expected the package {package} for {name}, got none; pip install {package}"
            ) from None
        if name == "wandb" and not _wandb_can_log():
            raise InputError("log: expected WANDB_API_KEY, a login or WANDB_MODE=offline for wandb, got none of them")


def loggers(names: Sequence[str], experiment: Experiment) -> list[Callback]:
    """The callbacks; every epoch of every trial is logged.

    TensorBoard's files lie beside the trials in ``ray/``. MLflow writes to ``MLFLOW_TRACKING_URI``, or to ``mlflow.db``
    in a local experiment's folder; Weights & Biases follows its own environment variables, ``WANDB_MODE=offline`` too.
    """
    usage.tag_callbacks = _count_none
    made: list[Callback] = []
    title = experiment.path.name
    for name in names:
        if name == "tensorboard":
            from ray.tune.logger import TBXLoggerCallback

            made.append(TBXLoggerCallback())
        elif name == "mlflow":
            from ray.air.integrations.mlflow import MLflowLoggerCallback

            logging.getLogger("mlflow").setLevel(logging.WARNING)  # it tells how it makes its tables
            made.append(MLflowLoggerCallback(tracking_uri=_tracking_uri(experiment), experiment_name=title))
        else:
            from ray.air.integrations.wandb import WandbLoggerCallback

            made.append(WandbLoggerCallback(project=os.environ.get("WANDB_PROJECT", "litesnn"), group=title))
    return made


def _count_none(callbacks: list[Callback] | None) -> bool:
    """Takes the place of Ray's count of a run's callbacks, for which it loads every logger that is installed, for seconds."""
    return False


def _wandb_can_log() -> bool:
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_MODE") in ("offline", "disabled", "dryrun"):
        return True
    try:
        return netrc().authenticators("api.wandb.ai") is not None
    except (OSError, NetrcParseError):
        return False


def _tracking_uri(experiment: Experiment) -> str | None:
    if os.environ.get("MLFLOW_TRACKING_URI") or not isinstance(experiment.path, Path):
        return None  # MLflow's own default
    return f"sqlite:///{experiment.path / 'mlflow.db'}"
