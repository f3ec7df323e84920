"""Where the networks of a run come from if the command does not say: what wins, unless something asks for a search."""

from __future__ import annotations

from collections.abc import Collection

from litesnn.config import Recipe

OF_A_SEARCH = frozenset(
    """search_dataset search_classes search_channels operations search_epochs search_batch weight_lr weight_lr_min alpha_lr
    beta_lr psi_lr psi_momentum psi_warmup_epochs cost_batch rate_gradient arch_batch bit_decoding""".split()
)
"""Fields of a recipe that a hand-written cell has no use for."""


FAMILIES_WIN = ("digits", "cifar10-small", "gsc-small")
"""Presets in which families of networks are measured to win (docs/results.md)."""


def usual_strategy(preset: str, recipe: Recipe, given: Collection[str], *, own_points: bool) -> str:
    """The strategy of a command that names none.

    ``fixed`` where families of networks win: for the default points of some presets, as long as size is the file and networks
    start from each other's weights. Points of the user have λ, and λ needs a search; so do the fields that only a search reads.
    Else it is the recipe's own.

    Args:
        preset: that the recipe was made of.
        recipe: that the command describes.
        given: names of the recipe's fields that the command states.
        own_points: whether it states points, or how to choose them.
    """
    families = preset in FAMILIES_WIN and recipe.size == "file" and recipe.warm_epochs > 0
    asked = own_points or not OF_A_SEARCH.isdisjoint(given)
    return "fixed" if families and not asked else recipe.strategy
