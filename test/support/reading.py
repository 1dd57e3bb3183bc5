"""Read recordings and write image files, for the tests of the readers."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from support.small_bags import HEIGHT, MATRIX, WIDTH, picture

from seg_perception.errors import RecordingError
from seg_perception.geometry.camera import Camera
from seg_perception.geometry.transforms import mount_to_base_from_optical
from seg_perception.recordings.readers.open_recording import Dropped, SourceOptions, open_recording
from seg_perception.sensor_data.frame import Frame

CAMERA = Camera(WIDTH, HEIGHT, "plumb_bob", np.reshape(MATRIX, (3, 3)), ())
MOUNT = mount_to_base_from_optical(0.2, 0.0, 0.8, 0.0, 0.3, 0.0)
GIVEN = SourceOptions(camera=CAMERA, mount=MOUNT)


def read(path: Path | str, options: SourceOptions | None = None, skip: int = 0) -> list[Frame | Dropped]:
    with open_recording(str(path), options or SourceOptions()) as recording:
        return list(recording.frames(skip))


def refused(path: Path | str, options: SourceOptions | None = None) -> str:
    """The sentence that opening the recording ends in."""
    with pytest.raises(RecordingError) as caught:
        open_recording(str(path), options or SourceOptions())
    message = str(caught.value)
    assert message.endswith(".") and "\n" not in message and len(message) < 700, message
    return message


def reasons(items: list[Frame | Dropped]) -> list[str]:
    return [item.reason if isinstance(item, Dropped) else "frame" for item in items]


def write_images(folder: Path, names: list[str]) -> None:
    folder.mkdir(exist_ok=True)
    for index, name in enumerate(names):
        cv2.imwrite(str(folder / name), picture(index))


def write_video(path: Path, count: int = 12, size: tuple[int, int] = (WIDTH, HEIGHT)) -> Path:
    codec = "MJPG" if path.suffix == ".avi" else "mp4v"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), 25.0, size)
    if not writer.isOpened():
        pytest.skip(f"this OpenCV writes no {path.suffix}")
    for index in range(count):
        writer.write(picture(index, *size))
    writer.release()
    return path
