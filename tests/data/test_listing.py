"""What lies in a folder of own files, by names alone: every layout that people have, and one line for what is none."""

from pathlib import Path

import pytest

from litesnn.checks import InputError
from litesnn.data.listing import list_folder


def make(root: Path, *names: str) -> str:
    """Empty files, and folders where a name ends in a slash."""
    for name in names:
        path = root / name
        (path if name.endswith("/") else path.parent).mkdir(parents=True, exist_ok=True)
        if not name.endswith("/"):
            path.touch()
    return str(root)


def found(root: Path, *names: str) -> dict[str, dict[str, list[str]]]:
    listing = list_folder(make(root, *names))
    return {
        part: {label: [str(file.relative_to(root)) for file in files] for label, files in classes.items()}
        for part, classes in listing.parts.items()
    }


def test_train_and_test(tmp_path: Path) -> None:
    parts = found(
        tmp_path, "train/cat/1.JPG", "train/dog/1.png", "test/cat/1.tiff", "test/dog/.hidden", "test/dog/a.gif"
    )
    assert parts == {
        "train": {"cat": ["train/cat/1.JPG"], "dog": ["train/dog/1.png"]},
        "test": {"cat": ["test/cat/1.tiff"], "dog": ["test/dog/a.gif"]},
    }


@pytest.mark.parametrize(
    ("train", "val", "test"),
    [("Train", "valid", "TEST"), ("training", "validation", "testing"), ("train", "dev", "test")],
)
def test_other_names_of_the_parts(tmp_path: Path, train: str, val: str, test: str) -> None:
    parts = found(tmp_path, *(f"{part}/{label}/1.png" for part in (train, val, test) for label in "ab"))
    assert list(parts) == ["train", "val", "test"] and parts["val"]["b"] == [f"{val}/b/1.png"]


def test_class_folders_alone(tmp_path: Path) -> None:
    make(tmp_path, "README.txt", "__MACOSX/x/y", ".git/x")
    assert found(tmp_path, "cat/1.jpg", "dog/2.jpg") == {"train": {"cat": ["cat/1.jpg"], "dog": ["dog/2.jpg"]}}
    assert list_folder(str(tmp_path)).source == "the class folders"


def test_class_folders_beside_a_test_folder(tmp_path: Path) -> None:
    parts = found(tmp_path, "cat/1.jpg", "dog/2.jpg", "test/cat/3.jpg", "test/dog/4.jpg")
    assert list(parts) == ["train", "test"] and list(parts["train"]) == ["cat", "dog"]


def test_a_test_folder_alone_is_all_there_is(tmp_path: Path) -> None:
    parts = found(tmp_path, "test/a/1.png", "test/b/2.png", "val/a/3.png", "val/b/4.png")
    assert parts == {"train": {"a": ["val/a/3.png", "test/a/1.png"], "b": ["val/b/4.png", "test/b/2.png"]}}
    assert list_folder(str(tmp_path)).source == "val/ and test/"


def test_trains_are_a_class(tmp_path: Path) -> None:
    assert list(found(tmp_path, "train/1.jpg", "plane/2.jpg")["train"]) == ["plane", "train"]


def test_pictures_without_classes_beside_the_training_part_are_left_out(tmp_path: Path) -> None:
    make(tmp_path, "train/a/1.png", "train/b/2.png", "test/1.png", "drafts/a/1.png")
    listing = list_folder(str(tmp_path))
    assert list(listing.parts) == ["train"] and listing.unread == ("drafts", "test")


def test_a_class_of_another_part_without_files(tmp_path: Path) -> None:
    make(tmp_path, "cat/1.jpg", "dog/2.jpg", "dog/notes.txt")
    with pytest.raises(InputError, match=r"notes\.txt: expected only \.png .* --skip-damaged leaves it out$"):
        list_folder(str(tmp_path))
    assert list_folder(str(tmp_path), skip_damaged=True).others == (tmp_path / "dog" / "notes.txt",)


@pytest.mark.parametrize(
    ("names", "text"),
    [
        ((), "{}: expected train/ with one folder per class, or the class folders themselves, got nothing"),
        (("1.png", "2.png"), "{}: expected train/ with one folder per class, or .*, got 1.png, 2.png"),
        (("train/1.png", "test/2.png"), "{}: expected train/ with one folder per class, or .*, got test, train"),
        (("a/1.png",), "{}: expected at least 2 class folders, got 'a' alone"),
        (("a/1.png", "b/2.png", "3.png"), "{}/3.png: expected it inside a class folder, got it beside them"),
        (("mine/train/a/1.png", "mine/test/a/1.png"), "{}/mine/test: expected .*; is folder:{}/mine what is meant"),
        (("train/a/1.png", "Train/a/1.png"), "{}: expected one folder for train, got 'Train' and 'train'"),
        (("a/1.png", "b/1.png", "test/a/1.png"), "{}/test: expected the classes of the class folders, got no 'b'"),
        (("a/1.png", "b/1.wav"), "{}/b/1.wav: expected only images or only clips in a data set, got also .*a/1.png'"),
    ],
)
def test_what_is_no_data_set(tmp_path: Path, names: tuple[str, ...], text: str) -> None:
    make(tmp_path, *names)
    with pytest.raises(InputError, match=text.replace("{}", str(tmp_path)).replace("(", "\\(")) as error:
        list_folder(str(tmp_path))
    assert "\n" not in str(error.value)
