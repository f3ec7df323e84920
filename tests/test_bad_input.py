"""Every bad input of both commands: one clear line that names the field, exit code 2, nothing half-written."""

import json
import os
import shlex
from pathlib import Path

import pytest
from PIL import Image

from litesnn import Genotype, Recipe, cli
from tests.bad_input_cases import PARETO_CASES, RECIPE_CASES
from tune import pareto

GENOTYPE = Genotype(
    nodes=(((0, "skip"), (1, "conv3x3")), ((0, "skip"), (2, "skip"))), bits=(4, 2, 1), timesteps=2, p=50
)

SEARCH_CASES = [
    *RECIPE_CASES,
    ("--lambda1=-1e-9", "lambda1: expected a finite number at least 0"),
    ("--lambda1 nan", "lambda1: expected"),
    ("--lambda2 inf", "lambda2: expected"),
    ("--lambda2 x", "lambda2: expected a number"),
    ("--p 100", "p: expected"),
    ("--p=-1", "p: expected"),
    ("--point huge", "point: expected one of large, medium, small, gsc"),
    ("--device tpu", "device: expected"),
    ("--device cuda:99", "device: expected"),
    ("--threads 0", "threads: expected"),
    ("--threads 100000", "threads: expected an integer of at least 1 and at most 1024"),
    ("--out {tmp}/file", "out: expected a folder that can be written"),
]
OTHER_CASES = [
    ("retrain {tmp}/missing.json", "genotype: expected a readable JSON file"),
    ("retrain {tmp}/file", "genotype: expected JSON"),
    (
        "retrain {tmp}/genotype.json --preset digits --nodes 4",
        "genotype.nodes: expected 4 nodes as in the recipe, got 2",
    ),
    (
        "retrain {tmp}/genotype.json --preset digits --widths 1,2",
        "genotype.bits: expected one per cell of the recipe (2)",
    ),
    ("retrain {tmp}/bits5.json", "genotype.bits: expected one of 1, 2, 3, 4, got 5"),
    ("evaluate {tmp}/missing.safetensors", "model: expected a readable file"),
    ("evaluate {tmp}/file", "model: expected a safetensors file"),
    ("describe {tmp}/genotype.json --preset digits --spike-rate 2", "spike-rate: expected a number from 0 to 1"),
    ("describe {tmp}/missing.safetensors", "model: expected a readable file"),
    ("", "search | retrain | evaluate | describe"),
    ("retrain {tmp}/genotype.json", "preset: expected --preset, or a recipe.json beside the genotype"),
    ("describe {tmp}/genotype.json", "preset: expected --preset, or a recipe.json beside the genotype"),
    (
        "retrain {tmp}/genotype.json --preset digits --timesteps 1",
        "genotype.timesteps: expected at most the recipe's 1",
    ),
    ("describe {tmp}/list/genotype.json", "recipe: expected an object, got list"),
    ("retrain {tmp}/trial/genotype.json --preset digits", "out: expected a folder of your own"),
]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder of its own, with the files that the cases name outside it."""
    (tmp_path / "file").write_text("not what you think")
    (tmp_path / "genotype.json").write_text(GENOTYPE.to_json())
    (tmp_path / "bits5.json").write_text(json.dumps({**json.loads(GENOTYPE.to_json()), "bits": [5, 1, 1]}))
    lines = {"empty": "", "headless": "0,0,50", "word": "p,lambda2,lambda1\n50,0,0\n50,x,0", "text": "no journal"}
    lines["large"] = "lambda1,lambda2,p\n0,0,100"
    for name, text in lines.items():
        (tmp_path / f"{name}.{'log' if name == 'text' else 'csv'}").write_text(text)
    recipes = {"one": Recipe.preset("digits"), "two": Recipe.preset("gsc-small")}
    files = {f"{name}/experiment.json": json.dumps({"recipe": recipe.to_dict()}) for name, recipe in recipes.items()}
    files |= {"list/recipe.json": "[1]", "trial/point.json": "{}", "damaged/experiment.json": "{"}
    for name, text in files.items():
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(text)
    for name in ("list", "trial"):
        (tmp_path / name / "genotype.json").write_text(GENOTYPE.to_json())
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    for cache in ("MPLCONFIGDIR", "XDG_CACHE_HOME"):  # matplotlib keeps files there from its first import on
        monkeypatch.setenv(cache, str(tmp_path / "cache"))
    return folder


def check_refused(code: int, stderr: str, expected: str, home: Path) -> None:
    assert code == 2
    assert len(stderr.splitlines()) == 1, stderr
    assert expected in stderr
    assert list(home.iterdir()) == []


def exit_code_of(main: object, arguments: list[str]) -> int:
    try:
        return main(arguments)  # type: ignore[operator]
    except SystemExit as stop:  # from the parser
        return int(stop.code or 0)


@pytest.mark.parametrize(("arguments", "expected"), PARETO_CASES)
def test_pareto(arguments: str, expected: str, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(home.parent.rglob("*"))
    code = exit_code_of(pareto.main, shlex.split(arguments.format(tmp=home.parent, home=home)))
    check_refused(code, capsys.readouterr().err, expected, home)
    assert [path for path in sorted(home.parent.rglob("*")) if "cache" not in path.parts] == before


@pytest.mark.parametrize(("arguments", "expected"), SEARCH_CASES)
def test_search(arguments: str, expected: str, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = exit_code_of(cli.main, ["search", *arguments.format(tmp=home.parent).split()])
    check_refused(code, capsys.readouterr().err, expected, home)


@pytest.mark.parametrize(("arguments", "expected"), OTHER_CASES)
def test_other_commands(arguments: str, expected: str, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = exit_code_of(cli.main, arguments.format(tmp=home.parent).split())
    check_refused(code, capsys.readouterr().err, expected, home)


def picture(path: Path, size: tuple[int, int] = (8, 8)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size, 128).save(path)


@pytest.mark.parametrize("fault", ["empty class", "unreadable image", "another size"])
def test_faulty_folder_is_named(fault: str, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = home.parent / "own"
    for part in ("train", "test"):
        for label in ("a", "b"):
            for n in range(4):
                picture(root / part / label / f"{n}.png")
    if fault == "empty class":
        for path in (root / "train" / "b").iterdir():
            path.unlink()
        expected = str(root / "train" / "b")
    elif fault == "unreadable image":
        (root / "train" / "a" / "2.png").write_text("no picture")
        expected = str(root / "train" / "a" / "2.png")
    else:
        picture(root / "train" / "a" / "1.png", (9, 8))
        expected = str(root / "train" / "a" / "1.png")
    code = exit_code_of(pareto.main, ["--dataset", f"folder:{root}", "--resize", "none"])
    check_refused(code, capsys.readouterr().err, expected, home)


def test_unwritable_storage(home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    # The superuser may write anywhere, so the answer of the system is replaced.
    monkeypatch.setattr("tune.storage.paths.os.access", lambda path, mode: False)
    code = exit_code_of(pareto.main, ["--storage", str(home)])
    check_refused(code, capsys.readouterr().err, f"storage: expected a folder that can be written, got {home}", home)


def test_divergence_is_one_line_and_its_own_exit_code(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tiny = "--widths 1 --search-channels 2 --retrain-channels 2 --timesteps 1 --search-batch 200 --threads 1".split()
    code = exit_code_of(cli.main, ["search", *tiny, "--lambda1", "1e300", "--out", str(home.parent / "out")])
    assert code == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith("litesnn: diverged: the loss became")


def test_a_batch_of_one_value_per_channel(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tiny = (
        "--widths 1,2,4,8 --search-channels 2 --retrain-channels 2 --timesteps 1 --search-batch 1 --threads 1".split()
    )
    code = exit_code_of(cli.main, ["search", *tiny, "--out", str(home.parent / "out")])
    assert code == 2 and "search_batch: expected more than one value" in capsys.readouterr().err.splitlines()[-1]


def test_a_checkpoint_of_another_recipe(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = home.parent / "out"
    tiny = "--widths 1 --search-channels 2 --retrain-channels 2 --timesteps 1 --search-batch 200 --threads 1".split()
    command = ["search", *tiny, "--out", str(out), "--search-epochs", "1"]
    assert exit_code_of(cli.main, command) == 0
    before = {path: path.read_bytes() for path in out.iterdir()}
    capsys.readouterr()
    code = exit_code_of(cli.main, [*command, "--tau", "0.5"])
    error = capsys.readouterr().err.splitlines()[-1]
    assert code == 2 and "checkpoint: expected one with tau = 0.5, got one with tau = 0.2" in error
    assert before == {path: path.read_bytes() for path in out.iterdir()}
