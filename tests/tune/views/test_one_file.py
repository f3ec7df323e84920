"""The page as one file: modules joined in order, data that cannot leave their element, colours told once."""

import base64
import hashlib
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tune.views.look import COLOURS, MARKS, mark_colour
from tune.views.page import one_file
from tune.views.page.files import MODULES, json_element, page_text, static_text
from tune.views.page.one_file import joined_modules, render_page

FOLDER = Path(one_file.__file__).parent / "static"
HOSTILE = "</script><script>alert(1)</script><!--heading--> & \u2028"


def render() -> str:
    answer = {"name": HOSTILE, "version": "", "error": None, "trials": [{"trial": HOSTILE, "status": None}]}
    return render_page(answer, {HOSTILE: {"notes": HOSTILE}})


def test_each_module_comes_after_those_that_it_needs() -> None:
    text = joined_modules()
    place = {name: text.index(f"const ${name.removesuffix('.js').replace('/', '_')} = (() => {{") for name in MODULES}
    for name in MODULES:
        folder = (FOLDER / name).parent
        for needed in re.findall(r'from "(\..*?)"', static_text(name)):
            path = (folder / needed).resolve().relative_to(FOLDER).as_posix()
            assert place[path] < place[name], (name, needed)
    assert not re.search(r"^(import|export)\b", text, re.MULTILINE)


def test_exports_and_renamed_imports(monkeypatch: pytest.MonkeyPatch) -> None:
    sources = {
        "parts/b.js": "export const one = 1;\nexport function two() { return one + 1; }\nexport async function three() {}\n",
        "data/a.js": 'import {\n  one, two as second,\n} from "../parts/b.js";\nconsole.log(JSON.stringify([one, second()]));\n',
    }
    monkeypatch.setattr(one_file, "MODULES", list(sources))
    monkeypatch.setattr(one_file, "static_text", sources.__getitem__)
    text = joined_modules()
    assert "return { one, two, three };" in text and "two: second" in text
    node = shutil.which("node")
    if node is not None:
        ran = subprocess.run([node, "-e", text], capture_output=True, text=True, check=True)
        assert ran.stdout == "[1,2]\n"
    sources["data/a.js"] = 'import all from "../parts/b.js";\n'
    with pytest.raises(AssertionError, match="another form"):
        joined_modules()


def test_data_cannot_leave_their_element() -> None:
    page = render()
    data = page.split('id="answers">', 1)[1].split("</script>", 1)[0]
    assert "<" not in data and "alert(1)" in data
    assert "&lt;/script&gt;&lt;script&gt;alert(1)" in page.split("</head>")[0]  # its title
    assert json_element("x", [HOSTILE]).count("<") == 2


def test_only_scripts_of_known_hashes_may_run() -> None:
    page = render()
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy is not None and policy[1].startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe-eval" not in policy[1] and "http" not in policy[1]
    assert "'unsafe-inline'" not in policy[1].partition("script-src")[2].partition(";")[0]
    scripts = re.findall(r'<script(?: type="module")?>(.*?)</script>', page, re.DOTALL)
    assert len(scripts) == 3
    for script in scripts:
        assert f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'" in policy[1]
    assert not re.search(
        r"<(link|script|img|iframe)[^>]*\b(src|href)=\"(?!data:)",
        re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL),
    )


def test_colours_are_in_the_table_alone() -> None:
    """``front.png`` and the page read it; a colour written elsewhere would be a second one."""
    views = Path(one_file.__file__).parents[1]
    for path in [*views.rglob("*.py"), *views.rglob("*.js"), *views.rglob("*.css"), *views.rglob("*.html")]:
        if path.name not in ("look.py", "cell_drawing.py"):
            assert not re.search(r"#[0-9a-f]{6}\b", path.read_text(encoding="utf-8")), path
    css = static_text("page.css")
    assert css.count(f"--accent: {COLOURS['light']['accent']};") == 1
    assert css.count(f"--accent: {COLOURS['dark']['accent']};") == 2
    assert set(COLOURS["light"]) == set(COLOURS["dark"])
    for mark in MARKS.values():
        assert f'"label":"{mark["label"]}"' in page_text("")


def test_a_faded_mark_lies_between_its_colour_and_paper() -> None:
    assert mark_colour("front") == COLOURS["light"]["accent"] == "#0b6e99"
    assert mark_colour("elsewhere") == "#6da8c2"  # 0x0b + 0.4 * (0xff - 0x0b) = 0x6d, and so on
