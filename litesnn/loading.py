"""``litesnn.load``: a network from any file that this program writes."""

from __future__ import annotations

from pathlib import Path

from litesnn.checks import InputError, user_path
from litesnn.device import check_device
from litesnn.export.card import read_provenance
from litesnn.export.file_layout import MAGIC
from litesnn.export.latent import trainable
from litesnn.export.packed import read_packed
from litesnn.model import Model
from litesnn.trained import TrainedNetwork

_IN_A_FOLDER = ("model.safetensors", "model.lsnn")


def load(file: str | Path, *, device: str = "cpu") -> TrainedNetwork:
    """A network that can be asked and trained further.

    Nothing in a file is executed: no pickle is read.

    Args:
        file: ``model.safetensors``, a packed ``.lsnn`` of this version or an earlier one, or a folder with one of them, such
            as a trial's; the former is preferred. What a packed file has lost to be trained on is made anew, so that its
            answers stay as they are, see ``litesnn.export.latent``.
        device: ``cpu``, ``cuda``, ``cuda:N`` or ``auto``.

    Raises:
        InputError: no such file, damaged, or no network; or a damaged ``result.json`` beside it, where accuracies are read.
    """
    path, chosen = user_path("model", file), check_device(device)
    if path.is_dir():
        path = _in_folder(path)
    if path.suffix == ".lsnn" or _starts_packed(path):
        packed = read_packed(path)
        return TrainedNetwork(trainable(packed, chosen), read_provenance(path), packed)
    return TrainedNetwork(Model.load(path, chosen), read_provenance(path))


def _in_folder(folder: Path) -> Path:
    for name in _IN_A_FOLDER:
        if (folder / name).is_file():
            return folder / name
    raise InputError(f"model: expected {' or '.join(_IN_A_FOLDER)} in the folder, got neither in {folder}")


def _starts_packed(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False  # whoever reads it says why
