"""Videos and image files as a recording: no poses, one calibration, fixed extrinsics."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from seg_perception.errors import ImageError, RecordingError
from seg_perception.geometry.camera import Camera
from seg_perception.geometry.transforms import Transform
from seg_perception.recordings.readers.mp4 import check_mp4
from seg_perception.recordings.readers.recording import (
    DEFAULT_FRAME_ID,
    UNREADABLE,
    WRONG_SIZE,
    Dropped,
    Recording,
    SourceOptions,
)
from seg_perception.sensor_data.frame import Frame
from seg_perception.sensor_data.images.compressed import decode_compressed, reduction
from seg_perception.sensor_data.images.folder import read_image_file

_IMAGE_RATE_HZ = 10.0
_MAX_RATE_HZ = 1000.0  # videos of unknown rate claim more
# A video's number of frames is an estimate; so many may be missing at its end.
_MAX_MISSING_FRAMES = 3


def open_images(source: str, paths: list[Path], options: SourceOptions) -> Recording:
    """Open image files as images at a fixed rate, in the given order.

    Args:
        source: the name the user gave, for messages and the report.
        paths: the files, at least one.
        options: see SourceOptions.

    Raises:
        RecordingError: calibration or extrinsics are missing, no file can be decoded, or the images do not have the
            size of the calibration.
    """
    camera, mount = _camera_and_mount(source, options)
    for path in paths:
        try:
            first = decode_compressed(read_image_file(path))
        except ImageError:
            continue
        _check_size(str(path), first, camera)
        return ImageRecording(source, paths, camera, mount, options)
    raise RecordingError(f"{source}: none of its {len(paths)} images can be decoded; check the files.")


class ImageRecording(Recording):
    """Image files in order."""

    def __init__(
        self, source: str, paths: list[Path], camera: Camera, mount: Transform, options: SourceOptions
    ) -> None:
        """Use `open_images`."""
        self._rate_hz = options.rate_hz or _IMAGE_RATE_HZ
        kind = f"{len(paths)} images at {self._rate_hz:g} Hz"
        super().__init__(tuple(paths), _description(source, kind, camera), len(paths), has_poses=False)
        self._mount = mount
        size = (camera.width, camera.height)
        self._factor = reduction(size, options.wanted_size) if options.wanted_size else 1
        reduced = camera.resized(size[0] // self._factor, size[1] // self._factor) if self._factor > 1 else camera
        self._cameras = {(each.width, each.height): each for each in (camera, reduced)}

    def frames(self, skip: int = 0) -> Iterator[Frame | Dropped]:  # noqa: D102
        for index, path in enumerate(self.files[skip:], skip):
            stamp_ns = _stamp_ns(index, self._rate_hz)
            try:
                image = decode_compressed(read_image_file(path), self._factor)
            except ImageError as error:
                yield Dropped(stamp_ns, UNREADABLE, f"{path}: {error}")
                continue
            camera = self._cameras.get((image.shape[1], image.shape[0]))
            if camera is None:
                yield Dropped(stamp_ns, WRONG_SIZE, f"{path}: an image of {image.shape[1]}x{image.shape[0]} pixels.")
                continue
            yield _frame(stamp_ns, image, camera, self._mount)


def open_video(path: Path, options: SourceOptions) -> Recording:
    """A video file, through OpenCV.

    Raises:
        RecordingError: calibration or extrinsics are missing, or the file cannot be read, is cut short, has no valid
            frame rate, or its images do not have the size of the calibration.
    """
    camera, mount = _camera_and_mount(str(path), options)
    check_mp4(path)
    capture = _capture(path)
    try:
        is_read, first = capture.read()
        if not is_read:
            raise RecordingError(f"{path}: holds no image that OpenCV can decode; convert it to H.264 in an .mp4.")
        _check_size(str(path), np.asarray(first, dtype=np.uint8), camera)
        rate_hz = options.rate_hz or capture.get(cv2.CAP_PROP_FPS)
        if not 0 < rate_hz <= _MAX_RATE_HZ:
            raise RecordingError(f"{path}: its frame rate of {rate_hz:g} Hz cannot be right; give it with --rate.")
        count = capture.get(cv2.CAP_PROP_FRAME_COUNT)
    finally:
        capture.release()
    expected = int(count) if math.isfinite(count) and count > 0 else None
    return VideoRecording(path, camera, mount, rate_hz, expected)


class VideoRecording(Recording):
    """The images of a video file."""

    def __init__(self, path: Path, camera: Camera, mount: Transform, rate_hz: float, expected: int | None) -> None:
        """Use `open_video`."""
        description = _description(str(path), f"video at {rate_hz:g} Hz", camera)
        super().__init__((path,), description, expected, has_poses=False)
        self._camera = camera
        self._mount = mount
        self._rate_hz = rate_hz

    def frames(self, skip: int = 0) -> Iterator[Frame | Dropped]:  # noqa: D102
        capture = _capture(self.files[0])
        index = 0
        try:
            while capture.grab():
                if index >= skip:
                    yield self._decoded(capture, index)
                index += 1
        finally:
            capture.release()
        if self.expected_items is not None and index < self.expected_items - _MAX_MISSING_FRAMES:
            self.problems[f"{self.files[0]}: ended after {index} of {self.expected_items} images"] += 1

    def _decoded(self, capture: cv2.VideoCapture, index: int) -> Frame | Dropped:
        stamp_ns = _stamp_ns(index, self._rate_hz)
        is_read, image = capture.retrieve()
        if not is_read:
            return Dropped(stamp_ns, UNREADABLE, f"{self.files[0]}: image {index} cannot be decoded.")
        return _frame(stamp_ns, np.asarray(image, dtype=np.uint8), self._camera, self._mount)


def _capture(path: Path) -> cv2.VideoCapture:
    # Keep FFmpeg from writing lines of its own: -8 is its AV_LOG_QUIET, which OpenCV only passes on together with
    # debugging.
    os.environ.setdefault("OPENCV_FFMPEG_DEBUG", "1")
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    capture = cv2.VideoCapture(str(path))
    if not capture.isOpened():
        raise RecordingError(f"{path}: cannot be opened as a video; it is damaged, or convert it to H.264 in an .mp4.")
    return capture


def _camera_and_mount(source: str, options: SourceOptions) -> tuple[Camera, Transform]:
    topics = options.image_topics, options.odometry_topic, options.depth_topic, options.points_topic
    if any(topics) or options.poses in ("tf", "odometry"):
        raise RecordingError(f"{source}: has no topics; leave out --poses, --image-topic and all other -topic options.")
    if options.camera is None:
        raise RecordingError(f"{source}: has no calibration; give a ROS calibration file with --camera.")
    if options.mount is None:
        raise RecordingError(f"{source}: has no extrinsics of the camera; give --mount x y z roll pitch yaw.")
    if options.rate_hz is not None and not 0 < options.rate_hz <= _MAX_RATE_HZ:
        raise RecordingError(
            f"--rate {options.rate_hz:g}: is not valid; give images per second, above 0 and up to 1000."
        )
    return options.camera, options.mount


def _check_size(source: str, image: NDArray[np.uint8], camera: Camera) -> None:
    height, width = image.shape[:2]
    if (width, height) != (camera.width, camera.height):
        raise RecordingError(
            f"{source}: is {width}x{height} pixels, but the calibration is for {camera.width}x{camera.height}; "
            "give the calibration of these images with --camera."
        )


def _stamp_ns(index: int, rate_hz: float) -> int:
    """The first image is one period after 0, because ROS reads a stamp of 0 as "not set"."""
    return round((index + 1) * 1e9 / rate_hz)


def _description(source: str, kind: str, camera: Camera) -> dict[str, str]:
    return {
        "input": source,
        "kind": kind,
        "camera": f"{camera.width}x{camera.height}, {camera.model}, as given by --camera",
        "mount": "as given by --mount",
        "poses": "none: the map moves with the robot",
    }


def _frame(stamp_ns: int, image: NDArray[np.uint8], camera: Camera, mount: Transform) -> Frame:
    return Frame(stamp_ns, image, "bgr", camera, Transform.identity(), mount, DEFAULT_FRAME_ID)
