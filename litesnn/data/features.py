"""From a sound file to the MFCC features the speech networks read: 40 coefficients in 98 frames of 1 s."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from litesnn.checks import UnreadableError
from litesnn.data.sources import import_package, one_line

SAMPLE_RATE = 16_000  # Hz, so a clip of 1 s has 16,000 samples
WINDOW = 480  # samples, 30 ms
HOP = 160  # samples, 10 ms
COEFFICIENTS = 40
FRAMES = 1 + (SAMPLE_RATE - WINDOW) // HOP  # 98: only windows that lie wholly inside the clip
FEATURE_SHAPE = (1, COEFFICIENTS, FRAMES)
LOWEST_RATE, HIGHEST_RATE = 1_000, 1_000_000  # Hz; a damaged header may say anything
CHUNK = 256  # clips transformed at once; their spectrograms take some 50 MB


def mfcc(waveforms: Tensor) -> Tensor:
    """Mel-frequency cepstral coefficients.

    Power spectrum of Hann windows, 40 triangular mel filters, decibels (at most 80 below the clip's loudest value),
    orthonormal discrete cosine transform.

    Args:
        waveforms: float32 [n, 16000] in -1..1, 1 s at 16 kHz each.

    Returns:
        float32 [n, 1, 40, 98]; a clip's features do not depend on the clips beside it.

    Raises:
        InputError: torchaudio is not installed.
    """
    assert waveforms.dim() == 2 and waveforms.shape[1] == SAMPLE_RATE
    transform = import_package("torchaudio.transforms", "torchaudio").MFCC(
        sample_rate=SAMPLE_RATE,
        n_mfcc=COEFFICIENTS,
        melkwargs={
            "n_fft": WINDOW,
            "win_length": WINDOW,
            "hop_length": HOP,
            "n_mels": COEFFICIENTS,
            "center": False,
        },
    )
    features = torch.empty(len(waveforms), *FEATURE_SHAPE)
    for start in range(0, len(waveforms), CHUNK):
        part = slice(start, start + CHUNK)
        # [n, 1, 16000], not [n, 16000]: torchaudio takes the loudest value over the axis before the last two, and
        # without an axis of its own for each clip a loud one would raise the floor of all the others.
        features[part] = transform(waveforms[part, None])
    return features


def clip_features(files: Sequence[Path]) -> Tensor:
    """Reads clips and returns their features, float32 [n, 1, 40, 98]; errors as of ``read_clip``."""
    return mfcc(torch.stack([read_clip(file) for file in files]))


def read_clip(path: Path | str) -> Tensor:
    """Reads the first second of a sound file.

    Args:
        path: WAV, FLAC, Ogg or MP3 file of any rate, length and number of channels; see ``read_audio``.

    Returns:
        float32 [16000]; a shorter clip is followed by zeros.

    Raises:
        UnreadableError: the file cannot be read, has no samples or one that is not finite.
    """
    return fit_second(read_audio(path, SAMPLE_RATE))


def fit_second(waveform: Tensor) -> Tensor:
    """Cuts float32 [n] to 1 s, or appends zeros: float32 [16000]."""
    clip = torch.zeros(SAMPLE_RATE)
    clip[: len(waveform)] = waveform[:SAMPLE_RATE]
    return clip


def read_audio(path: Path | str, samples: int = -1) -> Tensor:
    """Reads a sound file of any length.

    Args:
        path: WAV, FLAC, Ogg or MP3 file; several channels are averaged, another rate than 16 kHz is resampled.
        samples: how many of 16 kHz to give at most; -1: all of them.

    Returns:
        float32 [n], at 16 kHz and in -1..1 but for what resampling overshoots.

    Raises:
        UnreadableError: as for ``read_clip``.
    """
    soundfile: Any = import_package("soundfile", "soundfile")
    try:
        _check_mp3(Path(path))
        with soundfile.SoundFile(path) as file:
            rate = file.samplerate
            if not LOWEST_RATE <= rate <= HIGHEST_RATE:
                raise UnreadableError(f"{path}: expected a rate of {LOWEST_RATE} to {HIGHEST_RATE} Hz, got {rate}")
            count = samples if samples < 0 else math.ceil((samples + _MARGIN) * rate / SAMPLE_RATE)
            channels = torch.from_numpy(file.read(count, dtype="float32", always_2d=True))  # [n, channels]
    except UnreadableError:
        raise
    except (OSError, RuntimeError, ValueError, TypeError) as error:
        raise UnreadableError(
            f"{path}: expected a readable WAV, FLAC, Ogg or MP3 file, got {one_line(error)!r}"
        ) from error
    if len(channels) == 0:
        raise UnreadableError(f"{path}: expected at least 1 sample, got an empty clip")
    if not torch.isfinite(channels).all():
        raise UnreadableError(f"{path}: expected finite samples, got NaN or infinity")
    waveform = channels.mean(dim=1)
    if rate != SAMPLE_RATE:
        waveform = _resampled(waveform, rate)
    return waveform if samples < 0 else waveform[:samples]


def _check_mp3(path: Path) -> None:
    """Refuses what is MP3 by name alone: its decoder would write remarks of its own to the error stream."""
    if path.suffix.lower() == ".mp3":
        with path.open("rb") as file:
            start = file.read(3)
        if start != b"ID3" and (len(start) < 2 or start[0] != 0xFF or start[1] < 0xE0):
            raise ValueError("no MP3 header")


_MARGIN = 800  # samples read beyond the end, which the resampling filter looks at


def _resampled(waveform: Tensor, rate: int) -> Tensor:
    """float32 [n] of ``rate`` Hz to 16 kHz by a polyphase low-pass filter."""
    common = math.gcd(rate, SAMPLE_RATE)
    resample = import_package("scipy.signal", "scipy").resample_poly
    values = resample(waveform.to(torch.float64).numpy(), SAMPLE_RATE // common, rate // common)
    return torch.from_numpy(values).to(torch.float32)
