"""The picture of the small presets' networks is drawn from the committed data."""

from pathlib import Path

import pytest
from PIL import Image

from benchmarks import networks


def test_the_command_draws_and_prints_every_network(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert networks.main(["--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    for preset in networks.TITLES:
        rows = networks.read(networks.DOCS / "data" / f"{preset}-networks.csv")
        assert rows and all(row["test_accuracy"] in printed for row in rows)
        with Image.open(tmp_path / f"{preset}-networks.png") as image:
            assert image.size == (960, 480)
