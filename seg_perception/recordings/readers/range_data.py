"""Depth images and point clouds of a bag, matched with its camera images in time."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from seg_perception.errors import GeometryError, ImageError, PointCloudError, RecordingError
from seg_perception.geometry.stamped_transform import stamp_of
from seg_perception.recordings.readers.bag import Bag
from seg_perception.recordings.readers.bag_topics import COMPRESSED, RAW
from seg_perception.recordings.readers.poses import Poses
from seg_perception.recordings.readers.recording import SourceOptions
from seg_perception.sensor_data.frame import DepthImage, PointCloud
from seg_perception.sensor_data.images.depth import depth_of
from seg_perception.sensor_data.point_clouds.decode import points_of

CLOUD = "sensor_msgs/msg/PointCloud2"
# Driver names for depth that is aligned with the colour image (RealSense; OpenNI, ZED and Azure Kinect). Any other
# depth image may belong to another camera.
_ALIGNED = ("aligned_depth", "depth_registered")
_COMPRESSED_DEPTH = "/compressedDepth"

_WAIT_NS = 3 * 10**8  # range data of the image's own time may be recorded so much later
_KEPT_NS = 10**9

_Measured = TypeVar("_Measured", DepthImage, PointCloud)


@dataclass(frozen=True)
class RangeTopics:
    """The topics of a bag with depth images and point clouds; None for none."""

    depth: str | None
    points: str | None

    def description(self) -> str:
        """For the report."""
        named = {"depth": self.depth, "points": self.points}
        return ", ".join(f"{name} from {topic}" for name, topic in named.items() if topic) or "none: flat ground"


def choose_range_topics(bag: Bag, options: SourceOptions, image_topic: str = "") -> RangeTopics:
    """The given topics, or the only ones of the bag.

    Args:
        bag: the bag.
        options: the user's choice.
        image_topic: images of one camera of several; its depth must be in their namespace. Empty for a single camera.

    Raises:
        RecordingError: a given topic does not exist.
    """
    depth = [topic for topic in bag.topics_of(RAW, COMPRESSED) if _may_be_depth(bag, topic)]
    clouds = bag.topics_of(CLOUD)
    aligned = [topic for topic in depth if any(name in topic for name in _ALIGNED)]
    if image_topic:
        aligned = [topic for topic in aligned if _namespace(topic) == _namespace(image_topic)]
    return RangeTopics(
        _chosen(bag, options.depth_topic, depth, aligned, "--depth-topic"),
        _chosen(bag, options.points_topic, clouds, clouds, "--points-topic"),
    )


def _namespace(topic: str) -> str:
    return topic.lstrip("/").partition("/")[0]


def _may_be_depth(bag: Bag, topic: str) -> bool:
    return (bag.types[topic] == COMPRESSED) == topic.endswith(_COMPRESSED_DEPTH)


def _chosen(bag: Bag, wanted: str | None, possible: list[str], found: list[str], option: str) -> str | None:
    if wanted is None:
        return found[0] if len(found) == 1 else None
    if wanted not in possible:
        listed = ", ".join(possible) or "none"
        raise RecordingError(f"{bag.path}: holds nothing on {wanted} for {option}; topics of that kind: {listed}.")
    return wanted


@dataclass
class RangeBuffer:
    """Keeps recent range messages, and gives those nearest to an image in time.

    Attributes:
        bag: the bag.
        topics: its topics with range data.
        poses: kept up to date by the reader of the bag.
        problems: how many messages could not be used, by reason.
    """

    bag: Bag
    topics: RangeTopics
    poses: Poses
    problems: Counter[str]
    _waiting: dict[str, deque[tuple[int, Any]]] = field(init=False)

    def __post_init__(self) -> None:
        self._waiting = {topic: deque() for topic in (self.topics.depth, self.topics.points) if topic}

    @property
    def names(self) -> tuple[str, ...]:
        """The topics whose messages `add` takes."""
        return tuple(self._waiting)

    def add(self, topic: str, message: Any) -> None:
        """Take a message of one of `names`, in the order of recording."""
        waiting, stamp_ns = self._waiting[topic], stamp_of(message.header)
        waiting.append((stamp_ns, message))
        while waiting[0][0] < stamp_ns - _KEPT_NS:
            waiting.popleft()

    def is_complete(self, stamp_ns: int, waited_ns: int) -> bool:
        """Whether no later message can be nearer to an image in time.

        Args:
            stamp_ns: of the image.
            waited_ns: time since the image was recorded.
        """
        return waited_ns > _WAIT_NS or all(waiting and waiting[-1][0] >= stamp_ns for waiting in self._waiting.values())

    def at(self, stamp_ns: int) -> tuple[DepthImage | None, PointCloud | None]:
        """The depth image and the points nearest to an image's stamp, however far; None if there are none."""
        return (
            self._nearest(stamp_ns, self.topics.depth, self._depth),
            self._nearest(stamp_ns, self.topics.points, self._points),
        )

    def _nearest(
        self, stamp_ns: int, topic: str | None, read: Callable[[int, Any], _Measured | None]
    ) -> _Measured | None:
        if topic is None or not self._waiting[topic]:
            return None
        measured_ns, message = min(self._waiting[topic], key=lambda entry: abs(entry[0] - stamp_ns))
        try:
            return read(measured_ns, message)
        except (GeometryError, ImageError, PointCloudError) as error:
            kind = "unplaced" if isinstance(error, GeometryError) else "unreadable"
            self.problems[f"{kind} messages on {topic}"] += 1
            return None

    def _depth(self, stamp_ns: int, message: Any) -> DepthImage | None:
        frame, optical_frame = (name.lstrip("/") for name in (message.header.frame_id, self.poses.optical_frame))
        if frame and optical_frame and frame != optical_frame:
            self.problems[f"messages of another frame than the images on {self.topics.depth}"] += 1
            return None
        odom_from_base, base_from_optical = self.poses.at(stamp_ns)
        return DepthImage(stamp_ns, depth_of(message), odom_from_base @ base_from_optical)

    def _points(self, stamp_ns: int, message: Any) -> PointCloud:
        odom_from_sensor = self.poses.sensor_at(message.header.frame_id, stamp_ns)
        return PointCloud(stamp_ns, points_of(message), odom_from_sensor)
