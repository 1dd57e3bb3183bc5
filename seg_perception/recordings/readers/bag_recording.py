"""A bag as a recording: each image with the poses, depth and points at its stamp."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seg_perception.errors import GeometryError, ImageError, RecordingError
from seg_perception.geometry.camera import Camera
from seg_perception.geometry.stamped_transform import stamp_of
from seg_perception.geometry.transforms import Transform
from seg_perception.recordings.readers.bag import Bag
from seg_perception.recordings.readers.bag_topics import (
    COMPRESSED,
    RAW,
    check_size,
    choose_camera,
    choose_image_topic,
    first_image,
)
from seg_perception.recordings.readers.poses import Poses, choose_poses
from seg_perception.recordings.readers.range_data import RangeBuffer, RangeTopics, choose_range_topics
from seg_perception.recordings.readers.recording import (
    DEFAULT_FRAME_ID,
    NO_POSE,
    NO_STAMP,
    NOT_LATER,
    UNREADABLE,
    WRONG_SIZE,
    Dropped,
    Recording,
    SourceOptions,
)
from seg_perception.sensor_data.frame import DepthImage, Frame, PointCloud
from seg_perception.sensor_data.images.compressed import channel_order, decode_compressed, reduction
from seg_perception.sensor_data.images.raw import decode_image

_WAIT_NS = 10**9  # a transform may be recorded so much later than its image
_WAITING_BYTES = 2**27  # most image data that waits for transforms


@dataclass(frozen=True)
class _Image:
    """A recorded image message; `message` is None if it could not be decoded, and `problem` says why."""

    time_ns: int
    stamp_ns: int
    size: int
    message: Any
    problem: str = ""


@dataclass(frozen=True)
class PosedImage:
    """An image with the poses at its stamp and the range data nearest in time.

    Attributes:
        image: the message.
        odom_from_base: pose of the robot.
        base_from_optical: pose of the camera on the robot.
        depth, points: None if the bag has none that is usable.
    """

    image: _Image
    odom_from_base: Transform
    base_from_optical: Transform
    depth: DepthImage | None
    points: PointCloud | None

    @property
    def stamp_ns(self) -> int:
        """Stamp of the image, nanoseconds."""
        return self.image.stamp_ns


def open_bag(path: Path, options: SourceOptions, is_only: bool = True) -> BagRecording:
    """Open a rosbag2 folder, an .mcap or .db3 file of one, or a ROS 1 bag.

    Args:
        path: the bag.
        options: how to read it, with one image topic at most.
        is_only: whether this is the only camera that is read.

    Raises:
        RecordingError: it cannot be opened, or lacks images, their calibration or the camera's extrinsics.
    """
    bag = Bag(path)
    try:
        wanted = options.image_topics[0] if options.image_topics else None
        range_topics = choose_range_topics(bag, options, "" if is_only else wanted or "")
        topic = choose_image_topic(bag, wanted, range_topics.depth)
        message = first_image(bag, topic)
        camera = choose_camera(bag, topic, options.camera)
        check_size(bag, topic, message, camera)
        poses = choose_poses(bag, options, message.header.frame_id)
    except BaseException:
        bag.close()
        raise
    return BagRecording(bag, topic, camera, poses, range_topics, options.wanted_size)


class BagRecording(Recording):
    """Images of one topic of a bag; memory does not grow with its length."""

    def __init__(
        self,
        bag: Bag,
        topic: str,
        camera: Camera,
        poses: Poses,
        range_topics: RangeTopics,
        wanted_size: tuple[int, int] | None,
    ) -> None:
        """Use `open_bag`."""
        super().__init__(
            files=bag.files,
            description={
                "input": str(bag.path),
                "kind": bag.kind,
                "images": f"{topic} ({bag.types[topic]})",
                "camera": f"{camera.width}x{camera.height}, {camera.model}",
                "mount": poses.mount_description,
                "poses": poses.description,
                "ranging": range_topics.description(),
            },
            expected_items=bag.counts[topic],
            has_poses=poses.topic is not None,
        )
        self.problems = poses.problems
        self.seconds = bag.seconds
        self._bag = bag
        self._topic = topic
        self._poses = poses
        self._ranges = RangeBuffer(bag, range_topics, poses, self.problems)
        size = (camera.width, camera.height)
        self._factor = reduction(size, wanted_size) if wanted_size and bag.types[topic] == COMPRESSED else 1
        reduced = camera.resized(size[0] // self._factor, size[1] // self._factor) if self._factor > 1 else camera
        self._cameras = {(each.width, each.height): each for each in (camera, reduced)}

    def frames(self, skip: int = 0) -> Iterator[Frame | Dropped]:  # noqa: D102
        for index, item in enumerate(self.posed_images()):
            if index >= skip:
                yield item if isinstance(item, Dropped) else self.frame_of(item)

    def close(self) -> None:  # noqa: D102
        self._bag.close()

    def posed_images(self) -> Iterator[PosedImage | Dropped]:
        """Each image as soon as its poses and range data are known, or after it has waited long enough."""
        waiting: deque[_Image] = deque()
        last_stamp_ns = 0
        for image, now_ns in self._received():
            if image is not None:
                waiting.append(image)
            while waiting:
                head = waiting[0]
                is_last_chance = (
                    now_ns is None
                    or now_ns - head.time_ns > _WAIT_NS
                    or sum(image.size for image in waiting) > _WAITING_BYTES
                )
                if not is_last_chance and not self._ranges.is_complete(head.stamp_ns, (now_ns or 0) - head.time_ns):
                    break
                item = self._match(head, last_stamp_ns, is_last_chance)
                if item is None:
                    break
                waiting.popleft()
                if isinstance(item, PosedImage):
                    last_stamp_ns = head.stamp_ns
                yield item

    def _received(self) -> Iterator[tuple[_Image | None, int | None]]:
        """Images in the order of recording.

        Yields:
            An image, or None for any other message, and its time of recording; (None, None) at the end.
        """
        topics = (self._topic, self._poses.topic, *self._ranges.names)
        for topic, time_ns, data in self._bag.messages([topic for topic in topics if topic]):
            try:
                message = self._bag.decode(topic, data)
            except RecordingError as error:
                if topic == self._topic:
                    yield _Image(time_ns, time_ns, len(data), None, str(error)), time_ns
                else:
                    self.problems[f"unreadable messages on {topic}"] += 1
                continue
            if topic == self._topic:
                yield _Image(time_ns, stamp_of(message.header), len(data), message), time_ns
            elif topic in self._ranges.names:
                self._ranges.add(topic, message)
                yield None, time_ns
            else:
                self._poses.add(message)
                yield None, time_ns
        yield None, None

    def _match(self, image: _Image, last_stamp_ns: int, is_last_chance: bool) -> PosedImage | Dropped | None:
        """The image with its poses, or why it is dropped; None while it should wait."""
        if image.message is None:
            return Dropped(image.stamp_ns, UNREADABLE, image.problem)
        if image.stamp_ns <= 0:
            return Dropped(image.time_ns, NO_STAMP, f"{self._topic}: header.stamp is 0; check the camera driver.")
        if image.stamp_ns <= last_stamp_ns:
            return Dropped(
                image.stamp_ns, NOT_LATER, f"{self._topic}: stamp {image.stamp_ns} ns follows {last_stamp_ns} ns."
            )
        try:
            return PosedImage(image, *self._poses.at(image.stamp_ns), *self._ranges.at(image.stamp_ns))
        except GeometryError as error:
            return Dropped(image.stamp_ns, NO_POSE, str(error)) if is_last_chance else None

    def frame_of(self, posed_image: PosedImage) -> Frame | Dropped:
        """Decode the image."""
        message, stamp_ns = posed_image.image.message, posed_image.stamp_ns
        try:
            if self._bag.types[self._topic] == RAW:
                image, order = decode_image(
                    message.height,
                    message.width,
                    message.encoding,
                    bool(message.is_bigendian),
                    message.step,
                    message.data,
                )
            else:
                image, order = decode_compressed(message.data, self._factor), channel_order(message.format)
        except ImageError as error:
            return Dropped(stamp_ns, UNREADABLE, f"{self._topic}: {error}")
        camera = self._cameras.get((image.shape[1], image.shape[0]))
        if camera is None:
            return Dropped(
                stamp_ns, WRONG_SIZE, f"{self._topic}: an image of {image.shape[1]}x{image.shape[0]} pixels."
            )
        return Frame(
            stamp_ns=stamp_ns,
            image=image,
            channel_order=order,
            camera=camera,
            odom_from_base=posed_image.odom_from_base,
            base_from_optical=posed_image.base_from_optical,
            frame_id=message.header.frame_id.lstrip("/") or DEFAULT_FRAME_ID,
            depth=posed_image.depth,
            points=posed_image.points,
        )
