"""LitE-SNN: small spiking networks by one joint, differentiable search (Liu et al., IJCAI 2024)."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from litesnn.checks import InputError
    from litesnn.config import Recipe, SearchPoint
    from litesnn.data.dataset import Dataset
    from litesnn.genotype import Genotype
    from litesnn.joint_search import SearchResult, search
    from litesnn.loading import load
    from litesnn.model import Model
    from litesnn.objective import DivergedError
    from litesnn.prediction import Prediction
    from litesnn.retraining import RetrainResult, retrain
    from litesnn.trained import TrainedNetwork

__version__ = "0.1.0"

__all__ = [
    "Dataset",
    "DivergedError",
    "Genotype",
    "InputError",
    "Model",
    "Prediction",
    "Recipe",
    "RetrainResult",
    "SearchPoint",
    "SearchResult",
    "TrainedNetwork",
    "load",
    "retrain",
    "search",
]

# Loaded on first use: what only reads results or checks options need not wait for torch.
_HOME = {
    "Dataset": "litesnn.data.dataset",
    "DivergedError": "litesnn.objective",
    "Genotype": "litesnn.genotype",
    "InputError": "litesnn.checks",
    "Model": "litesnn.model",
    "Prediction": "litesnn.prediction",
    "Recipe": "litesnn.config",
    "RetrainResult": "litesnn.retraining",
    "SearchPoint": "litesnn.config",
    "SearchResult": "litesnn.joint_search",
    "TrainedNetwork": "litesnn.trained",
    "load": "litesnn.loading",
    "retrain": "litesnn.retraining",
    "search": "litesnn.joint_search",
}


def __getattr__(name: str) -> Any:
    """A public name from the module that defines it; ``litesnn.cost`` and other modules work as attributes too."""
    from importlib import import_module
    from importlib.util import find_spec

    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    if not name.startswith("_") and find_spec(f"litesnn.{name}"):
        return import_module(f"litesnn.{name}")
    raise AttributeError(f"module 'litesnn' has no attribute {name!r}")
