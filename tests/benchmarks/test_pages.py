"""The pages of measured figures are what the committed records give."""

from pathlib import Path

import pytest

from benchmarks import pages
from benchmarks.pages import DOCS, PAGES, TABLES, load_all, render
from benchmarks.record import RESULTS
from benchmarks.targets import table
from litesnn.checks import InputError


@pytest.mark.parametrize("name", PAGES)
def test_a_page_agrees_with_the_records(name: str) -> None:
    text = (DOCS / name).read_text(encoding="utf-8")
    assert render(text, load_all(RESULTS)) == text, "run: python -m benchmarks pages"


def test_every_table_stands_on_a_page() -> None:
    text = "".join((DOCS / name).read_text(encoding="utf-8") for name in PAGES)
    assert all(text.count(f"<!-- begin {name} -->") == 1 for name in ("targets", *TABLES))


def test_what_has_no_record_is_said_to_be_not_measured() -> None:
    assert (
        render("<!-- begin lif -->\nold\n<!-- end lif -->", {}) == "<!-- begin lif -->\nNot measured.\n<!-- end lif -->"
    )
    rows = table({}).splitlines()[2:]
    assert len(rows) == 12 and all("| not measured | – |" in row for row in rows)


def test_verdicts_by_hand() -> None:
    def step(ratio: float, share: float, memory: float) -> dict[str, object]:
        row = {
            "dtype": "fp32",
            "seconds": {"median": 1.0},
            "naive_over_this": {"of_medians": ratio},
            "share_of_convolution_rate": share,
            "step_memory_of_naive": memory,
        }
        return {"sides": {"fused": row, "naive": {**row, "seconds": {"median": 0.5}}}}

    def size(neurons: int, share: float) -> dict[str, object]:
        return {"neurons": neurons, "ways": {"litesnn": {"share_of_copy": share}}}

    def inference(fused: float) -> dict[str, object]:
        slower = {"frozen": 1.0, "SpikingJelly": 3.0, "SpikingJelly, fused": fused}
        return {"networks": {"digits": {"batches": [{"batch": 1, "slower_than_frozen": slower}]}}}

    rows = table(
        {
            "search_step": step(10.0, 0.64, 0.29),
            "retrain_step": step(7.9, 0, 0),
            "lif": {"sizes": [size(1000, 0.1), size(5_000_000, 0.7), size(5_000_000, 0.61)]},
            "inference": inference(0.9),
            "startup": {"cases": {"reused, shared": {"later": {"until_first_step": 0.5}}}},
        }
    ).splitlines()[2:]
    ends = [" | ".join(part.strip() for part in row.split("|")[4:6]) for row in rows]
    measured = ["10.0 × | met", "not measured | –", "64 % | missed", "0.29 | met", "7.9 × | missed", "61 % | met"]
    assert ends[:6] == measured
    assert ends[-2:] == ["0.9 × as fast, at least | missed", "0.50 s | met"]


def test_verdicts_of_gpus_by_hand() -> None:
    times = {"neurons, fp32": 1.0, "a copy": 1.6, "retraining step, batch 50, fp32": 0.04}
    times |= {
        f"{kind}search step, batch {batch}, fp32": t for kind, t in (("", 0.03), ("naive ", 0.9)) for batch in (30, 120)
    }

    def ends(**changes: float) -> list[str]:
        rows = [
            {"what": what, "kernels": {"seconds": [t, t, 9.0], "kernel_seconds": 0.95 * t, "waits": 0, **changes}}
            for what, t in times.items()
        ]
        found = table({"gpu": {"rows": rows}}).splitlines()[2:]
        return [
            " | ".join(part.strip() for part in row.split("|")[4:6]) for row in found if "GPU" in row or "H200" in row
        ]

    assert ends() == ["80 % | met", "95 % | met", "30.0 × | met", "0.65 h, 2.07 h | met"]
    assert ends(waits=1)[1] == "0 % | missed"
    assert ends(kernel_seconds=0.02)[1] == "67 % | missed"
    del times["naive search step, batch 120, fp32"]  # did not fit
    assert ends() == ["not measured | –"] * 4


def test_the_command_writes_pages_and_checks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in PAGES:
        (tmp_path / name).write_text("<!-- begin lif -->\nold\n<!-- end lif -->\n")
    options = ["--docs", str(tmp_path)]
    assert pages.main([*options, "--check"]) == 1 and "old" in (tmp_path / PAGES[0]).read_text()
    assert pages.main(options) == 0 and "old" not in (tmp_path / PAGES[0]).read_text()
    assert pages.main([*options, "--check"]) == 0
    (tmp_path / PAGES[0]).write_text("<!-- begin speed -->\n<!-- end speed -->")
    capsys.readouterr()
    assert pages.main(options) == 2 and capsys.readouterr().err.count("\n") == 1
    assert pages.main(["--docs", str(tmp_path / "none")]) == 2


def test_a_record_of_another_version_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="results: expected those of this version, got lif without 'sizes'"):
        render("<!-- begin lif -->\n<!-- end lif -->\n", {"lif": {}})
    (tmp_path / "x.json").write_text("{")
    with pytest.raises(InputError, match="results: expected JSON, got"):
        load_all(tmp_path)
