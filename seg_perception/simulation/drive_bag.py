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
from seg_perception.recordings.result_bag.messages import ros2_types
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
Mount = tuple[float, float, float, float, float, float]
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
    truth: bool = False,
    depth: bool = False,
    points: bool = False,
    more_cameras: Mapping[str, Mount] = MappingProxyType({}),
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
        truth: also /truth/labels (mono8, class index) and /truth/depth (32FC1, m, inf for the sky).
        progress: called with (done, all) after each image.

    Raises:
        RecordingError: the folder exists already or cannot be written.
    """
    drive = Drive(scenario)
    types = ros2_types()
    image_topics = [JPEG if compressed else IMAGE, CAMERA_INFO]
    for wanted, topics in ((truth, (TRUE_LABELS, TRUE_DEPTH)), (depth, (DEPTH,)), (points, (POINTS,))):
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
    yield _Entry(TF_STATIC, pose_stamp, _make("tf2_msgs/msg/TFMessage", transforms=mounts))
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
    yield _Entry(TF, stamp_ns, _make("tf2_msgs/msg/TFMessage", transforms=[_transform(stamp_ns, ODOM, BASE, pose)]))
    half_step_ns = 5_000_000
    before, after = drive.odom_from_base(stamp_ns - half_step_ns), drive.odom_from_base(stamp_ns + half_step_ns)
    moved = before.inverse() @ after
    seconds = 2e-9 * half_step_ns
    # Over so short a time the motion is a straight line and a small rotation, whose vector is roll, pitch, yaw.
    twist = _make(
        "geometry_msgs/msg/Twist",
        linear=_vector(moved.translation / seconds),
        angular=_vector(np.array(moved.rpy()) / seconds),
    )
    odometry = _make(
        _TYPES[ODOMETRY],
        header=_header(stamp_ns, ODOM),
        child_frame_id=BASE,
        pose=_make(
            "geometry_msgs/msg/PoseWithCovariance",
            pose=_make(
                "geometry_msgs/msg/Pose",
                position=_make("geometry_msgs/msg/Point", **_xyz(pose.translation)),
                orientation=_quaternion(pose),
            ),
            covariance=np.zeros(36),
        ),
        twist=_make("geometry_msgs/msg/TwistWithCovariance", twist=twist, covariance=np.zeros(36)),
    )
    yield _Entry(ODOMETRY, stamp_ns, odometry)


def _image_entries(drive: Drive, frame: DriveFrame, topics: list[str]) -> Iterator[_Entry]:
    header = _header(frame.stamp_ns, OPTICAL)
    for topic in topics:
        if topic == CAMERA_INFO:
            content = _camera_info(header, drive.scenario)
        elif topic == JPEG:
            _, data = cv2.imencode(
                ".jpg", cv2.cvtColor(frame.view.rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
            )
            content = _make(_TYPES[JPEG], header=header, format="rgb8; jpeg compressed bgr8", data=data.ravel())
        elif topic == IMAGE:
            content = _image(header, frame.view.rgb, "rgb8")
        elif topic == TRUE_LABELS:
            content = _image(header, frame.view.labels, "mono8")
        elif topic == DEPTH:
            content = _image(header, _millimetres(frame.view.depth), "16UC1")
        elif topic == POINTS:
            xyz = scan(frame.world, SCANNER, frame.odom_from_base @ drive.base_from_lidar)
            content = _cloud(_header(frame.stamp_ns, LIDAR), xyz)
        else:
            content = _image(header, frame.view.depth, "32FC1")
        yield _Entry(topic, frame.stamp_ns, content)


def _more_entries(drive: Drive, frame: DriveFrame, name: str, mount: Transform) -> Iterator[_Entry]:
    """Image and calibration of one of more cameras, taken with the first one's."""
    camera = drive.scenario.camera
    view = render(frame.world, camera, frame.odom_from_base @ mount, frame=frame.stamp_ns % 2**31)
    header = _header(frame.stamp_ns, _optical(name))
    contents = (_image(header, view.rgb, "rgb8"), _camera_info(header, drive.scenario))
    for topic, content in zip(_topics_of(name), contents, strict=True):
        yield _Entry(topic, frame.stamp_ns, content)


def _optical(camera: str) -> str:
    return f"{camera}_optical_frame"


def _make(message_type: str, /, **fields: Any) -> object:
    return ros2_types().types[message_type](**fields)


def _header(stamp_ns: int, frame_id: str) -> object:
    stamp = _make("builtin_interfaces/msg/Time", sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9)
    return _make("std_msgs/msg/Header", stamp=stamp, frame_id=frame_id)


def _xyz(vector: NDArray[np.float64]) -> dict[str, float]:
    return dict(zip("xyz", vector.tolist(), strict=True))


def _vector(vector: NDArray[np.float64]) -> object:
    return _make("geometry_msgs/msg/Vector3", **_xyz(vector))


def _quaternion(pose: Transform) -> object:
    return _make("geometry_msgs/msg/Quaternion", **dict(zip("xyzw", pose.quaternion().tolist(), strict=True)))


def _transform(stamp_ns: int, parent: str, child: str, parent_from_child: Transform) -> object:
    return _make(
        "geometry_msgs/msg/TransformStamped",
        header=_header(stamp_ns, parent),
        child_frame_id=child,
        transform=_make(
            "geometry_msgs/msg/Transform",
            translation=_vector(parent_from_child.translation),
            rotation=_quaternion(parent_from_child),
        ),
    )


def _image(header: object, pixels: NDArray[Any], encoding: str) -> object:
    flat = np.ascontiguousarray(pixels).view(np.uint8).reshape(-1)
    height, width = pixels.shape[:2]
    return _make(
        _TYPES[IMAGE],
        header=header,
        height=height,
        width=width,
        encoding=encoding,
        is_bigendian=0,
        step=flat.size // height,
        data=flat,
    )


def _millimetres(depth: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Depth in m as a depth camera gives it: whole mm, 0 beyond its reach."""
    return np.where(depth < _DEPTH_REACH, np.rint(1e3 * np.minimum(depth, _DEPTH_REACH)), 0).astype(np.uint16)


def _cloud(header: object, xyz: NDArray[np.float32]) -> object:
    """Points [N, 3] as most drivers lay them out: x, y, z and 4 bytes to spare."""
    padded = np.zeros((len(xyz), 4), np.float32)
    padded[:, :3] = xyz
    fields = [
        _make("sensor_msgs/msg/PointField", name=name, offset=4 * index, datatype=7, count=1)
        for index, name in enumerate("xyz")
    ]
    return _make(
        _TYPES[POINTS],
        header=header,
        height=1,
        width=len(xyz),
        fields=fields,
        is_bigendian=False,
        point_step=16,
        row_step=16 * len(xyz),
        data=padded.view(np.uint8).reshape(-1),
        is_dense=True,
    )


def _camera_info(header: object, scenario: Scenario) -> object:
    camera = scenario.camera
    roi = _make("sensor_msgs/msg/RegionOfInterest", x_offset=0, y_offset=0, height=0, width=0, do_rectify=False)
    return _make(
        _TYPES[CAMERA_INFO],
        header=header,
        height=camera.height,
        width=camera.width,
        distortion_model=camera.model,
        d=np.array(camera.distortion, float),
        k=camera.matrix.reshape(-1),
        r=np.eye(3).reshape(-1),
        p=np.hstack([camera.matrix, np.zeros((3, 1))]).reshape(-1),
        binning_x=0,
        binning_y=0,
        roi=roi,
    )
