"""The benchmark of small networks: measured against a checkout, here itself."""

import json
from pathlib import Path

import pytest

from benchmarks import small_step
from benchmarks.performance import small_steps


def test_both_checkouts_are_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "C = 16, widths 1 2 4"
    monkeypatch.setattr(small_step, "NETWORKS", {name: small_step.NETWORKS[name]})
    out = tmp_path / "result.json"
    here = str(Path(__file__).parents[2])
    assert small_step.main(["--batch", "2", "--repeats", "2", "--before", here, "--out", str(out)]) == 0
    assert name in capsys.readouterr().out
    result = json.loads(out.read_text())
    found = result["networks"][name]
    assert set(found["sides"]) == {"before", "now"} and found["flops"] > 0
    assert found["parts"]["convolutions"] > 0 and found["parts"][small_step.REST] > 0
    assert name in small_steps(result)


def test_a_folder_that_is_no_checkout(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert small_step.main(["--before", str(tmp_path), "--out", str(tmp_path / "small_step.json")]) == 2
    assert capsys.readouterr().err.startswith("small_step: before: expected a checkout")
