"""Everything about an experiment but its recipe, as one dataclass from which the command's options derive."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from litesnn.checks import LARGEST_SEED, InputError, check_choice, check_integer, check_number, fail
from tune.plan.space import MOST_POINTS
from tune.running.halving import Halving

GROUPS = {
    "experiment": "experiment",
    "points": "which points to try",
    "stopping": "early stopping",
    "ending": "when the run ends",
    "resources": "resources",
    "logging": "logging",
}
LOGGERS = ("tensorboard", "mlflow", "wandb")
COMPARED = ("paper",)
"""What a front can be shown beside."""
OF_POLISH = (
    "storage data_root skip_damaged time_budget address cpus_per_trial gpus_per_trial trial_timeout max_concurrent log"
).split()
"""Settings that the command ``polish`` has as well."""

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def _setting(default: Any, group: str, text: str, metavar: str | None = None) -> Any:
    if isinstance(default, bool):
        text += f" (default: {'on' if default else 'off'})"
    elif default not in ("", (), None):  # where nothing is the default, the text says what happens then
        text += f" (default: {default:g})" if isinstance(default, float) else f" (default: {default})"
    metadata = {"group": group, "help": text} | ({"metavar": metavar} if metavar else {})
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What ``run`` is told besides the recipe; each field's meaning is its help text.

    Raises:
        InputError: a value is outside its range, or two of them contradict each other.
    """

    storage: str = _setting(
        "~/litesnn-results", "experiment", "folder of all experiments: local, shared, or s3://BUCKET/PATH", "PLACE"
    )
    name: str = _setting(
        "", "experiment", "name of this experiment; the same name continues it (default: the preset's name)", "NAME"
    )
    seed: int = _setting(0, "experiment", "first seed of every point")
    seeds: int = _setting(1, "experiment", "repeat every point with so many seeds", "N")
    data_root: str = _setting("", "experiment", "where data sets lie (default: ~/.cache/litesnn)", "FOLDER")
    download: bool = _setting(False, "experiment", "download a missing data set")
    skip_damaged: bool = _setting(False, "experiment", "leave out own files that cannot be read, and list them")
    compare: str = _setting(
        "", "experiment", "paper: show the published networks of the data set beside the front", "SOURCE"
    )

    points: str = _setting(
        "",
        "points",
        '"λ1,λ2,p λ1,λ2,p …" (λ1,λ2,p,C for another width), names of the paper\'s points (large medium small gsc '
        "ablation), or a CSV file (default: a set per preset)",
        "POINTS|FILE.csv",
    )
    grid: str = _setting(
        "",
        "points",
        '"l1=0,1e-6 l2=0,1e-9 p=50,80", all combinations (c=8,16 for widths); or counts per axis such as 3x3x4',
        "GRID",
    )
    search: str = _setting(
        "", "points", "choose points: random (evenly spread), tpe, nsga2 or another sampler of Optuna", "HOW"
    )
    num_points: int = _setting(24, "points", "how many points --search shall reach in all", "N")
    lambda_range: str = _setting(
        "",
        "points",
        "where --search and counts in --grid look for λ: auto (each cost term from 1e-4 to 1e-1 of the initial cross "
        "entropy) or L1LOW,L1HIGH,L2LOW,L2HIGH (default: the paper's for its own recipes, else auto)",
        "RANGE",
    )
    p_range: str = _setting("0,95", "points", "where they look for p, in percent", "LOW,HIGH")
    channels_range: str = _setting(
        "",
        "points",
        "where they look for C, the width of the retrained network (default: the recipe's alone)",
        "LOW,HIGH",
    )
    optuna_storage: str = _setting(
        "", "points", "keep the study there, for optuna-dashboard: a .log file, sqlite:///… or postgresql://…", "URL"
    )

    early_stopping: bool = _setting(True, "stopping", "stop trials that are far from the front")
    grace_period: int = _setting(
        Halving.grace_period,
        "stopping",
        "epochs of a phase before its first decision; the gate at the end of the search stands in any case",
        "EPOCHS",
    )
    reduction_factor: float = _setting(
        Halving.reduction_factor,
        "stopping",
        "a rung stands where so many times the epochs are a whole phase, not before half of it; of a full rung at most one in so many goes on",
        "FACTOR",
    )
    noise_margin: float = _setting(
        Halving.noise_margin,
        "stopping",
        "points of accuracy credited to the trial that is judged, for the noise of its seed",
        "PERCENT",
    )

    target: str = _setting(
        "",
        "ending",
        'end in order once a network meets this, such as "acc>=85,file<=50kB" (validation accuracy; size by Eq. 18, synops)',
        "LIMITS",
    )
    until_stalled: int = _setting(
        0,
        "ending",
        "end in order once so many trials in a row have added nothing to the front, less than 0.1 % of the hypervolume; "
        "0: never",
        "N",
    )
    time_budget: str = _setting("", "ending", "end in order after this time, such as 90m, 2h or 1d", "TIME")

    address: str = _setting(
        "auto",
        "resources",
        "auto: the cluster of this Ray job or of ray start on this machine, else one for this command alone, which is "
        "also what local means; or HOST:PORT",
        "WHERE",
    )
    cpus_per_trial: int = _setting(1, "resources", "CPU threads of a trial", "N")
    gpus_per_trial: float | None = _setting(
        None,
        "resources",
        "GPUs of a trial; a fraction shares one (default: on a cluster with GPUs a share by the size of the network, else 0)",
        "N",
    )
    trial_timeout: str = _setting(
        "4h",
        "resources",
        "restart a trial that has reported nothing for this time; after the third time it failed; 0: never",
        "TIME",
    )
    max_concurrent: int = _setting(0, "resources", "most trials at once; 0: as many as fit", "N")
    log: tuple[str, ...] = _setting((), "logging", f"log trials by {', '.join(LOGGERS)} as well", "A,B,…")

    def __post_init__(self) -> None:
        check_integer("seed", self.seed, minimum=0, maximum=LARGEST_SEED)
        check_integer("seeds", self.seeds, minimum=1, maximum=LARGEST_SEED - self.seed + 1)
        check_integer("num-points", self.num_points, minimum=1, maximum=MOST_POINTS)
        check_integer("grace-period", self.grace_period, minimum=1)
        check_number("reduction-factor", self.reduction_factor, minimum=1.1)
        check_number("noise-margin", self.noise_margin, minimum=0, below=100)
        check_integer("until-stalled", self.until_stalled, minimum=0)
        check_integer("cpus-per-trial", self.cpus_per_trial, minimum=1)
        if self.gpus_per_trial is not None:
            check_number("gpus-per-trial", self.gpus_per_trial, minimum=0)
            if self.gpus_per_trial > 1 and self.gpus_per_trial % 1:
                raise fail("gpus-per-trial", "a fraction below 1 or a whole number", self.gpus_per_trial)
        check_integer("max-concurrent", self.max_concurrent, minimum=0)
        if self.compare:
            check_choice("compare", self.compare, COMPARED)
        for logger in self.log:
            check_choice("log", logger, LOGGERS)
        if len(set(self.log)) < len(self.log):
            raise fail("log", "different loggers", ",".join(self.log))
        self._check_name()
        self._check_sources()
        _ = self.time_budget_s, self.trial_timeout_s

    def _check_name(self) -> None:
        name = self.name
        if name and (name in (".", "..") or Path(name).name != name or len(name) > 200 or not name.isprintable()):
            raise fail("name", "a plain folder name of at most 200 characters", name)

    def _check_sources(self) -> None:
        given = [option for option in ("points", "grid", "search") if getattr(self, option)]
        if len(given) > 1:
            raise InputError(f"{given[1]}: expected one of --points, --grid and --search, got --{given[0]} as well")
        if self.num_points != Settings.num_points and not self.search:
            raise fail("num-points", "a --search that it can limit", self.num_points)
        counts = self.grid and "=" not in self.grid
        for option in ("lambda_range", "p_range", "channels_range"):
            value = getattr(self, option)
            if value != getattr(Settings, option) and not (self.search or counts):
                raise fail(option.replace("_", "-"), "--search, or counts in --grid, to go with it", value)
        if self.optuna_storage and self.search in ("", "random"):
            raise fail("optuna-storage", "a sampler of Optuna to go with it, such as --search tpe", self.optuna_storage)

    @property
    def time_budget_s(self) -> float | None:
        """Seconds of ``time_budget``; None without one."""
        return _seconds("time-budget", self.time_budget) if self.time_budget else None

    @property
    def trial_timeout_s(self) -> float | None:
        """Seconds of ``trial_timeout``; None without one."""
        return None if self.trial_timeout == "0" else _seconds("trial-timeout", self.trial_timeout)


def _seconds(field: str, text: str) -> float:
    parts = re.findall(r"(\d+(?:\.\d+)?)([smhd])", text)
    seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
    if "".join(number + unit for number, unit in parts) != text or seconds <= 0:
        raise fail(field, "a time above 0 such as 45s, 90m, 1h30m or 2d", text)
    return seconds
