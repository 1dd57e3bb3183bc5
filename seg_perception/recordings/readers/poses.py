"""Poses of the robot and extrinsics of its camera at an image's stamp, from the transforms and odometry of a bag."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from seg_perception.errors import GeometryError, RecordingError
from seg_perception.geometry.stamped_transform import looks_upwards, odometry_transform, stamped_transforms
from seg_perception.geometry.transform_buffer import TransformBuffer
from seg_perception.geometry.transforms import Transform
from seg_perception.recordings.readers.bag import Bag
from seg_perception.recordings.readers.recording import SourceOptions

TF, TF_STATIC = "/tf", "/tf_static"
_ODOMETRY_TYPE = "nav_msgs/msg/Odometry"
_KEPT_NS = 10 * 10**9  # far more than an image may be recorded late, and little memory
_PROBED_NS = 5 * 10**9  # at the start; needed transforms repeat, so they are among these


@dataclass
class Poses:
    """Robot and camera poses of a bag, fed with its messages in the order of recording.

    Attributes:
        options: how to read the bag.
        buffer: transforms so far.
        optical_frame: header.frame_id of the images.
        topic: the topic whose messages `add` takes; None without poses.
        description: source of the poses, for the report.
        mount_description: source of the camera's extrinsics, for the report.
        problems: how many transforms were refused.
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
        """Take a message of `topic`; invalid transforms are skipped and counted."""
        if self.topic == TF:
            transforms = stamped_transforms(message.transforms)
        else:
            transforms = [odometry_transform(message, self.options.odom_frame, self.options.base_frame)]
        for each in transforms:
            try:
                self.buffer.add(each.parent, each.child, each.stamp_ns, each.transform())
            except GeometryError as error:
                first = f"refused transforms from '{each.child}' to '{each.parent}', the first because {error}"
                self.problems[self._problem_keys.setdefault(f"{each.parent} {each.child}", first)] += 1

    def at(self, stamp_ns: int) -> tuple[Transform, Transform]:
        """odom_from_base and base_from_optical.

        Raises:
            GeometryError: unknown at this stamp, or not known yet.
        """
        odom, base = self.options.odom_frame, self.options.base_frame
        odom_from_base = self.buffer.lookup(odom, base, stamp_ns) if self.topic else Transform.identity()
        if self.options.mount is not None:
            return odom_from_base, self.options.mount
        return odom_from_base, self.buffer.lookup(base, self.optical_frame, stamp_ns)

    def sensor_at(self, frame: str, stamp_ns: int) -> Transform:
        """odom_from_sensor of a sensor other than the camera.

        Raises:
            GeometryError: unknown at this stamp, or not known at all.
        """
        odom_from_base, _ = self.at(stamp_ns)
        return odom_from_base @ self.buffer.lookup(self.options.base_frame, frame, stamp_ns)


def choose_poses(bag: Bag, options: SourceOptions, optical_frame: str) -> Poses:
    """Choose the source of a bag's poses, and check that it exists.

    All fixed transforms of the bag are read at once, because /tf_static is latched and may be recorded late.

    Args:
        bag: the bag.
        options: see SourceOptions.
        optical_frame: header.frame_id of the images.

    Raises:
        RecordingError: the bag lacks the chosen poses or the extrinsics of the camera, or the choice is ambiguous.
    """
    buffer = TransformBuffer(keep_ns=_KEPT_NS)
    known = TransformBuffer()  # every transform as if it were fixed: shows which frames are connected
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
                f"{bag.path}: no transforms lead from '{odom}' to '{base}' (frames: {_names(known.frames())}); "
                "name the right frames with --odom-frame and --base-frame, or use no poses with --poses none."
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
            f"{bag.path}: {topic} holds the pose of '{child}', and no fixed transforms lead from it to '{base}'; "
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
            f"{bag.path}: no transforms lead from '{base}' to the camera ('{optical_frame}', the images' frame_id; "
            f"frames: {_names(known.frames())}); give its extrinsics with --mount x y z roll pitch yaw."
        ) from None
    if looks_upwards(base_from_optical):
        raise RecordingError(
            f"{bag.path}: its transforms make the camera ('{optical_frame}', the images' frame_id) look at the sky: a "
            "body frame, not an optical frame (z forward); give its extrinsics with --mount x y z roll pitch yaw."
        )
    return f"transforms, '{base}' to '{optical_frame}'"


def _messages(bag: Bag, topic: str, span_ns: int | None = None) -> Iterator[Any]:
    """Decoded messages of one topic within its first `span_ns`; broken ones are skipped."""
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
    for each in stamped_transforms(message.transforms):
        # Whoever needs an invalid transform gets an error: it is missing.
        with suppress(GeometryError):
            buffer.add_static(each.parent, each.child, each.transform())


def _connected(known: TransformBuffer, target: str, source: str) -> bool:
    try:
        known.lookup(target, source, 0)
    except GeometryError:
        return False
    return True


def _names(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"
