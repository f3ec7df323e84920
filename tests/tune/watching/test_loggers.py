"""Loggers that nobody asked for stay out of a run; those that are asked for are tested with a run, in test_options.py."""

import importlib
import sys
from pathlib import Path

import pytest

from tune.storage.store import Experiment
from tune.watching.loggers import loggers


def test_ray_loads_no_logger_that_nobody_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What Ray calls with a run's callbacks; it alone takes as long as importing PyTorch where MLflow and wandb are installed."""
    usage = importlib.import_module("ray.tune.tune").air_usage
    for name in ("mlflow", "wandb", "comet"):
        monkeypatch.delitem(sys.modules, f"ray.air.integrations.{name}", raising=False)
    assert loggers([], Experiment(tmp_path)) == []
    usage.tag_callbacks([object()])
    assert not {name for name in sys.modules if name.startswith("ray.air.integrations.")}
