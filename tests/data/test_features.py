"""MFCC features against a computation written out with NumPy and SciPy, and clips against files with known samples."""

import numpy as np
import pytest
import scipy.fft
import scipy.signal
import soundfile
import torch
import torchaudio.functional

from litesnn.checks import InputError
from litesnn.data.features import mfcc, read_audio, read_clip


def _clip(seed: int, volume: float = 0.3) -> np.ndarray:
    """1 s of a rising tone in noise."""
    time = np.arange(16000) / 16000
    noise = np.random.default_rng(seed).normal(size=16000)
    return (volume * (np.sin(2 * np.pi * (200 + 900 * time) * time) + 0.1 * noise)).astype(np.float32)


def _reference(clip: np.ndarray) -> np.ndarray:
    """The coefficients of one clip, [40, 98], step by step."""
    starts = range(0, 16000 - 480 + 1, 160)
    frames = np.stack([clip[start : start + 480] for start in starts]).astype(np.float64)  # [98, 480]
    window = scipy.signal.get_window("hann", 480, fftbins=True)  # fftbins: the periodic window
    power = np.abs(np.fft.rfft(frames * window, axis=1)) ** 2  # [98, 241]
    filters = torchaudio.functional.melscale_fbanks(241, 0.0, 8000.0, 40, 16000).numpy()  # [241, 40]
    decibels = 10 * np.log10(np.maximum(power @ filters, 1e-10))
    decibels = np.maximum(decibels, decibels.max() - 80)
    return scipy.fft.dct(decibels, type=2, norm="ortho", axis=1).T


def test_features_are_those_of_the_written_out_computation():
    clip = _clip(0)
    features = mfcc(torch.from_numpy(clip)[None])
    assert features.shape == (1, 1, 40, 98) and features.dtype == torch.float32
    np.testing.assert_allclose(features[0, 0], _reference(clip), atol=0.02)  # of values up to some hundred


@pytest.mark.filterwarnings("error")
def test_a_clip_does_not_depend_on_its_neighbours():
    clips = torch.from_numpy(np.stack([_clip(0, volume=1e-5), _clip(1, volume=0.9), np.zeros(16000, np.float32)]))
    together = mfcc(clips)
    alone = torch.cat([mfcc(clip[None]) for clip in clips])
    torch.testing.assert_close(together, alone, atol=1e-3, rtol=0)
    assert together[0].std() > 1  # the quiet clip is not flattened to a floor set by the loud one


def test_more_clips_than_fit_a_chunk_keep_their_order(monkeypatch):
    clips = torch.from_numpy(np.stack([_clip(seed) for seed in range(5)]))
    whole = mfcc(clips)
    monkeypatch.setattr("litesnn.data.features.CHUNK", 2)
    torch.testing.assert_close(mfcc(clips), whole, atol=1e-3, rtol=0)


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 44100, 44101, 48000])
def test_another_rate_is_resampled(tmp_path, rate):
    """A tone stays the tone that it is; one beyond half of 16 kHz is gone."""
    time = np.arange(rate) / rate
    soundfile.write(tmp_path / "a.wav", 0.5 * np.sin(2 * np.pi * 1000 * time), rate, subtype="FLOAT")
    clip = read_clip(tmp_path / "a.wav").numpy()
    expected = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(16000) / 16000)
    np.testing.assert_allclose(clip[200:-200], expected[200:-200], atol=0.01)
    assert len(read_audio(tmp_path / "a.wav")) == 16000
    if rate > 40_000:
        soundfile.write(tmp_path / "b.wav", 0.5 * np.sin(2 * np.pi * 12_000 * time), rate, subtype="FLOAT")
        assert np.abs(read_clip(tmp_path / "b.wav").numpy()[200:-200]).max() < 0.01


@pytest.mark.parametrize("name", ["a.ogg", "a.mp3"])
def test_ogg_and_mp3_are_read(tmp_path, name):
    tone = 0.5 * np.sin(2 * np.pi * 500 * np.arange(22_050) / 44_100)  # half a second
    soundfile.write(tmp_path / name, np.stack([tone, tone], 1), 44_100)
    spectrum = np.abs(np.fft.rfft(read_clip(tmp_path / name).numpy()))
    assert abs(int(spectrum.argmax()) - 500) <= 1


def test_what_is_mp3_by_name_alone_is_refused_without_a_word_of_its_decoder(tmp_path, capfd):
    for content in (b"", b"\xff", b"no sound at all" * 100):
        (tmp_path / "bad.mp3").write_bytes(content)
        with pytest.raises(InputError, match="bad.mp3: expected a readable WAV, FLAC, Ogg or MP3 file, got "):
            read_clip(tmp_path / "bad.mp3")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["a.wav", "a.flac"])
@pytest.mark.parametrize("length", [1, 9000, 16000, 20000])
def test_clips_are_cut_or_padded_at_the_end(tmp_path, name, length):
    samples = (np.arange(length) % 2000 - 1000).astype(np.int16)
    soundfile.write(tmp_path / name, samples, 16000, subtype="PCM_16")
    clip = read_clip(tmp_path / name)
    assert clip.shape == (16000,) and clip.dtype == torch.float32
    expected = np.zeros(16000)
    expected[: min(length, 16000)] = samples[:16000] / 32768
    np.testing.assert_allclose(clip, expected)


def test_channels_are_averaged_and_read_audio_keeps_the_length(tmp_path):
    stereo = np.stack([np.full(20000, 0.5), np.full(20000, -0.25)], axis=1)
    soundfile.write(tmp_path / "a.wav", stereo, 16000)
    np.testing.assert_allclose(read_audio(tmp_path / "a.wav"), np.full(20000, 0.125), atol=1e-4)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("rate", "expected a rate of 1000 to 1000000 Hz, got 80"),
        ("empty", "expected at least 1 sample, got an empty clip"),
        ("nan", "expected finite samples, got NaN or infinity"),
        ("garbage", "expected a readable WAV, FLAC, Ogg or MP3 file, got "),
        ("absent", "expected a readable WAV, FLAC, Ogg or MP3 file, got "),
    ],
)
def test_a_bad_clip_is_named(tmp_path, content, text):
    path = tmp_path / "bad.wav"
    if content == "rate":
        soundfile.write(path, np.zeros(100), 80)
    elif content == "empty":
        soundfile.write(path, np.zeros(0), 16000)
    elif content == "nan":
        soundfile.write(path, np.full(100, np.nan, np.float32), 16000, subtype="FLOAT")
    elif content == "garbage":
        path.write_bytes(b"RIFF but no sound at all")
    with pytest.raises(InputError) as error:
        read_clip(path)
    assert str(error.value).startswith(f"{path}: {text}")
    assert "\n" not in str(error.value)
