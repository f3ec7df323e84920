"""Google Speech Commands v0.02 as the usual 12-class task: ten keywords, unknown words and silence."""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from litesnn.data.dataset import Dataset, Split
from litesnn.data.decode import Progress, decode_files
from litesnn.data.features import SAMPLE_RATE, clip_features, fit_second, mfcc, read_audio
from litesnn.data.sources import broken_data, failed_download, import_package, missing_data, one_line

KEYWORDS = ("down", "go", "left", "no", "off", "on", "right", "stop", "up", "yes")
SILENCE, UNKNOWN = "_silence_", "_unknown_"
CLASSES = (SILENCE, UNKNOWN, *KEYWORDS)  # sorted, as the same classes are when they come as folders

_SUBSETS = ("training", "validation", "testing")
_VERSION = "speech_commands_v0.02"
_FOLDER = f"SpeechCommands/{_VERSION}"
_SEED = 20180409  # of the unknown words and the silence: fixed, so that all recipes see one and the same data set


def load_speech(root: Path, download: bool, progress: Progress | None = None) -> Dataset:
    """Reads the clips under ``root`` and computes their features once.

    The official lists decide the subsets: ``validation_list.txt`` is the validation split, ``testing_list.txt`` the
    test split. So ``Recipe.val_fraction`` and ``Recipe.split_seed`` are not used here. In each subset the unknown class
    is a sample of the other words, as large as the mean keyword class, and silence is as many cuts of the background
    noise, each at a random volume (the same noise files serve all subsets).

    Args:
        root: folder that holds ``SpeechCommands/speech_commands_v0.02``.
        download: fetch and unpack the archive (2.4 GB) where that folder is missing.
        progress: called with (clips done, clips in all).

    Returns:
        Data set of float32 [n, 1, 40, 98] with the 12 ``CLASSES``.

    Raises:
        InputError: the data are missing, incomplete or damaged, the download fails, or torchaudio or soundfile is
            not installed.
    """
    folder = root / _FOLDER
    reader = import_package("torchaudio.datasets", "torchaudio").SPEECHCOMMANDS
    if download:
        try:
            reader(root, url=_VERSION, download=True)
        except (OSError, RuntimeError, EOFError, tarfile.TarError, zlib.error) as error:
            raise failed_download("speech_commands", root, error) from error
    elif not folder.is_dir():
        raise missing_data("speech_commands", _FOLDER, root)

    noises = [read_audio(file) for file in sorted((folder / "_background_noise_").glob("*.wav"))]
    if not noises:
        raise broken_data("speech_commands", folder, "no WAV file in '_background_noise_'")
    generator = torch.Generator().manual_seed(_SEED)
    chosen = {subset: _choose(_by_word(reader, root, subset), subset, folder, generator) for subset in _SUBSETS}
    total = sum(len(files) for files, _ in chosen.values())
    splits: list[Split] = []
    before = 0
    for files, labels in chosen.values():
        spoken = decode_files(files, clip_features, progress, before=before, total=total)
        before += len(files)
        silence = mfcc(_cut_silence(noises, labels.count(CLASSES.index(UNKNOWN)), generator))
        labels = labels + [CLASSES.index(SILENCE)] * len(silence)
        splits.append(Split(torch.cat([spoken, silence]), torch.tensor(labels)))
    return Dataset.build("speech_commands", CLASSES, *splits)


def _by_word(reader: Any, root: Path, subset: str) -> dict[str, list[Path]]:
    """The files of a subset by the word they say, in the order of their names."""
    folder = root / _FOLDER
    words: dict[str, list[Path]] = {}
    try:
        source = reader(root, url=_VERSION, subset=subset)
        entries = [source.get_metadata(n) for n in range(len(source))]
    except (OSError, RuntimeError, ValueError) as error:  # a list is missing or holds a line that is no clip
        raise broken_data("speech_commands", folder, repr(one_line(error))) from error
    for path, _, word, *_ in sorted(entries):
        words.setdefault(word, []).append(root / "SpeechCommands" / path)
    return words


def _choose(
    words: dict[str, list[Path]], subset: str, folder: Path, generator: torch.Generator
) -> tuple[list[Path], list[int]]:
    """All keyword clips and the sampled other ones, with their labels."""
    files: list[Path] = []
    labels: list[int] = []
    for word in KEYWORDS:
        if word not in words:
            raise broken_data("speech_commands", folder, f"no clip of {word!r} in the {subset} subset")
        files += words[word]
        labels += [CLASSES.index(word)] * len(words[word])
    others = [file for word in sorted(words) if word not in KEYWORDS for file in words[word]]
    if not others:
        raise broken_data("speech_commands", folder, f"no clip of other words in the {subset} subset")
    count = min(round(len(files) / len(KEYWORDS)), len(others))
    sample = torch.randperm(len(others), generator=generator)[:count].sort().values
    files += [others[index] for index in sample.tolist()]
    return files, labels + [CLASSES.index(UNKNOWN)] * count


def _cut_silence(noises: Sequence[Tensor], count: int, generator: torch.Generator) -> Tensor:
    """``count`` cuts of 1 s from random places of random noises, each times a volume in 0..1: [count, 16000]."""
    clips = torch.empty(count, SAMPLE_RATE)
    for clip in clips:
        noise = noises[int(torch.randint(len(noises), (), generator=generator))]
        start = int(torch.randint(max(1, len(noise) - SAMPLE_RATE + 1), (), generator=generator))
        clip.copy_(fit_second(noise[start:]) * torch.rand((), generator=generator))
    return clips
