"""docs/commands.md and docs/api.md are what the code says now."""

from docs import reference

AGAIN = "run python -m docs.reference"


def test_the_page_of_commands_is_in_step() -> None:
    assert (reference.HERE / "commands.md").read_text(encoding="utf-8") == reference.commands_page(), AGAIN


def test_the_page_of_python_is_in_step() -> None:
    assert (reference.HERE / "api.md").read_text(encoding="utf-8") == reference.api_page(), AGAIN


def test_nothing_is_left_out() -> None:
    commands, python = reference.commands_page(), reference.api_page()
    for name in ("tune/pareto.py run", "tune/pareto.py pick", "tune/pareto.py serve", "litesnn search", "litesnn run"):
        assert f"\n## `{name}`\n" in commands
    for option in ("--points", "--until-stalled", "--max-file", "--token-file", "--retrain-epochs", "--spike-rate"):
        assert f"| `{option}" in commands
    for name in ("litesnn.load", "litesnn.retrain", "litesnn.energy.energy_by_layer"):
        assert f"\n## `{name}`\n" in python
    for method in ("predict", "spikes", "fine_tune", "save_pretrained"):
        assert f"\n### `TrainedNetwork.{method}`\n" in python
