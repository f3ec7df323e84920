"""The best network within limits of size, computation and accuracy; and where none fits, how far off the nearest is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from litesnn.checks import InputError, check_number
from tune.results.amounts import count_text, digits, label, size_text, sizes_text
from tune.results.intervals import INTERVAL, tie
from tune.results.seeds import POINT_ACCURACY, points, sure_networks
from tune.storage.objectives import ACCURACY, BIT_SYNOPS, EQ18, FILE, SIZE
from tune.storage.store import FINISHED

_SHOWN = (
    "experiment trial val_accuracy test_accuracy model_size_bits file_bits dense_bits bit_synops energy_mj timesteps bits "
    "lambda1 lambda2 p channels seed"
).split()
_SHOWN_POINT = ("point", "seeds", ACCURACY, INTERVAL, SIZE, BIT_SYNOPS, "front")


@dataclass(frozen=True, kw_only=True)
class Excess:
    """A limit that the nearest network breaks: its value, the limit, and the share of the limit that lies between."""

    column: str
    value: float
    limit: float

    @property
    def share(self) -> float:
        """How far off, as a share of the limit: 0.18 is 18 %."""
        return abs(self.value - self.limit) / self.limit

    @property
    def text(self) -> str:
        """``0.71 MB, 18 % above 0.60 MB``."""
        if self.column == ACCURACY:
            return f"accuracy {self.value:.2f} %, {digits(self.limit - self.value)} points below {self.limit:g} %"
        if self.column == FILE:
            return f"a file of {size_text(self.value)}, {digits(100 * self.share)} % above {size_text(self.limit)}"
        show = size_text if self.column == EQ18 else lambda value: f"{count_text(value)} Bit-SynOps"
        return f"{show(self.value)}, {digits(100 * self.share)} % above {show(self.limit)}"


@dataclass(frozen=True, kw_only=True)
class Pick:
    """The choice: the row of the table, and the limits that it breaks, none if it fits.

    ``network`` is None where no network has finished. ``tie`` is one within the limits too that costs less and may be as
    accurate, see ``tune.results.intervals``. ``point`` is its row in ``tune.results.seeds.points``, None where that has one
    finished seed alone.
    """

    network: Mapping[str, Any] | None
    excess: tuple[Excess, ...] = field(default=())
    tie: str = ""
    point: Mapping[str, Any] | None = None

    @property
    def fits(self) -> bool:
        """Whether there is a network within all limits."""
        return self.network is not None and not self.excess

    def text(self, folder: object | None = None) -> str:
        """What the command prints: the network and its folder, or how far off the nearest is."""
        if self.network is None:
            return "no network has finished yet"
        row = self.network
        lines = [
            f"{row['trial']}: accuracy {row[ACCURACY]:.2f} % (test {row['test_accuracy']:.2f} %), "
            f"{sizes_text(row)}, {count_text(row[BIT_SYNOPS])} Bit-SynOps, "
            f"T {row['timesteps']:.0f}, bits {row['bits']}"
        ]
        if self.point is not None:
            width = "" if pd.isna(self.point[INTERVAL]) else f" ± {self.point[INTERVAL]:.2f}"
            lines.append(f"mean over its {self.point['seeds']} seeds: accuracy {self.point[ACCURACY]:.2f}{width} %")
        if self.excess:
            lines[0] = f"no network fits; nearest: {lines[0]}"
            lines += [f"  {excess.text}" for excess in self.excess]
        if self.tie:
            lines.append(f"may be as accurate, and costs less: {self.tie}")
        return "\n".join(lines + ([] if folder is None else [f"folder: {folder}"]))

    def to_dict(self, folder: object | None = None) -> dict[str, Any]:
        """The same for ``--json``; exact counts, units in the names."""
        row = {} if self.network is None else self.network
        return {
            "fits": self.fits,
            "network": None if self.network is None else {key: _plain(row[key]) for key in _SHOWN if key in row},
            "folder": None if folder is None or self.network is None else str(folder),
            "ties_with": self.tie or None,
            "point": None if self.point is None else {key: _plain(self.point[key]) for key in _SHOWN_POINT},
            "excess": [
                {"column": e.column, "value": e.value, "limit": e.limit, "percent_of_limit": 100 * e.share}
                for e in self.excess
            ],
        }


def pick(
    trials: pd.DataFrame,
    max_size_bits: float | None = None,
    max_bit_synops: float | None = None,
    min_accuracy: float | None = None,
    max_file_bits: float | None = None,
    sure: bool = False,
) -> Pick:
    """The most accurate finished network within the limits (validation accuracy; of equals the smaller).

    Where none fits, the nearest is the one whose worst excess, as a share of the limit, is smallest; of equals the more
    accurate.

    Args:
        trials: the table of ``tune.storage.store``.
        max_size_bits: largest model size in bits, as the paper counts it (Eq. 18), or None.
        max_bit_synops: most Bit-SynOps per sample, or None.
        min_accuracy: least validation accuracy in percent, or None.
        max_file_bits: largest packed file in bits, or None; networks of earlier versions, whose files were not measured, do
            not fit.
        sure: only networks of points that are on the front for sure (``tune.results.seeds``). A network then counts with
            the mean accuracy of its point's seeds, and of a point's networks the most accurate is taken.

    Raises:
        InputError: a limit that is not a positive number, or more than 100 percent; a limit of files that nobody measured.
    """
    limits: list[tuple[str, float, int]] = []  # column, limit, +1 where larger values break it
    if max_size_bits is not None:
        limits.append((EQ18, check_number("max-size", max_size_bits, above=0), 1))
    if max_file_bits is not None:
        limits.append((FILE, check_number("max-file", max_file_bits, above=0), 1))
    if max_bit_synops is not None:
        limits.append((BIT_SYNOPS, check_number("max-bit-synops", max_bit_synops, above=0), 1))
    if min_accuracy is not None and check_number("min-accuracy", min_accuracy, minimum=0, maximum=100) > 0:
        limits.append((POINT_ACCURACY, min_accuracy, -1))

    networks = sure_networks(trials) if sure else trials.assign(**{POINT_ACCURACY: trials[ACCURACY]})
    finished = networks[networks["status"] == FINISHED].dropna(subset=[ACCURACY, SIZE, BIT_SYNOPS])
    if finished.empty:
        return Pick(network=None)
    if max_file_bits is not None:
        finished = finished.dropna(subset=[FILE]) if FILE in finished else finished.head(0)
        if finished.empty:
            raise InputError(
                "max-file: expected networks whose files were measured, got those of an earlier version only; use max-size"
            )
    worst = pd.Series(0.0, index=finished.index)
    for column, limit, sign in limits:
        off = sign * (finished[column].astype(float) - limit) / limit
        worst = worst.where(worst >= off, off)
    order = finished.assign(worst=worst).sort_values(
        ["worst", POINT_ACCURACY, ACCURACY, SIZE, BIT_SYNOPS], ascending=[True, False, False, True, True], kind="stable"
    )
    best = order.iloc[0]
    excess = tuple(
        Excess(column=ACCURACY if column == POINT_ACCURACY else column, value=float(best[column]), limit=float(limit))
        for column, limit, sign in limits
        if sign * (float(best[column]) - limit) > 0
    )
    tied = "" if excess or sure else tie(order[order["worst"] <= 0], 0)
    network = {str(key): value for key, value in best.drop(["worst", POINT_ACCURACY]).items()}
    return Pick(network=network, excess=excess, tie=tied, point=_point_of(network, trials))


def _point_of(network: Mapping[str, Any], trials: pd.DataFrame) -> Mapping[str, Any] | None:
    grouped = points(trials)
    own = grouped[[label(network) in of_point for of_point in grouped["trials"]]]
    return None if own.empty or own["seeds"].iloc[0] < 2 else {str(key): own[key].iloc[0] for key in own}


def _plain(value: Any) -> Any:
    """A Python value for JSON; missing is None."""
    if pd.isna(value):
        return None
    return value.item() if hasattr(value, "item") else value
