"""The small presets: fronts of their default points, single networks, and the front of the presets before.

Test accuracy over the bytes of the file. Draws what docs/data holds, and prints it; the commands that trained the networks are in docs/results.md.

    python -m benchmarks networks
"""

from __future__ import annotations

import argparse
import csv
import sys
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator, ScalarFormatter

from benchmarks.plots import BLUE, GREY, RED, save
from benchmarks.record import table

DOCS = Path(__file__).parents[1] / "docs"
TITLES = {
    "cifar10-small": "CIFAR-10 on 2 cores without a GPU, one seed each",
    "gsc-small": "Speech Commands, 3,454 training clips, 2 cores without a GPU, one seed each",
}
Row = dict[str, str]


def read(path: Path) -> list[Row]:
    """The rows of a CSV file, by column."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def draw(networks: list[Row], points: list[Row], front: list[Row], title: str, path: Path) -> None:
    """Test accuracy over the size of the file, whose axis is logarithmic.

    Args:
        networks: with ``file_bytes``, ``test_accuracy``, ``retrain_channels`` and ``core_minutes``.
        points: front of the preset's default points, searched; ``file_bits`` and ``test_accuracy``.
        front: of earlier presets, with ``file_bits`` and ``test_accuracy``.
        title: heading.
        path: the PNG file.
    """
    figure = Figure(figsize=(8, 4), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    panel = figure.subplots()
    for rows, look, colour, label in (
        (front, "o--", GREY, "front of version 0.1's preset"),
        (points, "o-", RED, "front of the default points, searched"),
    ):
        places = sorted((float(row["file_bits"]) / 8e3, float(row["test_accuracy"])) for row in rows)
        panel.plot(*zip(*places, strict=True), look, color=colour, markersize=4, linewidth=1, label=label)
    for row in networks:
        place = float(row["file_bytes"]) / 1e3, float(row["test_accuracy"])
        name = "single networks, trained longer: minutes of a core" if row is networks[0] else "_"
        panel.plot(*place, "o", color=BLUE, markersize=6, label=name)
        text = f"C = {row['retrain_channels']}, T = {row['timesteps']}, {float(row['core_minutes']):.0f} min"
        at, side = ((4, 7), "left") if place[0] < 30 else ((-8, 5), "right")
        panel.annotate(text, place, xytext=at, textcoords="offset points", ha=side, fontsize=9, color=BLUE)
    panel.set_xscale("log")
    panel.set_xticks([5, 10, 20, 50, 100, 150])
    panel.xaxis.set_major_formatter(ScalarFormatter())
    panel.xaxis.set_minor_locator(NullLocator())
    panel.set_xlim(5, 200)
    panel.set_xlabel("packed file (kB)")
    panel.set_ylabel("test accuracy (%)")
    panel.set_title(title, fontsize=10)
    panel.grid(True, color="#eee")
    panel.spines[["top", "right"]].set_visible(False)
    panel.legend(frameon=False, fontsize=9, loc="lower right")
    save(figure, path)


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit code."""
    made = argparse.ArgumentParser(prog="networks", description=(__doc__ or "").partition("\n")[0])
    made.add_argument("--out", type=Path, default=DOCS / "images", metavar="FOLDER", help="where the pictures go")
    options = made.parse_args(arguments)
    for preset, title in TITLES.items():
        networks = read(DOCS / "data" / f"{preset}-networks.csv")
        front = read(DOCS / "data" / f"{preset}-front.csv")
        points = read(DOCS / "data" / f"{preset}-points-front.csv")
        draw(networks, points, front, title, options.out / f"{preset}-networks.png")
        columns = list(networks[0])
        print("\n".join(table(columns, [[row[name] for name in columns] for row in networks])))
    return 0


if __name__ == "__main__":
    sys.exit(main())
