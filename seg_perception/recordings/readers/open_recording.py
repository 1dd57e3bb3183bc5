"""Open a recording of any kind."""

from __future__ import annotations

import glob
import itertools
import re
from collections.abc import Iterable
from pathlib import Path

from seg_perception.errors import RecordingError
from seg_perception.recordings.readers.bag_recording import open_bag
from seg_perception.recordings.readers.file_recording import open_images, open_video
from seg_perception.recordings.readers.multi_camera import open_multi_camera
from seg_perception.recordings.readers.recording import Dropped, Recording, SourceOptions
from seg_perception.sensor_data.images.folder import IMAGE_SUFFIXES

__all__ = ["Dropped", "Recording", "SourceOptions", "find_bag", "open_recording", "recording_exists", "recording_name"]

_BAG_SUFFIXES = (".mcap", ".db3", ".bag")
_VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg")
_SUFFIXES = (*_BAG_SUFFIXES, *_VIDEO_SUFFIXES, *IMAGE_SUFFIXES)


def open_recording(source: str, options: SourceOptions | None = None) -> Recording:
    """Open a recording of any kind, and check all that can be checked before the first frame.

    Args:
        source: a rosbag2 folder, an .mcap, .db3 or .bag file, a video, an image, a folder of images, or a glob of
            images (in the order of the numbers in their names).
        options: how to read it; None for the defaults, which suit a bag with one camera.

    Raises:
        RecordingError: it is missing, empty, damaged, of an unknown kind, or lacks something that `options` must give.

    Examples:
        >>> with sp.open_recording(bag) as recording:
        ...     frames = [item for item in recording.frames() if isinstance(item, sp.Frame)]
        >>> frames[0].image.shape
        (360, 480, 3)
    """
    options = options or SourceOptions()
    path = Path(source)
    try:
        if path.is_dir():
            return _open_folder(path, options)
        if not path.exists():
            return _open_glob(source, options)
        return _open_file(path, options)
    except OSError as error:
        raise RecordingError(f"{source}: cannot be read ({error.strerror}); check the file and its rights.") from None


def recording_exists(source: str) -> bool:
    """Whether a recording, or any file a glob matches, exists on this machine."""
    return Path(source).exists() or bool(glob.glob(source, recursive=True))


def recording_name(source: str) -> str:
    """A name for a recording, for output folders and titles.

    It is the name of the file or folder without the suffix of a recording, or of the folder that holds all images of a
    glob.
    """
    path = Path(source)
    if glob.has_magic(source) and not path.exists():
        path = Path(*itertools.takewhile(lambda part: not glob.has_magic(part), path.parts)).resolve()
        return path.name or "images"
    path = path.resolve()
    return (path.stem if path.suffix.lower() in _SUFFIXES else path.name) or "recording"


def find_bag(source: str) -> Path | None:
    """The bag that `open_recording` opens for this source; None if it opens something else, or nothing."""
    path = Path(source)
    if path.is_file():
        return path if path.suffix.lower() in _BAG_SUFFIXES and path.stat().st_size else None
    if not path.is_dir():
        return None
    if (path / "metadata.yaml").exists():
        return path
    storages = [file for file in path.iterdir() if file.suffix.lower() in _BAG_SUFFIXES]
    return storages[0] if len(storages) == 1 else None


def _open_file(path: Path, options: SourceOptions) -> Recording:
    suffix = path.suffix.lower()
    if suffix not in _SUFFIXES:
        raise RecordingError(
            f"{path}: is not a known kind of recording; give a rosbag2 folder, an image folder, or a file that ends in "
            f"{', '.join(_SUFFIXES)}."
        )
    if path.stat().st_size == 0:
        raise RecordingError(f"{path}: is empty; record or copy it again.")
    if suffix in _BAG_SUFFIXES:
        return _open_bag(path, options)
    if suffix in _VIDEO_SUFFIXES:
        return open_video(path, options)
    return open_images(str(path), [path], options)


def _open_bag(path: Path, options: SourceOptions) -> Recording:
    return open_multi_camera(path, options) if len(options.image_topics) > 1 else open_bag(path, options)


def _open_folder(path: Path, options: SourceOptions) -> Recording:
    if (path / "metadata.yaml").exists():
        return _open_bag(path, options)
    storages = sorted(file for file in path.iterdir() if file.suffix.lower() in _BAG_SUFFIXES)
    if len(storages) == 1:
        return _open_file(storages[0], options)
    if storages:
        raise RecordingError(
            f"{path}: has {len(storages)} bag files and no metadata.yaml; "
            f"run 'ros2 bag reindex {path}', or give one file."
        )
    images = _images(path.iterdir())
    if images:
        return open_images(str(path), images, options)
    deeper = sorted(folder for folder in path.iterdir() if folder.is_dir() and _holds_recording(folder))
    if len(deeper) == 1:
        return _open_folder(deeper[0], options)
    fix = f"give {' or '.join(map(str, deeper[:5]))}" if deeper else "check the path"
    raise RecordingError(f"{path}: holds neither a bag nor images; {fix}.")


def _open_glob(source: str, options: SourceOptions) -> Recording:
    if not glob.has_magic(source):
        raise RecordingError(f"{source}: no such file or folder; check the path.")
    images = _images(map(Path, glob.glob(source, recursive=True)))
    if not images:
        raise RecordingError(f"{source}: matches no image; check the pattern, and quote it.")
    return open_images(source, images, options)


def _holds_recording(folder: Path) -> bool:
    return (folder / "metadata.yaml").exists() or bool(_images(folder.iterdir()))


def _images(paths: Iterable[Path]) -> list[Path]:
    files = (path for path in paths if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith("."))
    return sorted((file for file in files if file.is_file()), key=_natural)


def _natural(path: Path) -> list[str | int]:
    """Sort key that puts frame2 before frame10."""
    return [int(part) if part.isdigit() else part for part in re.split(r"([0-9]+)", str(path))]
