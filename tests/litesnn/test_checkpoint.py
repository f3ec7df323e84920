"""Files that are written whole or not at all, and files that are refused."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from litesnn.checkpoint import DamagedCheckpointError, check_identity, load_checkpoint, save_checkpoint
from litesnn.checks import InputError
from litesnn.config import Recipe
from litesnn.files import write_atomically, write_text


def test_there_and_back(tmp_path: Path) -> None:
    state = {"weights": {"a": torch.arange(5.0)}, "epoch": 3, "names": ["x", None, 2.5, True]}
    save_checkpoint(tmp_path / "new" / "folder" / "c.pt", state)
    again = load_checkpoint(tmp_path / "new" / "folder" / "c.pt")
    assert torch.equal(again["weights"]["a"], torch.arange(5.0))
    assert (again["epoch"], again["names"]) == (3, ["x", None, 2.5, True])


def test_a_failing_writer_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "c.txt"
    write_text(path, "old")

    def half(temporary: Path) -> None:
        assert temporary.parent == path.parent  # or the rename would not be atomic
        temporary.write_text("ha", encoding="utf-8")
        raise RuntimeError("interrupted")

    with pytest.raises(RuntimeError, match="interrupted"):
        write_atomically(path, half)
    assert path.read_text(encoding="utf-8") == "old"
    assert os.listdir(tmp_path) == ["c.txt"]


def test_the_old_file_stays_until_the_new_one_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "c.txt"
    write_text(path, "old")

    def write(temporary: Path) -> None:
        temporary.write_text("new", encoding="utf-8")
        assert path.read_text(encoding="utf-8") == "old"

    write_atomically(path, write)
    assert path.read_text(encoding="utf-8") == "new"
    assert os.listdir(tmp_path) == ["c.txt"]


def test_an_interrupt_leaves_no_temporary_file(tmp_path: Path) -> None:
    def interrupt(temporary: Path) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "c.txt", interrupt)
    assert os.listdir(tmp_path) == []


def test_a_place_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    write_text(tmp_path / "file", "")
    with pytest.raises(InputError, match=r"\A[^\n]+: expected a path that can be written, got [^\n]+\Z"):
        write_text(tmp_path / "file" / "below", "")
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match=r"\A[^\n]+: expected a path that can be written, got [^\n]+\Z"):
        write_text(tmp_path / "folder", "")
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "missing", tmp_path):
        with pytest.raises(InputError, match=r"\Acheckpoint: expected a readable file, got [^\n]+\Z"):
            load_checkpoint(path)


def test_a_truncated_file_is_refused_wherever_it_ends(tmp_path: Path) -> None:
    path = tmp_path / "c.pt"
    save_checkpoint(path, {"weights": torch.arange(300.0)})
    whole = path.read_bytes()
    for share in (0, 0.001, 0.1, 0.5, 0.9, 0.99, 0.999):
        path.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(InputError, match=r"\Acheckpoint: expected [^\n]+, got [^\n]+\Z"):
            load_checkpoint(path)


class Exploding:
    """A pickle of this would run a command when it is read carelessly."""

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, ("exit 1",)


FOREIGN = {
    "empty": b"",
    "text": b"hello\n",
    "zeros": bytes(1000),
    "pickle of a dict": pickle.dumps({"format": 1}, protocol=2),
    "pickle of a list": pickle.dumps([1], protocol=2),
    "pickle that runs a command": pickle.dumps(Exploding(), protocol=2),
    "end of a pickle": b".",
    "pickle without a value": b"\x80\x02.",
    "pickle of a missing memo": b"\x80\x02h\x05.",
    "opcodes at random": b"\x80\x02}q\x00(X\x01\x00\x00\x00",
    "half a zip": b"PK\x03\x04" + bytes(40),
    "png": b"\x89PNG\r\n\x1a\n" + bytes(30),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_a_foreign_file_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "c.pt").write_bytes(FOREIGN[name])
    with pytest.raises(InputError, match=r"\Acheckpoint: expected [^\n]+, got [^\n]+\Z"):
        load_checkpoint(tmp_path / "c.pt")


@pytest.mark.parametrize("content", [{"weights": 1}, {"format": 0}, [1, 2], torch.ones(3), None])
def test_a_torch_file_that_is_no_checkpoint_is_refused(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "c.pt")
    with pytest.raises(InputError, match=r"\Acheckpoint: expected format 1, got another one in [^\n]+\Z"):
        load_checkpoint(tmp_path / "c.pt")


def test_code_in_a_torch_file_is_not_run(tmp_path: Path) -> None:
    torch.save({"format": 1, "x": Exploding()}, tmp_path / "c.pt")
    with pytest.raises(InputError, match=r"\Acheckpoint: [^\n]+\Z"):
        load_checkpoint(tmp_path / "c.pt")


def test_a_field_that_was_added_later_had_its_default() -> None:
    """An interrupted run goes on after an update."""
    before = {name: value for name, value in Recipe().to_dict().items() if name != "resize"}
    check_identity({"recipe": before}, {"recipe": Recipe().to_dict()})
    with pytest.raises(InputError, match="expected one with resize = 'none', got one with resize = 'crop'"):
        check_identity({"recipe": before}, {"recipe": Recipe(resize="none").to_dict()})


def test_identity_names_the_first_difference() -> None:
    wanted = {"phase": "search", "recipe": {"nodes": 2, "widths": [1, 2]}}
    check_identity({"phase": "search", "recipe": {"nodes": 2, "widths": [1, 2]}}, wanted)
    with pytest.raises(InputError, match=r"\Acheckpoint: expected one with widths = \[1, 2\], got one with [^\n]+\Z"):
        check_identity({"phase": "search", "recipe": {"nodes": 2, "widths": [1, 1]}}, wanted)
    with pytest.raises(InputError, match=r"\Acheckpoint: expected one with recipe = [^\n]+ recipe = None\Z"):
        check_identity({"phase": "search"}, wanted)


def test_an_altered_byte_is_noticed_or_means_nothing(tmp_path: Path) -> None:
    """Some bytes of an archive are padding; no other one may change a value unseen."""
    path, weights = tmp_path / "c.pt", torch.arange(300.0)
    save_checkpoint(path, {"weights": weights, "epoch": 3})
    whole, noticed = path.read_bytes(), 0
    for at in range(0, len(whole), 7):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :])
        try:
            found = load_checkpoint(path)
        except DamagedCheckpointError:
            noticed += 1
        else:
            assert torch.equal(found["weights"], weights) and found["epoch"] == 3, at
    assert noticed > len(whole) // 7 * 0.6
