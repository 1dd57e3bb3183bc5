"""Finds the files that come with the package: models, cost matrices, launch files."""

from __future__ import annotations

from pathlib import Path

from seg_perception.errors import SegPerceptionError

_NAME = "seg_perception"


def share_dir() -> Path:
    """The folder that holds models/, config/ and launch/ for the code that is running.

    The search starts at this file, so that the folder always belongs to this code. In a checkout (or an editable
    install, or colcon's symlink install) it is the parent folder of the package; after `pip install` or
    `colcon build` the share/seg_perception of the prefix that the package was installed into.

    Returns:
        The absolute folder.

    Raises:
        SegPerceptionError: the package was copied without its data files.
    """
    package = Path(__file__).resolve().parents[1]
    if (package.parent / "resource" / _NAME).is_file():
        return package.parent
    for prefix in package.parents:
        share = prefix / "share" / _NAME
        if (share / "package.xml").is_file():
            return share
    raise SegPerceptionError(
        f"{package}: the package's data files (share/{_NAME}) are in none of the folders above it; "
        "install the package with pip or colcon instead of copying it."
    )


def find(name: str) -> Path:
    """The absolute path of a file or folder that comes with the package.

    Args:
        name: its path inside the repository, such as "models/urban.onnx".

    Raises:
        SegPerceptionError: it does not exist.
    """
    path = share_dir() / name
    if not path.exists():
        raise SegPerceptionError(f"{path}: no such file comes with the package; check the name, or install it again.")
    return path
