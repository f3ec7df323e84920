"""The benchmark runs whole at a small size and says what it measured."""

import json
from pathlib import Path

import pytest

from benchmarks.aggregate import EPOCHS, STEPS, main

RESULT = Path(__file__).parents[2] / "benchmarks" / "results" / "aggregate.json"


def test_a_small_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "aggregate.json"
    assert main(["--records", str(6 * EPOCHS), "--repeats", "1", "--folder", str(tmp_path), "--out", str(out)]) == 0
    result = json.loads(out.read_text())
    assert (result["trials"]["trials"], result["trials"]["finished"]) == (6 * EPOCHS, 6 * EPOCHS)
    assert (result["epochs"]["trials"], result["epochs"]["finished"]) == (6, 3)
    assert result["epochs"]["epoch_records"] == 6 * EPOCHS
    assert set(result["trials"]["seconds"]) == set(STEPS)
    printed = capsys.readouterr().out
    assert "aim: under 10 s" in printed and result["machine"]["cpu"] in printed
    assert [path.name for path in tmp_path.iterdir()] == ["aggregate.json"]


def test_bad_input_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--records", "3"]) == 2
    assert capsys.readouterr().err == "aggregate: records: expected an integer of at least 40, got 3\n"


def test_the_kept_result_is_of_a_hundred_thousand_records_and_within_the_aim() -> None:
    result = json.loads(RESULT.read_text())
    assert result["settings"]["records"] == 100_000
    assert result["trials"]["trials"] == result["epochs"]["epoch_records"] == 100_000
    assert max(result[name]["total_seconds"]["max"] for name in ("trials", "epochs")) < result["aim_seconds"] == 10
