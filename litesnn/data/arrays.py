"""Own data that lie in memory already: NumPy arrays or tensors become a data set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from litesnn.checks import InputError, check_integer
from litesnn.data.dataset import Dataset, Split
from litesnn.data.split import stratified_split

Pair = tuple[Any, Any]
"""Inputs and labels of a split, see ``from_arrays``."""


def from_arrays(
    train: Pair,
    test: Pair | None = None,
    val: Pair | None = None,
    *,
    name: str = "own",
    classes: Sequence[str] | None = None,
    features: bool = False,
    val_fraction: float = 0.1,
    test_fraction: float = 0.2,
    seed: int = 0,
) -> Dataset:
    """A data set of arrays.

    Args:
        train: ``(x, y)``. Images are ``[n, C, H, W]`` or ``[n, H, W]``, uint8 or floats on the scale 0 to 1, which are rounded to
            8 bits. Labels are ``[n]``: integers from 0 up, or names.
        test: likewise; None holds out ``test_fraction`` of ``train``.
        val: likewise; None holds out ``val_fraction`` of what is left.
        name: what the data are called.
        classes: names in the order of integer labels; by default the numbers, or the names among the labels, sorted.
        features: the inputs are no images but numbers ``[n, 1, H, W]`` of any range; each row H gets a mean and a deviation of
            its own.
        val_fraction: share of every class.
        test_fraction: likewise.
        seed: of the splits.

    Raises:
        InputError: shapes, types or labels do not fit each other, or a split is empty.
    """
    given = {"train": train, "test": test, "val": val}
    names = _names({part: pair for part, pair in given.items() if pair is not None}, classes)
    whole = _split("train", train, names, features)
    if test is None:
        kept, held = stratified_split(whole.labels, test_fraction, seed, "test_fraction")
        tested, whole = whole.take(held), whole.take(kept)
    else:
        tested = _split("test", test, names, features)
    validation = None if val is None else _split("val", val, names, features)
    for part, split in (("test", tested), ("val", validation)):
        if split is not None and split.inputs.shape[1:] != whole.inputs.shape[1:]:
            raise InputError(
                f"{part}: expected inputs of the shape of train, {list(whole.inputs.shape[1:])}, "
                f"got {list(split.inputs.shape[1:])}"
            )
    if validation is None:
        return Dataset.hold_out(f"arrays:{name}", names, whole, tested, val_fraction=val_fraction, seed=seed)
    return Dataset.build(f"arrays:{name}", names, whole, validation, tested)


def _names(pairs: dict[str, Pair], classes: Sequence[str] | None) -> tuple[str, ...]:
    labels = [_checked(part, labels) for part, (_, labels) in pairs.items()]
    if classes is not None:
        names = tuple(map(str, classes))
        if len(set(names)) != len(names) or len(names) < 2:
            raise InputError(f"classes: expected two or more different names, got {', '.join(names) or 'none'}")
        return names
    if all(label.dtype.kind in "US" for label in labels):
        return tuple(sorted({str(name) for label in labels for name in label.tolist()}))
    count = 1 + max((int(label.max()) for label in labels if label.size and label.dtype.kind in "iu"), default=0)
    return tuple(map(str, range(check_integer("classes", count, minimum=2))))


def _split(part: str, pair: Pair, names: tuple[str, ...], features: bool) -> Split:
    inputs, labels = _inputs(part, pair[0], features), _labels(part, pair[1], names)
    if len(inputs) != len(labels):
        raise InputError(f"{part}: expected a label for each of {len(inputs)} inputs, got {len(labels)}")
    return Split(inputs, labels)


def _inputs(part: str, given: Any, features: bool) -> Tensor:
    values = _array(f"{part} inputs", given)
    if values.ndim == 3:
        values = values[:, None]
    if values.ndim != 4 or 0 in values.shape[1:]:
        raise InputError(f"{part} inputs: expected [n, C, H, W] or [n, H, W], got {list(values.shape)}")
    floats = values.dtype.kind == "f"
    if floats and values.size and not np.isfinite(values).all():
        raise InputError(f"{part} inputs: expected finite numbers, got NaN or infinity")
    if features:
        if values.shape[1] != 1 or not floats:
            raise InputError(
                f"{part} inputs: expected features as floats [n, 1, H, W], got {list(values.shape)} of {values.dtype}"
            )
        return torch.from_numpy(values.astype(np.float32))
    if floats and values.size:
        if values.min() < 0 or values.max() > 1:
            raise InputError(
                f"{part} inputs: expected pixels as uint8 or as floats from 0 to 1 (features=True for other numbers), "
                f"got floats from {values.min():g} to {values.max():g}"
            )
        values = np.rint(values * 255).astype(np.uint8)
    if values.dtype != np.uint8:
        raise InputError(f"{part} inputs: expected uint8 or floats, got {values.dtype}")
    return torch.from_numpy(values.copy())


def _labels(part: str, given: Any, names: tuple[str, ...]) -> Tensor:
    labels = _checked(part, given)
    if labels.dtype.kind in "US":
        places = {name: place for place, name in enumerate(names)}
        unknown = sorted({str(name) for name in labels.tolist()} - set(places))
        if unknown:
            raise InputError(f"{part} labels: expected {', '.join(names)}, got {unknown[0]!r}")
        return torch.tensor([places[str(name)] for name in labels.tolist()], dtype=torch.int64)
    if labels.size and not (labels.min() >= 0 and labels.max() < len(names)):
        raise InputError(
            f"{part} labels: expected 0 to {len(names) - 1} for {len(names)} classes, got {labels.min()} to {labels.max()}"
        )
    return torch.from_numpy(labels.astype(np.int64))


def _checked(part: str, given: Any) -> np.ndarray[Any, Any]:
    """Labels ``[n]``, integers or names."""
    labels = _array(f"{part} labels", given)
    if labels.ndim != 1 or labels.dtype.kind not in "iuUS":
        raise InputError(f"{part} labels: expected integers or names [n], got {list(labels.shape)} of {labels.dtype}")
    return labels


def _array(field: str, given: Any) -> np.ndarray[Any, Any]:
    if isinstance(given, Tensor):
        given = given.detach().cpu().numpy()
    try:
        return np.asarray(given)
    except (ValueError, TypeError, RuntimeError) as error:
        raise InputError(f"{field}: expected numbers of one shape, got {' '.join(str(error).split())!r}") from None
