"""docs/python.md: every block of code runs, one after another, as a reader would copy them."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def test_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("huggingface_hub")
    text = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert len(blocks) == text.count("```python") >= 6
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for number, block in enumerate(blocks, 1):
        exec(compile(block, f"docs/python.md, block {number}", "exec"), names)
    printed = capsys.readouterr().out
    assert "% of the test split" in printed and "'cell3': (2, 5, 32, 4, 4)" in printed
    files = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert {"tuned.lsnn", "own-loop.lsnn", "shared/README.md", "shared/model.safetensors"} <= files


def test_the_readme_links_the_page() -> None:
    assert "[docs/python.md](docs/python.md)" in (ROOT / "README.md").read_text(encoding="utf-8")
