"""What the loaders share towards the outside: optional packages, and one-line errors for data that is not there."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from litesnn.checks import InputError


def import_package(module: str, package: str) -> Any:
    """Imports ``module`` at the moment of need, so that a machine without it can use everything else.

    Args:
        module: dotted name to import, for example ``"sklearn.datasets"``.
        package: name to install it by, for example ``"scikit-learn"``.

    Returns:
        The module.

    Raises:
        InputError: the package is missing, or does not work here (a shared library is missing, or it was
            built for another torch).
    """
    try:
        return importlib.import_module(module)
    except (ImportError, OSError, RuntimeError) as error:
        raise InputError(
            f"{package}: expected the package to be installed, got {one_line(error)!r}; try: pip install {package}"
        ) from error


def missing_data(name: str, folder: str, root: Path) -> InputError:
    """The error for a public data set that is not under ``root``; the caller raises it."""
    return InputError(
        f"{name}: expected the folder {folder!r} in {str(root)!r}, got no such folder; "
        "fetch it with --download, or name the folder that holds it with --data-root"
    )


def broken_data(name: str, folder: Path, reason: object) -> InputError:
    """The error for a public data set that is there but cannot be used; the caller raises it."""
    return InputError(
        f"{name}: expected intact files in {str(folder)!r}, got {reason}; delete the folder and use --download"
    )


def failed_download(name: str, root: Path, error: Exception) -> InputError:
    """The error for a download or an unpacking that failed; the caller raises it."""
    return InputError(f"{name}: expected to download it to {str(root)!r}, got {one_line(error)!r}")


def one_line(error: Exception) -> str:
    """The text of a foreign error with its line breaks folded; its type where it has no text."""
    return " ".join(str(error).split()) or type(error).__name__
