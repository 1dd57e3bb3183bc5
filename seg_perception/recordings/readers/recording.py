"""What every kind of recording has in common: options in, a stream of frames and dropped images out."""

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

DEFAULT_FRAME_ID = "camera_optical_frame"  # of images that do not say
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
        camera: intrinsics; they outrank CameraInfo messages. Needed for everything but bags.
        mount: base_from_optical; it outranks the recorded transforms. Needed for everything but bags.
        image_topics: which images of a bag, of one camera or of several that fill one map; none where the bag has one
            image topic only.
        poses: where a bag's robot poses come from; "auto" takes /tf, else the one Odometry topic, else none.
        odometry_topic: which odometry of a bag; None where the bag has one only.
        odom_frame, base_frame: the fixed frame and the robot's frame (REP-105).
        depth_topic: depth images of the same view; None where they are known by their topic's name.
        points_topic: which point clouds of a bag; None where the bag has one topic only.
        rate_hz: images per second of image files (10 by default) or of a video (by default as the file says).
        wanted_size: (width, height) that the network takes: JPEGs are decoded no larger than needed; None decodes all.
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
        reason: one of a few words, for counting.
        detail: what exactly happened, a sentence.
    """

    stamp_ns: int
    reason: str
    detail: str


@dataclass(eq=False)
class Recording(ABC):
    """An opened recording; a context manager that closes it.

    Attributes:
        files: what it consists of, in order.
        description: what was chosen, for the report: kind, images, camera, mount, poses.
        expected_items: how many items `frames` yields, where that is known beforehand; a video's is an estimate.
        has_poses: whether frames carry the robot's own motion; without, every frame stands by itself.
        problems: what went wrong without costing an image, with how often; grows while frames are read.
        seconds: how long a bag lasts; 0 for everything else.
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
            skip: leave out this many items at the start, without decoding them: those done before an interruption.

        Raises:
            RecordingError: the recording turns out damaged; what came before is good.
        """

    def close(self) -> None:  # noqa: B027 - most kinds keep nothing open
        """Close the files; closing twice does nothing."""

    def __enter__(self) -> Recording:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
