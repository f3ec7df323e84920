"""The 12-class speech task from a tiny tree in the official layout."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import torchaudio.datasets.speechcommands

from litesnn.checks import InputError
from litesnn.data.features import mfcc, read_clip
from litesnn.data.speech import CLASSES, KEYWORDS, _cut_silence, load_speech

COUNTS = {"training": 3, "validation": 1, "testing": 2}  # clips of each keyword


def _write(path: Path, seed: int, seconds: float = 1.0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.random.default_rng(seed).normal(0, 0.1, int(16000 * seconds)), 16000)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Ten keywords and two other words, one of which has clips in the training subset only."""
    folder = tmp_path / "SpeechCommands" / "speech_commands_v0.02"
    lists: dict[str, list[str]] = {subset: [] for subset in COUNTS}
    seed = 0
    for word in (*KEYWORDS, "bed", "zero"):
        for subset, count in COUNTS.items():
            for number in range(count + 2 * (word == "bed") if word != "zero" or subset == "training" else 0):
                seed += 1
                lists[subset].append(f"{word}/{seed:08x}_nohash_{number}.wav")
                _write(folder / lists[subset][-1], seed)
    (folder / "validation_list.txt").write_text("\n".join(lists["validation"]) + "\n")
    (folder / "testing_list.txt").write_text("\n".join(lists["testing"]) + "\n")
    _write(folder / "_background_noise_" / "hum.wav", 999, seconds=1.5)
    _write(folder / "_background_noise_" / "short.wav", 998, seconds=0.5)
    return tmp_path


def _features(root: Path, pattern: str) -> list[torch.Tensor]:
    folder = root / "SpeechCommands" / "speech_commands_v0.02"
    return list(mfcc(torch.stack([read_clip(file) for file in sorted(folder.glob(pattern))])))


def _find(sample: torch.Tensor, among: list[torch.Tensor]) -> int:
    """Which of the features this sample is; -1: none."""
    close = [n for n, other in enumerate(among) if torch.allclose(sample, other, atol=1e-3)]
    assert len(close) <= 1
    return close[0] if close else -1


def test_every_subset_has_twelve_equal_classes(root):
    dataset = load_speech(root, download=False)
    assert dataset.classes == CLASSES == tuple(sorted((*KEYWORDS, "_silence_", "_unknown_")))
    for split, count in ((dataset.train, 3), (dataset.val, 1), (dataset.test, 2)):
        assert split.labels.bincount().tolist() == [count] * 12
        assert split.inputs.shape == (12 * count, 1, 40, 98) and split.inputs.dtype == torch.float32


def test_the_official_lists_decide_the_subsets(root):
    dataset = load_speech(root, download=False)
    folder = root / "SpeechCommands" / "speech_commands_v0.02"
    lists = {name: (folder / f"{name}_list.txt").read_text().split() for name in ("validation", "testing")}
    files = sorted(path.relative_to(folder).as_posix() for path in folder.glob("[!_]*/*.wav"))
    features = _features(root, "[!_]*/*.wav")
    found: list[int] = []
    for split, subset in ((dataset.train, ""), (dataset.val, "validation"), (dataset.test, "testing")):
        for sample, label in zip(split.inputs, split.labels.tolist(), strict=True):
            place = _find(sample, features)
            if CLASSES[label] == "_silence_":
                assert place == -1
                continue
            found.append(place)
            word = files[place].split("/")[0]
            assert CLASSES[label] == (word if word in KEYWORDS else "_unknown_")
            assert [name for name in lists if files[place] in lists[name]] == ([subset] if subset else [])
    assert len(set(found)) == len(found)


def test_silence_is_cut_from_anywhere_at_any_volume():
    noise = torch.arange(1.0, 20001.0)  # a ramp: a cut's first value and slope tell its place and volume
    clips = _cut_silence([noise], 200, torch.Generator().manual_seed(0))
    assert clips.shape == (200, 16000)
    volumes = (clips[:, -1] - clips[:, 0]) / 15999
    starts = clips[:, 0] / volumes - 1
    expected = volumes[:, None] * (starts[:, None] + 1 + torch.arange(16000))
    torch.testing.assert_close(clips, expected, rtol=1e-3, atol=1e-3)
    assert 0 <= volumes.min() < 0.1 and 0.9 < volumes.max() <= 1
    assert -1 < starts.min() < 300 and 3700 < starts.max() < 4001


def test_silence_is_background_noise_at_various_volumes(root):
    silence = load_speech(root, download=False).train
    silence = silence.inputs[silence.labels == CLASSES.index("_silence_")]
    loudness = silence[:, 0, 0].amax(dim=1)  # the first coefficient is the sum of the decibels of all mel bands
    speech = torch.stack(_features(root, "yes/*.wav"))[:, 0, 0].amax()
    assert len(loudness.unique()) == 3
    assert (loudness < speech + 5).all()


def test_the_choice_is_the_same_each_time(root):
    first, again = load_speech(root, download=False), load_speech(root, download=False)
    for part in ("train", "val", "test"):
        torch.testing.assert_close(getattr(first, part).inputs, getattr(again, part).inputs)


def test_progress_counts_clips(root):
    seen = []
    load_speech(root, download=False, progress=lambda *counts: seen.append(counts))
    assert seen == [(33, 66), (44, 66), (66, 66)]  # eleven spoken classes of 3, 1 and 2 clips


def test_missing_data_says_what_where_and_how_to_get_it(tmp_path):
    with pytest.raises(InputError) as error:
        load_speech(tmp_path, download=False)
    text = f"speech_commands: expected the folder 'SpeechCommands/speech_commands_v0.02' in '{tmp_path}', got no such"
    assert str(error.value).startswith(text)
    assert "--download" in str(error.value) and "--data-root" in str(error.value)


def _delete_word(folder: Path) -> None:
    for file in (folder / "stop").iterdir():
        if file.name not in (folder / "testing_list.txt").read_text() + (folder / "validation_list.txt").read_text():
            file.unlink()


@pytest.mark.parametrize(
    ("damage", "text"),
    [
        (lambda f: (f / "testing_list.txt").unlink(), "testing_list.txt"),
        (lambda f: (f / "testing_list.txt").write_text("yes/strange.wav\n"), "expected intact files in"),
        (_delete_word, "got no clip of 'stop' in the training subset"),
        (
            lambda f: [file.unlink() for file in (f / "_background_noise_").iterdir()],
            "no WAV file in '_background_noise_'",
        ),
        (
            lambda f: next((f / "yes").iterdir()).write_bytes(b"x"),
            "expected a readable WAV, FLAC, Ogg or MP3 file, got ",
        ),
    ],
)
def test_damaged_data_is_one_line(root, damage, text):
    damage(root / "SpeechCommands" / "speech_commands_v0.02")
    with pytest.raises(InputError) as error:
        load_speech(root, download=False)
    assert text in str(error.value) and "\n" not in str(error.value)


def test_a_failed_download_is_one_line(tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError("no route\nto host")

    monkeypatch.setattr(torchaudio.datasets.speechcommands, "download_url_to_file", refuse)
    with pytest.raises(InputError, match="^speech_commands: expected to download it to .*, got 'no route to host'$"):
        load_speech(tmp_path, download=True)
