"""The wheel: what it is called inside, and its command in an environment where others have a ``tune`` of their own."""

import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SHORT = "--points 0,0,0 --search-epochs 1 --retrain-epochs 1 --search-batch 200 --retrain-batch 200".split()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built as pip builds it, from a copy, since setuptools leaves a folder behind."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in ("litesnn", "litesnn_pareto", "tune", "benchmarks"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder)]
    subprocess.run([*build, str(source)], check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


def test_it_has_two_names_at_the_top_and_every_file_that_the_packages_need(wheel: Path) -> None:
    held = [Path(name) for name in zipfile.ZipFile(wheel).namelist()]
    assert {path.parts[0] for path in held if ".dist-info" not in path.parts[0]} == {"litesnn", "litesnn_pareto"}
    tracked = subprocess.run(
        ["git", "ls-files", "litesnn", "litesnn_pareto", "tune"], cwd=ROOT, capture_output=True, text=True
    )
    wanted = {Path(line) for line in tracked.stdout.splitlines() if (ROOT / line).exists()}
    assert wanted
    assert {Path("litesnn_pareto") / path if path.parts[0] == "tune" else path for path in wanted} <= set(held)


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel, this one's other packages, and modules named ``tune`` and ``benchmarks`` of somebody else's."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    # A folder that a .pth file names is searched, but its own .pth files are not read: this checkout stays out.
    (packages / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
    for name in ("tune", "benchmarks"):
        (packages / f"{name}.py").write_text("WHOSE = 'somebody else'\n")
    install = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(folder / "bin" / "python"),
        "install",
        "--no-deps",
        "--quiet",
    ]
    subprocess.run([*install, str(wheel)], check=True, capture_output=True)
    return folder / "bin"


def called(environment: Path, *command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(environment / command[0]), *command[1:]], cwd=cwd, capture_output=True, text=True)


def test_other_programs_of_the_environment_keep_their_modules(environment: Path, tmp_path: Path) -> None:
    text = "import litesnn, litesnn_pareto, tune, benchmarks; print(tune.WHOSE, benchmarks.WHOSE, litesnn.__file__)"
    done = called(environment, "python", "-c", text, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"somebody else somebody else {environment.parent}")


@pytest.mark.cluster
@pytest.mark.slow
def test_the_command_runs_a_trial_and_reads_it(environment: Path, tmp_path: Path) -> None:
    """Driver, Ray's workers and the reading commands all find the service inside the wheel."""
    place = ["--storage", str(tmp_path / "results"), "--name", "first"]
    done = called(environment, "litesnn-pareto", *place, *SHORT, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 trial: 1 finished" in done.stdout
    assert f"  litesnn-pareto serve --storage {tmp_path / 'results'}" in done.stdout
    status = called(environment, "litesnn-pareto", "status", *place, cwd=tmp_path)
    assert status.returncode == 0 and "1 finished" in status.stdout
    wrong = called(environment, "litesnn-pareto", "--seeds", "0", cwd=tmp_path)
    assert wrong.returncode == 2 and wrong.stderr.startswith("litesnn-pareto: seeds: expected an integer")
