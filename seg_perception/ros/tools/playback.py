"""The topics of a recording, and its messages with their times, for the player."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from nav_msgs.msg import Odometry
from sensor_msgs.msg import CameraInfo, Image

from seg_perception.errors import GeometryError, RecordingError
from seg_perception.geometry.stamped_transform import stamp_of
from seg_perception.geometry.transforms import Transform
from seg_perception.recordings.message_builder import MessageBuilder
from seg_perception.recordings.readers.bag import Bag
from seg_perception.recordings.readers.bag_topics import COMPRESSED, RAW, choose_image_topic
from seg_perception.recordings.readers.poses import TF, Poses, choose_poses
from seg_perception.recordings.readers.recording import Dropped, Recording, SourceOptions
from seg_perception.ros.messages import image_message, make_ros_message
from seg_perception.ros.optional import optional

IMAGE, CAMERA_INFO, ODOMETRY = "/camera/image_raw", "/camera/camera_info", "/odom"
_BUILD = MessageBuilder(make_ros_message)
_MOUNT = "the camera's extrinsics are the parameter 'mount' of the node"


@dataclass(frozen=True)
class PlaybackMessage:
    """One message to publish.

    Attributes:
        time_ns: time of recording, nanoseconds.
        topic: to publish it on.
        content: a ROS message, or one serialised as CDR.
    """

    time_ns: int
    topic: str
    content: Any


class PlaybackSource(Protocol):
    """A recording to play.

    Attributes:
        topics: topic → message class of all topics to publish.
        latched: those of them that are transient local.
        images: the topics with images, of which a network reads one.
        count: number of messages; None if unknown.
        notes: one sentence for each topic that is skipped or replaced.
    """

    topics: dict[str, Any]
    latched: set[str]
    images: list[str]
    count: int | None
    notes: list[str]

    def messages(self, say: Callable[[str], None]) -> Iterator[PlaybackMessage]:
        """All messages in order; each call starts again at the beginning.

        Args:
            say: called with one sentence for the first skipped message of each topic.
        """


class BagPlayback:
    """Plays a bag as it was recorded, message by message."""

    def __init__(self, bag: Bag, options: SourceOptions) -> None:
        """Find the topics that this ROS installation can publish.

        Raises:
            RecordingError: there is none, or the requested images are not among them.
        """
        self._bag = bag
        self._options = options
        self._reported: set[str] = set()
        self.notes: list[str] = []
        self.topics: dict[str, Any] = {}
        for topic, name in sorted(bag.types.items()):
            found = _message_class(name)
            if found is None:
                self.notes.append(f"{topic}: skipped, because {name} is not installed.")
            elif topic != "/clock":  # the player publishes its own
                self.topics[topic] = found
        if not self.topics:
            raise RecordingError(f"{bag.path}: none of its topics can be published; install their message packages.")
        if self._poses_of_tf():
            self.topics[ODOMETRY] = Odometry
            self.notes.append(f"{TF}: its poses are published as odometry on {ODOMETRY}.")
        self.images = bag.topics_of(RAW, COMPRESSED)
        if len(options.image_topics) > 1:
            raise RecordingError("--image-topic names several topics, and the node reads one; name one.")
        if options.image_topics or options.camera:
            self.images = [choose_image_topic(bag, *options.image_topics or (None,))]
        self._info = ""
        if options.camera:
            self._info = f"{self.images[0].removesuffix('/compressed').rpartition('/')[0]}/camera_info"
            self.topics[self._info] = CameraInfo
            self.notes.append(f"{self._info}: is taken from --camera, for every image.")
        if options.mount:
            self.notes.append(f"--mount is not published: {_MOUNT}.")
        self.latched = bag.latched & set(self.topics)
        self.count: int | None = sum(bag.counts[topic] for topic in self.topics if topic in bag.counts)

    def messages(self, say: Callable[[str], None]) -> Iterator[PlaybackMessage]:
        """All messages; those that cannot be converted are skipped."""
        poses = self._poses_of_tf()
        wanted = [topic for topic in self.topics if topic in self._bag.types and topic != self._info]
        wanted += [TF] if poses else []
        newest = 0
        for topic, time_ns, data in self._bag.messages(wanted):
            if poses and topic == TF:
                for stamp_ns, pose in self._new_poses(poses, data, newest):
                    newest = stamp_ns
                    yield PlaybackMessage(time_ns, ODOMETRY, self._odometry(stamp_ns, pose))
                continue
            try:
                if self._info and topic in self.images:
                    yield PlaybackMessage(time_ns, self._info, self._info_of(topic, data))
                yield PlaybackMessage(time_ns, topic, self._bag.as_cdr(topic, data))
            except (RecordingError, KeyError) as error:
                self._report(topic, error, say)

    def _info_of(self, topic: str, data: bytes) -> CameraInfo:
        """The CameraInfo of --camera at an image's stamp."""
        assert self._options.camera is not None
        header = self._bag.decode(topic, data).header
        return _BUILD.camera_info(_BUILD.header(stamp_of(header), header.frame_id), self._options.camera)

    def _odometry(self, stamp_ns: int, odom_from_base: Transform) -> Odometry:
        header = _BUILD.header(stamp_ns, self._options.odom_frame)
        return _BUILD.odometry(header, self._options.base_frame, odom_from_base)

    def _report(self, topic: str, error: Exception, say: Callable[[str], None]) -> None:
        if topic not in self._reported:
            self._reported.add(topic)
            known = isinstance(error, RecordingError)
            reason = str(error) if known else f"{topic}: {self._bag.types[topic]} of ROS 1 cannot be converted."
            say(f"{reason} The player skips it and all further ones like it.")

    def _poses_of_tf(self) -> Poses | None:
        """The poses on /tf, if /tf cannot be published and there is no odometry; else None."""
        has_odometry = any(found is Odometry for topic, found in self.topics.items() if topic in self._bag.types)
        if TF in self.topics or TF not in self._bag.types or has_odometry:
            return None
        try:
            options = SourceOptions(
                mount=Transform.identity(), odom_frame=self._options.odom_frame, base_frame=self._options.base_frame
            )
            poses = choose_poses(self._bag, options, "")
        except RecordingError:
            return None
        return poses if poses.topic == TF else None

    def _new_poses(self, poses: Poses, data: bytes, newest_ns: int) -> Iterator[tuple[int, Transform]]:
        """The robot's pose at each stamp of a /tf message that is later than the newest so far."""
        with suppress(RecordingError):
            message = self._bag.decode(TF, data)
            poses.add(message)
            stamps = {stamp_of(item.header) for item in message.transforms}
            for stamp_ns in sorted(stamp for stamp in stamps if stamp > newest_ns):
                with suppress(GeometryError):
                    yield stamp_ns, poses.at(stamp_ns)[0]


class FramePlayback:
    """Plays images without a bag: a video or image files."""

    def __init__(self, recording: Recording) -> None:
        """Play the frames of a recording."""
        self._recording = recording
        self.topics = {IMAGE: Image, CAMERA_INFO: CameraInfo}
        self.latched: set[str] = set()
        self.images = [IMAGE]
        self.count = None if recording.expected_items is None else 2 * recording.expected_items
        self.notes = [f"the recording has no poses: the node needs odometry or tf from elsewhere, and {_MOUNT}."]

    def messages(self, say: Callable[[str], None]) -> Iterator[PlaybackMessage]:
        """Image and camera_info of each frame."""
        reported: set[str] = set()
        for frame in self._recording.frames():
            if isinstance(frame, Dropped):
                if frame.reason not in reported:
                    reported.add(frame.reason)
                    say(f"{frame.detail} The player skips it and all further ones like it.")
                continue
            header = _BUILD.header(frame.stamp_ns, frame.frame_id)
            yield PlaybackMessage(frame.stamp_ns, CAMERA_INFO, _BUILD.camera_info(header, frame.camera))
            yield PlaybackMessage(frame.stamp_ns, IMAGE, image_message(header, frame.image, f"{frame.channel_order}8"))


def _message_class(name: str) -> Any:
    package, _, message = name.partition("/msg/")
    module = optional(f"{package}.msg")
    return getattr(module, message, None)
