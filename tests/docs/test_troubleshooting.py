"""docs/troubleshooting.md: every message on it is in the code, or in the cases that test bad input."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_code_says_every_message() -> None:
    files = [file for folder in ("litesnn", "tune") for file in (ROOT / folder).rglob("*.py")]
    text = "".join(file.read_text(encoding="utf-8") for file in (*files, ROOT / "tests" / "bad_input_cases.py"))
    said = re.sub(r'"\s*\n\s*f?"', "", text)  # a sentence may be written in several pieces
    page = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    messages = re.findall(r"^\| `(.*?)` \|", page, re.MULTILINE)
    assert len(messages) > 40
    argparses = {"unrecognized arguments: "}
    for message in messages:
        pieces = re.split(r"…|: expected |, got | at most the | of the largest node", message)
        for piece in pieces:
            words = piece.strip(" ,;:()")
            assert len(words) < 4 or words in said or piece in argparses, f"{message}: {words!r}"
