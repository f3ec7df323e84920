"""docs/commands.md and docs/api.md are what the code says now."""

from pathlib import Path

from docs.api_page import api_page
from docs.commands_page import commands_page

DOCS = Path(__file__).parents[2] / "docs"
AGAIN = "run python -m docs"


def test_the_page_of_commands_is_in_step() -> None:
    assert (DOCS / "commands.md").read_text(encoding="utf-8") == commands_page(), AGAIN


def test_the_page_of_python_is_in_step() -> None:
    assert (DOCS / "api.md").read_text(encoding="utf-8") == api_page(), AGAIN


def test_nothing_is_left_out() -> None:
    commands, python = commands_page(), api_page()
    for name in ("tune/pareto.py run", "tune/pareto.py pick", "tune/pareto.py serve", "litesnn search", "litesnn run"):
        assert f"\n## `{name}`\n" in commands
    for option in ("--points", "--until-stalled", "--max-file", "--token-file", "--retrain-epochs", "--spike-rate"):
        assert f"| `{option}" in commands
    for name in ("litesnn.load", "litesnn.retrain", "litesnn.energy.energy_by_layer"):
        assert f"\n## `{name}`\n" in python
    for method in ("predict", "spikes", "fine_tune", "save_pretrained"):
        assert f"\n### `TrainedNetwork.{method}`\n" in python
