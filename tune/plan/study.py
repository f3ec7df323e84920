"""The Optuna study behind a search: its sampler, where it is kept, and how a point is written in it.

A study knows a point as ``lambda1``, ``lambda2`` (log-uniform) where there is a search, ``p`` (uniform) and, where they have a range,
``channels`` (in steps of the recipe's nodes), ``held_bits`` (a choice) and ``held_timesteps``; a log scale has no zero, so beside
each λ stands the choice ``lambda1_zero`` or ``lambda2_zero``. A λ that is zero is noted at the low end of its range, so that
every trial has every parameter. Objectives: validation accuracy up, log10 of the size and of Bit-SynOps down.
"""

from __future__ import annotations

import inspect
import os
import re
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseGASampler, BaseSampler
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState, create_trial

from litesnn.checks import InputError, fail, user_path
from litesnn.config import OPTIONAL_AXES, SearchPoint
from tune.plan.space import LAMBDAS, NAMES, Space

DIRECTIONS: tuple[Literal["maximize", "minimize"], ...] = ("maximize", "minimize", "minimize")
OBJECTIVES = ("validation accuracy", "log10 size in bits", "log10 Bit-SynOps")
SAMPLERS = {
    "tpe": "TPESampler",
    "nsga2": "NSGAIISampler",
    "nsga3": "NSGAIIISampler",
    "gp": "GPSampler",
    "random": "RandomSampler",
    "qmc": "QMCSampler",
}
_OPTIONS: dict[str, dict[str, Any]] = {"QMCSampler": {"scramble": True, "warn_independent_sampling": False}}
NAME = "trial"  # user attribute: name of the trial's folder


def distributions(space: Space) -> dict[str, BaseDistribution]:
    """The parameters of a trial; each zero flag comes before its λ."""
    found: dict[str, BaseDistribution] = {}
    for name in space.names:
        if name == "held_bits":
            found[name] = CategoricalDistribution(space.held_bits)
        elif name in OPTIONAL_AXES:
            low, high = getattr(space, name)
            found[name] = IntDistribution(low, high, step=space.multiple if name == "channels" else 1)
        else:
            if name in LAMBDAS and space.zero:
                found[f"{name}_zero"] = CategoricalDistribution((False, True))
            low, high = getattr(space, name)
            found[name] = FloatDistribution(low, high, log=name in LAMBDAS)
    return found


def params_of(point: SearchPoint, space: Space) -> dict[str, Any]:
    """A point of the space as a trial's parameters."""
    params: dict[str, Any] = {}
    for name in space.names:
        value = getattr(point, name)
        if name in LAMBDAS and space.zero:
            params[f"{name}_zero"] = value == 0
        params[name] = value or getattr(space, name)[0] if name in LAMBDAS else value
    return params


def point_of(params: dict[str, Any]) -> SearchPoint:
    """The inverse of ``params_of``."""
    lambda1, lambda2 = (0.0 if params.get(f"{name}_zero") else params.get(name, 0.0) for name in LAMBDAS)
    stated = {name: int(params.get(name, 0)) for name in OPTIONAL_AXES}
    return SearchPoint(lambda1=lambda1, lambda2=lambda2, p=params["p"], **stated)


def ask(study: Study, space: Space) -> tuple[optuna.Trial, SearchPoint]:
    """Lets the sampler choose the next point; its trial is running then."""
    trial = study.ask()
    params: dict[str, Any] = {}
    for name, distribution in distributions(space).items():
        if isinstance(distribution, IntDistribution):
            params[name] = trial.suggest_int(name, distribution.low, distribution.high, step=distribution.step)
        elif isinstance(distribution, FloatDistribution):
            params[name] = trial.suggest_float(name, distribution.low, distribution.high, log=distribution.log)
        elif isinstance(distribution, CategoricalDistribution):
            params[name] = trial.suggest_categorical(name, distribution.choices)
    return trial, point_of(params)


def add_running(study: Study, space: Space, point: SearchPoint, name: str) -> int:
    """Adds a running trial of a given point, as if the sampler had just chosen it.

    Args:
        study: the study.
        space: contains the point.
        point: the point.
        name: noted in the study as ``trial``.

    Returns:
        The trial's number, to be told its outcome.
    """
    study.add_trial(
        create_trial(
            state=TrialState.RUNNING,
            params=params_of(point, space),
            distributions=distributions(space),
            user_attrs={NAME: name},
        )
    )
    trial = study.get_trials(deepcopy=False)[-1]
    assert isinstance(study.sampler, _Rounded)
    if isinstance(study.sampler.sampler, BaseGASampler):
        study.sampler.sampler.get_trial_generation(study, trial)  # it breeds from trials that carry a generation
    return trial.number


def open_study(space: Space, sampler: str, seed: Sequence[int], storage_url: str | None, name: str) -> Study:
    """Opens a study, or begins it.

    Args:
        space: what is searched.
        sampler: one of ``SAMPLERS`` or the name of a class in ``optuna.samplers``.
        seed: entropy of the sampler's random numbers.
        storage_url: see ``open_storage``; None keeps the study in memory.
        name: name of the study in its storage.

    Raises:
        InputError: unknown or unfit sampler, bad storage, or a study there that has other objectives.
    """
    number = int(np.random.SeedSequence(list(seed)).generate_state(1)[0])
    chosen = _Rounded(make_sampler(sampler, number), space)
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # it reports every trial, and so do we
    if storage_url is None:
        return optuna.create_study(study_name=name, directions=DIRECTIONS, sampler=chosen)
    try:
        study = optuna.create_study(
            storage=open_storage(storage_url),
            study_name=name,
            directions=DIRECTIONS,
            sampler=chosen,
            load_if_exists=True,
        )
        found = tuple(direction.name.lower() for direction in study.directions)
        study.get_trials(deepcopy=False)
    except InputError:
        raise
    except Exception as error:
        raise _bad_storage(storage_url, error) from None
    if found != DIRECTIONS:
        raise fail("optuna-storage", f"a study {name!r} that has the objectives {', '.join(OBJECTIVES)}", found)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study.set_metric_names(list(OBJECTIVES))
    return study


def open_storage(url: str) -> BaseStorage:
    """Where a study is kept so that other programs can open it.

    Args:
        url: ``journal:///folder/file`` or a path that ends in ``.log`` or ``.journal`` for Optuna's journal file;
            ``sqlite:///folder/file.db``, ``postgresql://user@host/database`` or another address of a database.

    Raises:
        InputError: not such an address, or nothing there that can be used.
    """
    try:
        file = _local_file(url)
        if file is not None and not url.startswith("sqlite"):
            return _open_journal(file)
        options: dict[str, Any] = {"pool_pre_ping": True}  # hours may pass between two trials
        if url.startswith("postgresql"):
            options["connect_args"] = {"connect_timeout": 10}
        return RDBStorage(url, engine_kwargs=options)
    except InputError:
        raise
    except Exception as error:
        raise _bad_storage(url, error) from None


def check_storage(url: str) -> None:
    """As ``open_storage``, but begins no file: of one that is not there yet, only its folder is looked at."""
    file = _local_file(url)
    if file is None or file.exists():
        open_storage(url)
    elif not file.parent.is_dir() or not os.access(file.parent, os.W_OK | os.X_OK):
        raise _bad_storage(url, ValueError(f"no folder {file.parent} that can be written"))


def _local_file(url: str) -> Path | None:
    """The file of a journal or of SQLite; None for a server."""
    if url.startswith("journal://") or ("://" not in url and url.endswith((".log", ".journal"))):
        return user_path("optuna-storage", url.removeprefix("journal://"))
    return Path(url.removeprefix("sqlite:///")) if url.startswith("sqlite:///") else None


def _open_journal(file: Path) -> JournalStorage:
    """A journal file; Optuna itself would write into any text file."""
    if file.exists():
        with file.open("rb") as opened:
            first = opened.readline(10_000)
        if first and b'"op_code"' not in first:
            raise ValueError("the file is no journal of Optuna")
    return JournalStorage(JournalFileBackend(str(file)))


def _bad_storage(url: str, error: Exception) -> InputError:
    """One line; passwords in it are hidden."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reason = f"{type(error).__name__}{': ' + lines[0] if lines else ''}"
    text = (
        "optuna-storage: expected a journal file (journal:///PATH, PATH.log or PATH.journal) or a database "
        f"(sqlite:///PATH, postgresql://…) that can be used, got {url} ({reason})"
    )
    return InputError(re.sub(r"(://[^:/@\s]*):[^@\s]*@", r"\1:***@", text))


def make_sampler(name: str, seed: int) -> BaseSampler:
    """A sampler with its default settings.

    Args:
        name: one of ``SAMPLERS`` or the name of a class in ``optuna.samplers``.
        seed: seed of its random numbers.

    Raises:
        InputError: no sampler of that name, or one that needs more settings or knows a single objective only.
    """
    expected = f"one of {', '.join(SAMPLERS)} or a class of optuna.samplers for several objectives"
    class_name = SAMPLERS.get(name, name)
    chosen: Any = getattr(optuna.samplers, class_name, None)
    if not inspect.isclass(chosen) or not issubclass(chosen, BaseSampler) or inspect.isabstract(chosen):
        raise fail("search", expected, name)
    build: Callable[..., BaseSampler] = chosen
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        try:
            _try_out(build(seed=seed, **_OPTIONS.get(class_name, {})))
            return build(seed=seed, **_OPTIONS.get(class_name, {}))
        except Exception as error:
            reason = (str(error) or type(error).__name__).split(". ")[0].splitlines()[0]
            raise InputError(f"search: expected {expected}, got {name!r} ({reason})") from None


def _try_out(sampler: BaseSampler) -> None:
    """Two trials of a study like ours: what cannot do them raises."""
    space = Space(lambda1=(1e-9, 1e-6), lambda2=(1e-9, 1e-6))
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        study = optuna.create_study(directions=DIRECTIONS, sampler=sampler)
        for _ in range(2):
            trial, _ = ask(study, space)
            study.tell(trial, [0.0, 0.0, 0.0])
    finally:
        optuna.logging.set_verbosity(before)


class _Rounded(BaseSampler):
    """Another sampler whose values are rounded like the points that are run, so the study says what has been tried.

    Args:
        sampler: who chooses.
        space: rounds.
    """

    def __init__(self, sampler: BaseSampler, space: Space) -> None:
        self.sampler, self.space = sampler, space

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """The inner sampler's."""
        return self.sampler.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The inner sampler's choice, rounded."""
        params = self.sampler.sample_relative(study, trial, search_space)
        return {name: self._rounded(name, value, params) for name, value in params.items()}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """The inner sampler's choice, rounded."""
        value = self.sampler.sample_independent(study, trial, param_name, param_distribution)
        return self._rounded(param_name, value, trial.params)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Passed on."""
        self.sampler.before_trial(study, trial)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        """Passed on."""
        self.sampler.after_trial(study, trial, state, values)

    def reseed_rng(self) -> None:
        """Passed on."""
        self.sampler.reseed_rng()

    def _rounded(self, name: str, value: Any, others: dict[str, Any]) -> Any:
        if name not in NAMES:
            return value
        return getattr(self.space, name)[0] if others.get(f"{name}_zero") else self.space.rounded(name, value)
