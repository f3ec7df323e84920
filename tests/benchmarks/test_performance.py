"""The page of performance is what the committed results give."""

from pathlib import Path

import pytest

from benchmarks import performance
from benchmarks.performance import PAGE, RESULTS, load, render
from benchmarks.targets import targets
from litesnn.checks import InputError


def test_the_page_agrees_with_the_results() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert render(text, load(RESULTS)) == text, "run: python -m benchmarks performance"


def test_the_pictures_of_what_was_measured_are_there() -> None:
    for name in {"lif", "scaling"} & set(load(RESULTS)):
        assert f"images/{name}.png" in PAGE.read_text(encoding="utf-8")
        assert (PAGE.parent / "images" / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_what_has_no_result_is_said_to_be_not_measured() -> None:
    text = render(PAGE.read_text(encoding="utf-8"), {})
    assert text.count("Not measured.") == len(performance.TABLES)
    rows = targets({}).splitlines()[2:]
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

    rows = targets(
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


def test_the_command_writes_page_and_pictures_and_checks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "page.md"
    page.write_text("".join(f"<!-- begin {n} -->\nold\n<!-- end {n} -->\n" for n in ("targets", *performance.TABLES)))
    options = ["--page", str(page), "--images", str(tmp_path / "images")]
    assert performance.main([*options, "--check"]) == 1 and "old" in page.read_text()
    assert performance.main(options) == 0 and "old" not in page.read_text()
    assert performance.main([*options, "--check"]) == 0
    found = {path.stem for path in (tmp_path / "images").glob("*.png")}
    assert found == {"lif", "scaling"} & set(load(RESULTS))
    capsys.readouterr()


@pytest.mark.parametrize("text", ["nothing", "<!-- begin speed -->\n<!-- end speed -->"])
def test_a_page_without_its_tables_is_refused_in_one_line(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.md"
    page.write_text(text)
    assert performance.main(["--page", str(page)]) == 2
    assert capsys.readouterr().err.count("\n") == 1 and page.read_text() == text


def test_a_result_of_another_version_is_refused() -> None:
    with pytest.raises(InputError, match="results: expected those of this version, got lif without 'sizes'"):
        render("<!-- begin lif -->\n<!-- end lif -->\n", {"lif": {}})
