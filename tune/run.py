"""The command ``run``: checks everything, runs the trials that have no outcome yet, writes and prints the results."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

from litesnn.checks import fail
from litesnn.config import Recipe, SearchPoint
from litesnn.options import given_options, recipe_from
from litesnn.progress import reading_bar
from tune.launch import Launch
from tune.plan.families import parents
from tune.plan.lambda_range import measure
from tune.plan.points import Trial, default_points, fitted, parse_points, trials
from tune.plan.space import (
    LAMBDAS,
    Range,
    Space,
    channels_range_from,
    grid,
    lambda_range_from,
    low_discrepancy,
    p_range_from,
)
from tune.plan.strategy import usual_strategy
from tune.plan.study import check_storage, make_sampler
from tune.reading import make_console, show_and_write
from tune.results.goals import Goals, parse_target
from tune.results.reference import reference_of
from tune.running.cluster import check_shared, connect, slots, with_gpus
from tune.running.settings import Settings
from tune.storage.paths import storage_path
from tune.storage.store import Experiment
from tune.trials.shared_data import from_arrays, load_arrays
from tune.views.next_steps import next_steps
from tune.watching.loggers import check_loggers


def run(args: argparse.Namespace) -> None:
    """Runs the command.

    Raises:
        InputError: bad input; nothing has been written then.
        KeyboardInterrupt: the run was interrupted; what it reached has been reported.
    """
    recipe, settings = recipe_from(args), Settings(**given_options(args, Settings, dashed=True))
    if settings.target:
        parse_target(settings.target)
    experiment = Experiment(storage_path("storage", settings.storage) / (settings.name or args.preset))
    recipe = with_strategy(args.preset, recipe, given_options(args, Recipe), settings, experiment)
    carry_out(settings, recipe, experiment, Design(settings, args.preset, recipe))


def with_strategy(
    preset: str, recipe: Recipe, given: Collection[str], settings: Settings, experiment: Experiment
) -> Recipe:
    """The recipe with the strategy that the command names, else the experiment's, else the usual one.

    Args:
        preset: that the recipe was made of.
        recipe: that the command describes.
        given: names of the recipe's fields that it states.
        settings: what it states besides.
        experiment: which it begins or continues.

    Raises:
        InputError: the experiment cannot be reached or is damaged.
    """
    if "strategy" in given:
        return recipe
    own_points = bool(settings.points or settings.grid or settings.search)
    strategy = experiment.strategy() or usual_strategy(preset, recipe, given, own_points=own_points)
    return Recipe.from_dict({**recipe.to_dict(), "strategy": strategy})


def carry_out(
    settings: Settings, recipe: Recipe, experiment: Experiment, design: Design, begin: Callable[[], None] | None = None
) -> None:
    """Runs what a design has and the experiment has not, and reports.

    Args:
        settings: the command's.
        recipe: of all trials.
        experiment: where they are.
        design: which trials there shall be.
        begin: called before the first trial, once the experiment is there.

    Raises:
        InputError, KeyboardInterrupt: as ``run``.
    """
    started = time.monotonic()
    check_loggers(settings.log)
    console = make_console()
    experiment.check(recipe.to_dict())
    found: list[str] = []
    with reading_bar() as progress:
        data = load_arrays(
            recipe, settings.data_root or None, settings.download, progress, settings.skip_damaged, found.append
        )
    for text in found:
        console.print(text, highlight=False, soft_wrap=True)
    measured = experiment.measured()
    if design.measures and measured is None:
        measured = measure(recipe, from_arrays(data["search"]), seed=settings.seed)
        (low1, high1), (low2, high2) = measured
        console.print(f"measured on one batch: λ1 from {low1:g} to {high1:g}, λ2 from {low2:g} to {high2:g}")
    space = design.space(measured)
    wanted = design.trials(space)
    over = experiment.outcomes()
    todo = None if wanted is None else [trial for trial in wanted if trial.name not in over]
    widest = design.widest(wanted)
    reference = reference_of(widest)
    goals = Goals(target=settings.target, patience=settings.until_stalled, reference=reference)
    enough = goals.reached(experiment.table()) if over else ""
    if enough:
        todo = []
    room, cpu_instead = 0, settings.gpus_per_trial is None
    if todo is None or todo:
        with console.status("waiting for Ray"):
            connect(settings.address)
        settings = with_gpus(settings, widest)
        room = slots(settings)
        if cpu_instead and settings.gpus_per_trial:
            console.print(f"there are GPUs, each trial gets {settings.gpus_per_trial:g} of one (--gpus-per-trial)")
        if isinstance(experiment.path, Path):
            check_shared(experiment.path)
    planned = settings.num_points * settings.seeds if wanted is None else len({t.name for t in wanted} | set(over))
    experiment.open(recipe.to_dict(), reference, measured, planned)
    if begin is not None:
        begin()

    launch = Launch(
        settings=settings,
        recipe=recipe,
        experiment=experiment,
        reference=reference,
        data=data,
        slots=room,
        cpu_instead=cpu_instead,
        goals=goals,
        console=console,
    )
    if enough:
        console.print(f"nothing left to run; results in {experiment.path}")
        complete = True
    elif todo is None:
        console.print(f"{settings.num_points} points by {settings.search}; results in {experiment.path}")
        assert space is not None
        complete = launch.run_searched(space)
    else:
        assert wanted is not None
        done = len(wanted) - len(todo)
        trials_in_words = f"{len(wanted)} trial{'s' * (len(wanted) != 1)}"
        console.print(f"{trials_in_words}, {done} of them over before; results in {experiment.path}")
        starts = parents(wanted, recipe) if design.chosen is None else {}  # chosen ones are trained from scratch
        if starts:
            console.print(
                "nothing is searched: one cell, whose networks start from each other (--strategy darts searches)"
            )
        complete = launch.run(todo, starts) if todo else True
    enough = goals.reached(experiment.table())
    show_and_write(experiment, console, settings.compare or None)
    console.print("next:")
    for command in next_steps(experiment, settings.storage, experiment.table()):
        console.print(f"  {command}", highlight=False, soft_wrap=True)
    if enough:
        console.print(enough, highlight=False, soft_wrap=True)
    if enough or complete:
        return
    if settings.time_budget_s is not None and time.monotonic() - started >= settings.time_budget_s:
        console.print("The time budget is spent; the same command continues.")
        return
    raise KeyboardInterrupt  # Ray ends a run in order at Ctrl-C and says nothing


class Design:
    """Which points the settings ask for; what can be checked without data is checked at once.

    Args:
        settings: the command's settings.
        preset: the recipe's preset, which has default points.
        recipe: whose nodes share a point's channels.
        chosen: the very trials, whatever the settings ask for.

    Raises:
        InputError: bad points, grid, channels, sampler, storage of the study or range.
    """

    def __init__(self, settings: Settings, preset: str, recipe: Recipe, chosen: list[Trial] | None = None) -> None:
        self.settings, self.recipe, self.chosen = settings, recipe, chosen
        self.adaptive = settings.search not in ("", "random")
        self.p_range, self.channels = p_range_from(settings.p_range), channels_range_from(settings.channels_range)
        self.lambdas = lambda_range_from(settings.lambda_range or None, preset)
        self.given: list[SearchPoint] | None = None
        self.ranged = bool(settings.search) or bool(settings.grid and "=" not in settings.grid)
        self.searching = recipe.strategy == "darts"
        if settings.lambda_range and not self.searching:
            raise fail("lambda-range", "strategy darts to go with it", settings.lambda_range)
        if chosen is not None:
            self.given = [trial.point for trial in chosen]
        elif settings.points:
            self.given = fitted(parse_points(settings.points), recipe)
        elif settings.grid:
            fitted(grid(self._some_space(), settings.grid), recipe)
        elif self.adaptive:
            make_sampler(settings.search, settings.seed)
            if settings.optuna_storage:
                check_storage(settings.optuna_storage)
        elif not settings.search:
            self.given = default_points(preset, recipe)

    @property
    def measures(self) -> bool:
        """Whether ranges of λ are needed that have to be measured."""
        return self.ranged and self.searching and self.lambdas is None

    def space(self, measured: tuple[Range, Range] | None) -> Space | None:
        """The ranges, ``measured`` where none are given; None if no range is needed."""
        ranges = self.lambdas or measured or (None, None)
        return self._space(*ranges) if self.ranged else None

    def _space(self, lambda1: Range | None, lambda2: Range | None) -> Space:
        recipe = self.recipe
        ranges: dict[str, Any] = {"lambda1": lambda1, "lambda2": lambda2} if self.searching else dict.fromkeys(LAMBDAS)
        if recipe.strategy == "fixed":  # what the other strategies choose by themselves
            ranges |= {"held_bits": recipe.bit_widths, "held_timesteps": (1, recipe.timesteps)}
        return Space(**ranges, p=self.p_range, channels=self.channels, multiple=recipe.nodes)

    def _some_space(self) -> Space:
        """For grids that list their values, which need no range of λ."""
        return self._space((1e-9, 1e-9), (1e-9, 1e-9))

    def widest(self, wanted: list[Trial] | None) -> Recipe:
        """The recipe with the largest C that is asked for."""
        found = [trial.point.channels for trial in wanted or ()] + list(self.channels or ())
        return replace(self.recipe, retrain_channels=max([self.recipe.retrain_channels, *found]))

    def trials(self, space: Space | None) -> list[Trial] | None:
        """All trials; None where a sampler chooses their points."""
        if self.chosen is not None:
            return self.chosen
        return None if self.adaptive else trials(self.points(space), self.settings.seeds, self.settings.seed)

    def points(self, space: Space | None) -> list[SearchPoint]:
        """The points of a design that is fixed beforehand."""
        if self.given is not None:
            return self.given
        if self.settings.grid:
            points = grid(space or self._some_space(), self.settings.grid)
        else:
            assert space is not None
            points = low_discrepancy(space, self.settings.num_points, self.settings.seed)
        return fitted(points, self.recipe)
