"""The interface of all recordings: options in, a stream of frames and dropped images out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Literal

from seg_perception.geometry.camera import Camera
from seg_perception.geometry.transforms import Transform
from seg_perception.sensor_data.frame import Frame

DEFAULT_FRAME_ID = "camera_optical_frame"  # of images without a frame_id
PoseChoice = Literal["auto", "tf", "odometry", "none"]

NO_STAMP = "no stamp"
NOT_LATER = "stamp not after that of the frame before"
NO_POSE = "no pose at its stamp"
UNREADABLE = "image cannot be decoded"
WRONG_SIZE = "image size is not that of the calibration"


@dataclass(frozen=True)
class SourceOptions:
    """How to read a recording.

    Attributes:
        camera: intrinsics; they replace CameraInfo messages. Only bags can do without.
        mount: the camera's extrinsics base_from_optical; they replace recorded transforms. Only bags can do without.
        image_topics: images of a bag, from one camera or from several that share a map; may be empty if the bag has
            one image topic.
        poses: source of a bag's robot poses; "auto" takes /tf, else the only Odometry topic, else none.
        odometry_topic: odometry of a bag; None if the bag has one such topic.
        odom_frame, base_frame: the fixed frame and the robot's frame (REP-105).
        depth_topic: depth images aligned with the camera images; None to recognise them by the name of their topic.
        points_topic: point clouds of a bag; None if the bag has one such topic.
        rate_hz: images per second of image files (default 10) or of a video (default: its own frame rate).
        wanted_size: (width, height) of the network's input: larger JPEGs are decoded at a reduced size; None decodes
            at full size.

    Examples:
        >>> options = sp.SourceOptions(camera=camera, mount=base_from_optical, rate_hz=5.0)  # for a folder of images
    """

    camera: Camera | None = None
    mount: Transform | None = None
    image_topics: tuple[str, ...] = ()
    poses: PoseChoice = "auto"
    odometry_topic: str | None = None
    odom_frame: str = "odom"
    base_frame: str = "base_link"
    depth_topic: str | None = None
    points_topic: str | None = None
    rate_hz: float | None = None
    wanted_size: tuple[int, int] | None = None


@dataclass(frozen=True)
class Dropped:
    """An image that gave no frame.

    Attributes:
        stamp_ns: the image's stamp, or its time of recording where it has none.
        reason: one of a few texts, for counting.
        detail: what happened to this image, a sentence.
    """

    stamp_ns: int
    reason: str
    detail: str


@dataclass(eq=False)
class Recording(ABC):
    """An opened recording; a context manager that closes it.

    Attributes:
        files: its files, in order.
        description: what is read, for the report: kind, images, camera, mount, poses.
        expected_items: how many items `frames` yields; None if unknown, an estimate for a video.
        has_poses: whether frames carry the robot's motion; without it no frame depends on an earlier one.
        problems: problems that dropped no image, with their counts; grows while frames are read.
        seconds: duration of a bag; 0 for all other kinds.
    """

    files: tuple[Path, ...]
    description: dict[str, str]
    expected_items: int | None
    has_poses: bool
    problems: Counter[str] = field(default_factory=Counter, init=False)
    seconds: float = field(default=0.0, init=False)

    @abstractmethod
    def frames(self, skip: int = 0) -> Iterator[Frame | Dropped]:
        """One item per recorded image, in the order of recording; frames' stamps always rise.

        Args:
            skip: skip this many items at the start without decoding them, to resume an interrupted run.

        Raises:
            RecordingError: the recording is damaged; the items before are good.
        """

    def close(self) -> None:  # noqa: B027 - most kinds hold no open file
        """Close the files; closing twice does nothing."""

    def __enter__(self) -> Recording:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
