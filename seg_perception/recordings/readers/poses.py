"""Where the robot and its camera were at an image's stamp, from what a bag holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from seg_perception.errors import GeometryError, RecordingError
from seg_perception.geometry.stamped_transform import looks_at_the_sky, odometry_link, transform_links
from seg_perception.geometry.transforms import Transform, TransformBuffer
from seg_perception.recordings.readers.bag import Bag
from seg_perception.recordings.readers.recording import SourceOptions

TF, TF_STATIC = "/tf", "/tf_static"
_ODOMETRY_TYPE = "nav_msgs/msg/Odometry"
_KEPT_NS = 10 * 10**9  # far more than an image may be recorded late, and nothing in memory
_PROBED_NS = 5 * 10**9  # transforms that a bag needs come at once and again and again


@dataclass
class Poses:
    """Robot and camera poses of a bag, fed with its messages in the order of recording.

    Attributes:
        topic: the topic to feed, None where there are no poses.
        description: where poses come from, for the report.
        mount_description: where the camera's mount comes from, for the report.
        problems: refused transforms, counted.
    """

    options: SourceOptions
    buffer: TransformBuffer
    optical_frame: str
    topic: str | None
    description: str
    mount_description: str
    problems: Counter[str] = field(default_factory=Counter)
    _problem_keys: dict[str, str] = field(default_factory=dict)

    def add(self, message: Any) -> None:
        """Take a message of `topic`; a transform that makes no sense is counted and left out."""
        names = self.options.odom_frame, self.options.base_frame
        for link in transform_links(message.transforms) if self.topic == TF else [odometry_link(message, *names)]:
            try:
                self.buffer.add(link.parent, link.child, link.stamp_ns, link.transform())
            except GeometryError as error:
                first = f"refused transforms from '{link.child}' to '{link.parent}', the first because {error}"
                self.problems[self._problem_keys.setdefault(f"{link.parent} {link.child}", first)] += 1

    def at(self, stamp_ns: int) -> tuple[Transform, Transform]:
        """odom_from_base and base_from_optical.

        Raises:
            GeometryError: not known at this stamp, or not yet.
        """
        odom, base = self.options.odom_frame, self.options.base_frame
        odom_from_base = self.buffer.lookup(odom, base, stamp_ns) if self.topic else Transform.identity()
        if self.options.mount is not None:
            return odom_from_base, self.options.mount
        return odom_from_base, self.buffer.lookup(base, self.optical_frame, stamp_ns)

    def sensor_at(self, frame: str, stamp_ns: int) -> Transform:
        """odom_from_sensor of another sensor than the camera.

        Raises:
            GeometryError: not known at this stamp, or not at all.
        """
        odom_from_base, _ = self.at(stamp_ns)
        return odom_from_base @ self.buffer.lookup(self.options.base_frame, frame, stamp_ns)


def choose_poses(bag: Bag, options: SourceOptions, optical_frame: str) -> Poses:
    """Decide where a bag's poses come from, and check that they are there.

    All fixed transforms of the bag are taken at once: /tf_static is latched, and may be recorded late.

    Args:
        bag: the bag.
        options: see SourceOptions.
        optical_frame: header.frame_id of the images.

    Raises:
        RecordingError: the bag lacks what was asked for, or the mount of the camera, or is ambiguous.
    """
    buffer = TransformBuffer(keep_ns=_KEPT_NS)
    known = TransformBuffer()  # every link as if it were fixed: only tells what is connected with what
    for message in _messages(bag, TF_STATIC):
        _add_fixed(buffer, message)
        _add_fixed(known, message)
    wanted = [(options.odom_frame, options.base_frame)]
    if options.mount is None:
        wanted.append((options.base_frame, optical_frame))
    for message in _messages(bag, TF, _PROBED_NS):
        if all(_connected(known, *pair) for pair in wanted):
            break
        _add_fixed(known, message)
    topic, description = _choose_topic(bag, options, known, buffer)
    mount_description = _check_mount(bag, options, known if topic == TF else buffer, optical_frame)
    return Poses(options, buffer, optical_frame, topic, description, mount_description)


def _choose_topic(
    bag: Bag, options: SourceOptions, known: TransformBuffer, fixed: TransformBuffer
) -> tuple[str | None, str]:
    odom, base = options.odom_frame, options.base_frame
    odometry_topics = bag.topics_of(_ODOMETRY_TYPE)
    choice = options.poses
    if choice == "auto" and options.odometry_topic:
        choice = "odometry"
    elif choice == "auto" and _connected(known, odom, base):
        choice = "tf"
    elif choice == "auto" and odometry_topics:
        choice = "odometry"
    elif choice == "auto":
        choice = "tf" if TF in bag.types else "none"
    if choice == "none":
        return None, "none: the map moves with the robot"
    if choice == "tf":
        if not _connected(known, odom, base):
            raise RecordingError(
                f"{bag.path}: no transforms link '{odom}' to '{base}' (frames: {_names(known.frames())}); "
                "name the right ones with --odom-frame and --base-frame, or go without poses with --poses none."
            )
        return TF, f"/tf, '{odom}' to '{base}'"
    topic = options.odometry_topic or (odometry_topics[0] if len(odometry_topics) == 1 else None)
    if topic is None:
        raise RecordingError(
            f"{bag.path}: has {len(odometry_topics)} topics with odometry ({_names(odometry_topics)}); "
            "choose one with --odometry-topic, or other --poses."
        )
    if topic not in odometry_topics:
        raise RecordingError(
            f"{bag.path}: has no odometry on {topic} (odometry topics: {_names(odometry_topics)}); "
            "choose another with --odometry-topic."
        )
    first = next(_messages(bag, topic), None)
    child = first.child_frame_id.lstrip("/") if first else ""
    if child and child != base and not _connected(fixed, child, base):
        raise RecordingError(
            f"{bag.path}: {topic} tells the pose of '{child}', and no fixed transforms link it to '{base}'; "
            f"give --base-frame {child}."
        )
    return topic, f"{topic}, '{odom}' to '{child or base}'"


def _check_mount(bag: Bag, options: SourceOptions, known: TransformBuffer, optical_frame: str) -> str:
    base = options.base_frame
    if options.mount is not None:
        return "as given by --mount"
    try:
        base_from_optical = known.lookup(base, optical_frame, 0)
    except GeometryError:
        raise RecordingError(
            f"{bag.path}: no transforms tell where the camera ('{optical_frame}', the images' frame_id) sits on "
            f"'{base}' (frames: {_names(known.frames())}); give --mount x y z roll pitch yaw."
        ) from None
    if looks_at_the_sky(base_from_optical):
        raise RecordingError(
            f"{bag.path}: by its transforms the camera ('{optical_frame}', the images' frame_id) looks at the sky, so "
            "this is no optical frame (z forward) but a body frame; give --mount x y z roll pitch yaw."
        )
    return f"transforms, '{base}' to '{optical_frame}'"


def _messages(bag: Bag, topic: str, span_ns: int | None = None) -> Iterator[Any]:
    """Decoded messages of one topic, those of its first `span_ns` only; broken ones are left out."""
    start_ns: int | None = None
    for _, time_ns, data in bag.messages([topic]):
        start_ns = time_ns if start_ns is None else start_ns
        if span_ns is not None and time_ns - start_ns > span_ns:
            return
        try:
            yield bag.decode(topic, data)
        except RecordingError:
            continue


def _add_fixed(buffer: TransformBuffer, message: Any) -> None:
    for link in transform_links(message.transforms):
        # Whoever needs a transform that makes no sense is told that it is missing.
        with suppress(GeometryError):
            buffer.add_static(link.parent, link.child, link.transform())


def _connected(known: TransformBuffer, target: str, source: str) -> bool:
    try:
        known.lookup(target, source, 0)
    except GeometryError:
        return False
    return True


def _names(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"
