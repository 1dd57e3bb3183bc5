"""What there is to play in a recording: its topics, and its messages with their times."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from geometry_msgs.msg import Point, Pose, Quaternion
from nav_msgs.msg import Odometry
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from seg_perception.errors import GeometryError, RecordingError
from seg_perception.geometry.camera import Camera
from seg_perception.geometry.stamped_transform import stamp_of
from seg_perception.geometry.transforms import Transform
from seg_perception.recordings.readers.bag import Bag
from seg_perception.recordings.readers.bag_topics import COMPRESSED, RAW, choose_image_topic
from seg_perception.recordings.readers.poses import TF, Poses, choose_poses
from seg_perception.recordings.readers.recording import Dropped, Recording, SourceOptions
from seg_perception.ros.messages import image_message, time_of
from seg_perception.ros.optional import optional

IMAGE, CAMERA_INFO, ODOMETRY = "/camera/image_raw", "/camera/camera_info", "/odom"
_MOUNT = "the camera's mount is a parameter of the node"


@dataclass(frozen=True)
class Played:
    """One message to publish.

    Attributes:
        time_ns: when it was recorded, nanoseconds.
        topic: where to.
        message: a ROS message, or one serialised as CDR.
    """

    time_ns: int
    topic: str
    message: Any


class Track(Protocol):
    """A recording to play.

    Attributes:
        topics: topic → message class, of all that will be published.
        latched: the topics among them that late subscribers get, too.
        images: the topics with images, of which a network reads one.
        count: number of messages, as far as known.
        notes: what is left out or stands in for something else, a sentence each.
    """

    topics: dict[str, Any]
    latched: set[str]
    images: list[str]
    count: int | None
    notes: list[str]

    def messages(self, say: Callable[[str], None]) -> Iterator[Played]:
        """All messages in order; may be asked for again, from the start.

        Args:
            say: told which messages are left out on the way, a sentence for the first of each topic.
        """


class BagTrack:
    """A bag as it was recorded, message for message."""

    def __init__(self, bag: Bag, options: SourceOptions) -> None:
        """Look at what this ROS installation can publish of it.

        Raises:
            RecordingError: none of its topics, or not the images that were asked for.
        """
        self._bag = bag
        self._options = options
        self._told: set[str] = set()
        self.notes: list[str] = []
        self.topics: dict[str, Any] = {}
        for topic, name in sorted(bag.types.items()):
            found = _message_class(name)
            if found is None:
                self.notes.append(f"{topic}: left out, because {name} is not installed here.")
            elif topic != "/clock":  # the player's own
                self.topics[topic] = found
        if not self.topics:
            raise RecordingError(f"{bag.path}: none of its topics can be published; install their message packages.")
        self._poses = self._stand_in()
        if self._poses:
            self.topics[ODOMETRY] = Odometry
            self.notes.append(f"{TF}: its poses are published as odometry on {ODOMETRY}.")
        self.images = bag.topics_of(RAW, COMPRESSED)
        if len(options.image_topics) > 1:
            raise RecordingError("--image-topic names several topics, and a player's network reads one; name one.")
        if options.image_topics or options.camera:
            self.images = [choose_image_topic(bag, *options.image_topics or (None,))]
        self._info = ""
        if options.camera:
            self._info = f"{self.images[0].removesuffix('/compressed').rpartition('/')[0]}/camera_info"
            self.topics[self._info] = CameraInfo
            self.notes.append(f"{self._info}: is what --camera says, with every image.")
        if options.mount:
            self.notes.append(f"--mount is not published: {_MOUNT}.")
        self.latched = bag.latched & set(self.topics)
        self.count: int | None = sum(bag.counts[topic] for topic in self.topics if topic in bag.counts)

    def messages(self, say: Callable[[str], None]) -> Iterator[Played]:
        """All messages; those that cannot be converted are left out."""
        poses = self._stand_in()
        wanted = [topic for topic in self.topics if topic in self._bag.types and topic != self._info]
        wanted += [TF] if poses else []
        newest = 0
        for topic, time_ns, data in self._bag.messages(wanted):
            if poses and topic == TF:
                for stamp_ns, pose in self._new_poses(poses, data, newest):
                    newest = stamp_ns
                    yield Played(time_ns, ODOMETRY, _odometry(stamp_ns, pose, self._options))
                continue
            try:
                if self._info and topic in self.images:
                    yield Played(time_ns, self._info, self._info_of(topic, data))
                yield Played(time_ns, topic, self._bag.as_cdr(topic, data))
            except (RecordingError, KeyError) as error:
                self._tell(topic, error, say)

    def _info_of(self, topic: str, data: bytes) -> CameraInfo:
        """The given camera at an image's stamp."""
        assert self._options.camera is not None
        header = self._bag.decode(topic, data).header
        stamp = time_of(stamp_of(header))
        return _camera_info(Header(stamp=stamp, frame_id=header.frame_id), self._options.camera)

    def _tell(self, topic: str, error: Exception, say: Callable[[str], None]) -> None:
        if topic not in self._told:
            self._told.add(topic)
            known = isinstance(error, RecordingError)
            reason = str(error) if known else f"{topic}: {self._bag.types[topic]} of ROS 1 cannot be converted."
            say(f"{reason} It is left out, and all that are like it.")

    def _stand_in(self) -> Poses | None:
        """The poses on /tf, where that cannot be published and there is no odometry."""
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


class FrameTrack:
    """Images that came without a bag: a video, files."""

    def __init__(self, recording: Recording) -> None:
        """Publish what `open_recording` reads."""
        self._recording = recording
        self.topics = {IMAGE: Image, CAMERA_INFO: CameraInfo}
        self.latched: set[str] = set()
        self.images = [IMAGE]
        self.count = None if recording.expected_items is None else 2 * recording.expected_items
        self.notes = [f"no poses are recorded here: the node needs odometry or tf from elsewhere, and {_MOUNT}."]

    def messages(self, say: Callable[[str], None]) -> Iterator[Played]:
        """Image and camera_info of each frame."""
        told: set[str] = set()
        for frame in self._recording.frames():
            if isinstance(frame, Dropped):
                if frame.reason not in told:
                    told.add(frame.reason)
                    say(f"{frame.detail} It is left out, and all that are like it.")
                continue
            header = Header(stamp=time_of(frame.stamp_ns), frame_id=frame.frame_id)
            yield Played(frame.stamp_ns, CAMERA_INFO, _camera_info(header, frame.camera))
            yield Played(frame.stamp_ns, IMAGE, image_message(header, frame.image, f"{frame.channel_order}8"))


def _message_class(name: str) -> Any:
    package, _, message = name.partition("/msg/")
    module = optional(f"{package}.msg")
    return getattr(module, message, None)


def _odometry(stamp_ns: int, odom_from_base: Transform, options: SourceOptions) -> Odometry:
    x, y, z = odom_from_base.translation.tolist()
    qx, qy, qz, qw = odom_from_base.quaternion().tolist()
    message = Odometry(
        header=Header(stamp=time_of(stamp_ns), frame_id=options.odom_frame), child_frame_id=options.base_frame
    )
    message.pose.pose = Pose(position=Point(x=x, y=y, z=z), orientation=Quaternion(x=qx, y=qy, z=qz, w=qw))
    return message


def _camera_info(header: Header, camera: Camera) -> CameraInfo:
    k = camera.matrix.reshape(-1).tolist()
    return CameraInfo(
        header=header,
        width=camera.width,
        height=camera.height,
        distortion_model=camera.model,
        d=list(camera.distortion),
        k=k,
        r=[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
        p=[*k[0:3], 0.0, *k[3:6], 0.0, *k[6:9], 0.0],
    )
