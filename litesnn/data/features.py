"""From a sound file to the MFCC features the speech networks read: 40 coefficients in 98 frames of 1 s."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from litesnn.checks import InputError, fail
from litesnn.data.sources import import_package, one_line

SAMPLE_RATE = 16_000  # Hz, so a clip of 1 s has 16,000 samples
WINDOW = 480  # samples, 30 ms
HOP = 160  # samples, 10 ms
COEFFICIENTS = 40
FRAMES = 1 + (SAMPLE_RATE - WINDOW) // HOP  # 98: only windows that lie wholly inside the clip
FEATURE_SHAPE = (1, COEFFICIENTS, FRAMES)
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
    """Reads the first second of a WAV or FLAC file.

    Args:
        path: file of 16 kHz; several channels are averaged.

    Returns:
        float32 [16000]; a shorter clip is followed by zeros.

    Raises:
        InputError: the file cannot be read, has another rate, no samples or one that is not finite.
    """
    return fit_second(read_audio(path, SAMPLE_RATE))


def fit_second(waveform: Tensor) -> Tensor:
    """Cuts float32 [n] to 1 s, or appends zeros: float32 [16000]."""
    clip = torch.zeros(SAMPLE_RATE)
    clip[: len(waveform)] = waveform[:SAMPLE_RATE]
    return clip


def read_audio(path: Path | str, samples: int = -1) -> Tensor:
    """Reads a WAV or FLAC file of any length.

    Args:
        path: file of 16 kHz; several channels are averaged.
        samples: how many to read at most; -1: all of them.

    Returns:
        float32 [n] in -1..1.

    Raises:
        InputError: as for ``read_clip``.
    """
    soundfile: Any = import_package("soundfile", "soundfile")
    try:
        with soundfile.SoundFile(path) as file:
            rate = file.samplerate
            channels = torch.from_numpy(file.read(samples, dtype="float32", always_2d=True))  # [n, channels]
    except (OSError, RuntimeError, ValueError, TypeError) as error:
        raise InputError(f"{path}: expected a readable WAV or FLAC file, got {one_line(error)!r}") from error
    if rate != SAMPLE_RATE:
        raise fail(str(path), f"a sample rate of {SAMPLE_RATE} Hz", rate)
    if len(channels) == 0:
        raise InputError(f"{path}: expected at least 1 sample, got an empty clip")
    if not torch.isfinite(channels).all():
        raise InputError(f"{path}: expected finite samples, got NaN or infinity")
    return channels.mean(dim=1)
