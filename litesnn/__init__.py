"""LitE-SNN: small spiking networks by one joint, differentiable search (Liu et al., IJCAI 2024)."""

from litesnn.checks import InputError
from litesnn.config import Recipe, SearchPoint
from litesnn.genotype import Genotype
from litesnn.objective import DivergedError
from litesnn.retrain import retrain
from litesnn.search import search

__all__ = ["DivergedError", "Genotype", "InputError", "Recipe", "SearchPoint", "retrain", "search"]
