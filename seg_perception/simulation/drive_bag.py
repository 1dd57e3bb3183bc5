"""A drive written as a rosbag2, as a robot would have recorded it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from rosbags.interfaces import Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime
from rosbags.rosbag2 import StoragePlugin, Writer, WriterError

from seg_perception.errors import RecordingError
from seg_perception.geometry.transforms import Transform, mount_to_base_from_optical
from seg_perception.recordings.message_builder import MessageBuilder
from seg_perception.recordings.rosbags_types import make_rosbags_message, ros2_types
from seg_perception.simulation.drive import Drive, DriveFrame, Scenario
from seg_perception.simulation.rendering.render import render
from seg_perception.simulation.sensors.lidar import SCANNER, scan

ODOM, BASE, OPTICAL = "odom", "base_link", "camera_optical_frame"
IMAGE, JPEG, CAMERA_INFO = "/camera/image_raw", "/camera/image_raw/compressed", "/camera/camera_info"
TF, TF_STATIC, ODOMETRY = "/tf", "/tf_static", "/odom"
DEPTH, POINTS, LIDAR = "/camera/aligned_depth_to_color/image_raw", "/lidar/points", "lidar"
TRUE_LABELS, TRUE_DEPTH = "/truth/labels", "/truth/depth"

_TYPES = {
    IMAGE: "sensor_msgs/msg/Image",
    JPEG: "sensor_msgs/msg/CompressedImage",
    CAMERA_INFO: "sensor_msgs/msg/CameraInfo",
    TF: "tf2_msgs/msg/TFMessage",
    TF_STATIC: "tf2_msgs/msg/TFMessage",
    ODOMETRY: "nav_msgs/msg/Odometry",
    DEPTH: "sensor_msgs/msg/Image",
    POINTS: "sensor_msgs/msg/PointCloud2",
    TRUE_LABELS: "sensor_msgs/msg/Image",
    TRUE_DEPTH: "sensor_msgs/msg/Image",
}
_BUILD = MessageBuilder(make_rosbags_message)
CameraExtrinsics = tuple[float, float, float, float, float, float]
_STORAGE = {"mcap": StoragePlugin.MCAP, "sqlite3": StoragePlugin.SQLITE3}
_POSE_RATE = 50  # Hz; 100 Hz where the camera is faster than 25 Hz
_JPEG_QUALITY = 92
_DEPTH_REACH = 20.0  # m
_ENDLESS = QosTime(2147483647, 4294967295)
# What tf2 asks of /tf_static: with it `ros2 bag play` delivers the one message to late subscribers, too.
_LATCHED = Qos(
    QosHistory.KEEP_LAST,
    1,
    QosReliability.RELIABLE,
    QosDurability.TRANSIENT_LOCAL,
    _ENDLESS,
    _ENDLESS,
    QosLiveliness.AUTOMATIC,
    _ENDLESS,
    False,
)


@dataclass(frozen=True)
class _Entry:
    topic: str
    stamp_ns: int
    content: object


def write_drive(
    path: Path,
    scenario: Scenario,
    storage: Literal["mcap", "sqlite3"] = "mcap",
    compressed: bool = False,
    ground_truth: bool = False,
    depth: bool = False,
    points: bool = False,
    more_cameras: Mapping[str, CameraExtrinsics] = MappingProxyType({}),
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Render a drive and write it as a rosbag2.

    Topics: the image (rgb8, or JPEG where `compressed`), /camera/camera_info, /tf (odom to base_link, at least 50 Hz,
    from before the first to after the last image), /tf_static (base_link to camera_optical_frame) and /odom.

    Args:
        path: folder of the bag; must not exist yet.
        scenario: the drive.
        storage: "mcap" or "sqlite3".
        compressed: JPEG images on /camera/image_raw/compressed instead of raw ones.
        depth: also depth images (16UC1, mm, 0 for none), as a RealSense aligns them with its colour image.
        points: also /lidar/points, a turn of a LiDAR with each image, and its place on the robot.
        more_cameras: of further cameras with the same lens and shutter, name → x, y, z, roll, pitch, yaw of the body in
            base_link (m, rad): raw images on /NAME/image_raw with /NAME/camera_info, in NAME_optical_frame.
        ground_truth: also /truth/labels (mono8, class index) and /truth/depth (32FC1, m, inf for the sky).
        progress: called with (done, all) after each image.

    Raises:
        RecordingError: the folder exists already or cannot be written.
    """
    drive = Drive(scenario)
    types = ros2_types()
    image_topics = [JPEG if compressed else IMAGE, CAMERA_INFO]
    for wanted, topics in ((ground_truth, (TRUE_LABELS, TRUE_DEPTH)), (depth, (DEPTH,)), (points, (POINTS,))):
        image_topics += topics if wanted else ()
    more = {name: mount_to_base_from_optical(*mount) for name, mount in more_cameras.items()}
    topic_types = {topic: _TYPES[topic] for topic in (TF_STATIC, TF, ODOMETRY, *image_topics)}
    topic_types.update({topic: _TYPES[alike] for name in more for topic, alike in _topics_of(name).items()})
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with Writer(path, version=9, storage_plugin=_STORAGE[storage]) as writer:
            connections = {
                topic: writer.add_connection(
                    topic, kind, typestore=types, offered_qos_profiles=[_LATCHED] if topic == TF_STATIC else []
                )
                for topic, kind in topic_types.items()
            }
            for entry in _in_order(drive, image_topics, more, progress):
                data = types.serialize_cdr(entry.content, topic_types[entry.topic])
                writer.write(connections[entry.topic], entry.stamp_ns, data)
    except WriterError as error:
        raise RecordingError(f"{path}: cannot be written ({error}); give a folder that does not exist yet.") from None
    except OSError as error:
        raise RecordingError(f"{path}: cannot be written ({error}); check the folder and the free space.") from None


def _topics_of(camera: str) -> dict[str, str]:
    """Topics of one of more cameras, each → the first camera's that is like it."""
    return {f"/{camera}/image_raw": IMAGE, f"/{camera}/camera_info": CAMERA_INFO}


def _in_order(
    drive: Drive,
    image_topics: list[str],
    more: Mapping[str, Transform],
    progress: Callable[[int, int], None] | None,
) -> Iterator[_Entry]:
    """All messages in the order of their stamps."""
    stamps = drive.scenario.stamps_ns
    step = 10**9 // (_POSE_RATE if drive.scenario.fps <= 0.5 * _POSE_RATE else 2 * _POSE_RATE)
    pose_stamp = stamps[0] - step
    mounts = [_transform(pose_stamp, BASE, OPTICAL, drive.base_from_optical)]
    mounts += [_transform(pose_stamp, BASE, _optical(name), mount) for name, mount in more.items()]
    if POINTS in image_topics:
        mounts.append(_transform(pose_stamp, BASE, LIDAR, drive.base_from_lidar))
    yield _Entry(TF_STATIC, pose_stamp, _BUILD.transforms(mounts))
    for frame in drive.frames(progress):
        while pose_stamp <= frame.stamp_ns:
            yield from _pose_entries(drive, pose_stamp)
            pose_stamp += step
        yield from _image_entries(drive, frame, image_topics)
        for name, mount in more.items():
            yield from _more_entries(drive, frame, name, mount)
    yield from _pose_entries(drive, max(pose_stamp, stamps[-1] + 1))


def _pose_entries(drive: Drive, stamp_ns: int) -> Iterator[_Entry]:
    pose = drive.odom_from_base(stamp_ns)
    yield _Entry(TF, stamp_ns, _BUILD.transforms([_transform(stamp_ns, ODOM, BASE, pose)]))
    half_step_ns = 5_000_000
    before, after = drive.odom_from_base(stamp_ns - half_step_ns), drive.odom_from_base(stamp_ns + half_step_ns)
    moved = before.inverse() @ after
    seconds = 2e-9 * half_step_ns
    # Over so short a time the motion is a straight line and a small rotation, whose vector is roll, pitch, yaw.
    linear, angular = moved.translation / seconds, np.array(moved.rpy()) / seconds
    odometry = _BUILD.odometry(_BUILD.header(stamp_ns, ODOM), BASE, pose, linear.tolist(), angular.tolist())
    yield _Entry(ODOMETRY, stamp_ns, odometry)


def _image_entries(drive: Drive, frame: DriveFrame, topics: list[str]) -> Iterator[_Entry]:
    header = _BUILD.header(frame.stamp_ns, OPTICAL)
    for topic in topics:
        if topic == CAMERA_INFO:
            content = _BUILD.camera_info(header, drive.scenario.camera)
        elif topic == JPEG:
            _, data = cv2.imencode(
                ".jpg", cv2.cvtColor(frame.view.rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
            )
            content = _BUILD.compressed_image(header, data.ravel(), "rgb8; jpeg compressed bgr8")
        elif topic == IMAGE:
            content = _BUILD.image(header, frame.view.rgb, "rgb8")
        elif topic == TRUE_LABELS:
            content = _BUILD.image(header, frame.view.labels, "mono8")
        elif topic == DEPTH:
            content = _BUILD.image(header, _millimetres(frame.view.depth), "16UC1")
        elif topic == POINTS:
            xyz = scan(frame.world, SCANNER, frame.odom_from_base @ drive.base_from_lidar)
            content = _BUILD.point_cloud(_BUILD.header(frame.stamp_ns, LIDAR), xyz)
        else:
            content = _BUILD.image(header, frame.view.depth, "32FC1")
        yield _Entry(topic, frame.stamp_ns, content)


def _more_entries(drive: Drive, frame: DriveFrame, name: str, mount: Transform) -> Iterator[_Entry]:
    """Image and calibration of one of more cameras, taken with the first one's."""
    camera = drive.scenario.camera
    view = render(frame.world, camera, frame.odom_from_base @ mount, frame=frame.stamp_ns % 2**31)
    header = _BUILD.header(frame.stamp_ns, _optical(name))
    contents = (_BUILD.image(header, view.rgb, "rgb8"), _BUILD.camera_info(header, drive.scenario.camera))
    for topic, content in zip(_topics_of(name), contents, strict=True):
        yield _Entry(topic, frame.stamp_ns, content)


def _optical(camera: str) -> str:
    return f"{camera}_optical_frame"


def _millimetres(depth: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Depth in m as a depth camera gives it: whole mm, 0 beyond its reach."""
    return np.where(depth < _DEPTH_REACH, np.rint(1e3 * np.minimum(depth, _DEPTH_REACH)), 0).astype(np.uint16)


def _transform(stamp_ns: int, parent: str, child: str, parent_from_child: Transform) -> Any:
    return _BUILD.transform(_BUILD.header(stamp_ns, parent), child, parent_from_child)
