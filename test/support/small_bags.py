"""Write small bags of every kind with the rosbags library."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from rosbags.rosbag1 import Writer as Rosbag1Writer
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin
from rosbags.rosbag2 import Writer as Rosbag2Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

SECOND = 10**9
START = 1_700_000_000 * SECOND
WIDTH, HEIGHT = 64, 48
MATRIX = (50.0, 0.0, 31.5, 0.0, 50.0, 23.5, 0.0, 0.0, 1.0)
KINDS = [
    "mcap",
    "mcap-file",
    "mcap-zstd",
    "db3",
    "db3-file",
    "db3-message-zstd",
    "db3-file-zstd",
    "bag",
    "bag-bz2",
    "bag-lz4",
]
OPTICAL_RPY = (-math.pi / 2, 0.0, -math.pi / 2)  # of a camera that faces forward


def picture(index: int, width: int = WIDTH, height: int = HEIGHT) -> NDArray[np.uint8]:
    small = np.random.default_rng(index).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)


@dataclass
class SmallBag:
    """Collects messages and writes them, in order of their time of recording, as any kind of bag."""

    ros1: bool = False
    items: list[tuple[str, str, int, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.types = get_typestore(Stores.ROS1_NOETIC if self.ros1 else Stores.ROS2_HUMBLE)
        if self.ros1:
            for name in ("tf2_msgs/msg/TFMessage", "tf/msg/tfMessage"):
                self.types.register(get_types_from_msg("geometry_msgs/TransformStamped[] transforms", name))

    def make(self, message_type: str, /, **fields: Any) -> Any:
        return self.types.types[message_type](**fields)

    def header(self, stamp_ns: int, frame_id: str) -> Any:
        stamp = self.make("builtin_interfaces/msg/Time", sec=stamp_ns // SECOND, nanosec=stamp_ns % SECOND)
        extra = {"seq": 0} if self.ros1 else {}
        return self.make("std_msgs/msg/Header", stamp=stamp, frame_id=frame_id, **extra)

    def add(self, topic: str, message_type: str, time_ns: int, message: Any) -> None:
        self.items.append((topic, message_type, time_ns, message))

    def image(
        self,
        index: int,
        stamp_ns: int,
        *,
        topic: str = "/camera/image_raw",
        time_ns: int | None = None,
        frame_id: str = "camera_optical",
        **changes: Any,
    ) -> None:
        values = {
            "height": HEIGHT,
            "width": WIDTH,
            "encoding": "bgr8",
            "is_bigendian": 0,
            "step": WIDTH * 3,
            "data": picture(index).reshape(-1),
        }
        message = self.make("sensor_msgs/msg/Image", header=self.header(stamp_ns, frame_id), **{**values, **changes})
        self.add(topic, "sensor_msgs/msg/Image", stamp_ns if time_ns is None else time_ns, message)

    def compressed(self, stamp_ns: int, data: bytes, image_format: str = "bgr8; jpeg compressed bgr8") -> None:
        name = "sensor_msgs/msg/CompressedImage"
        header = self.header(stamp_ns, "camera_optical")
        message = self.make(name, header=header, format=image_format, data=np.frombuffer(data, dtype=np.uint8))
        self.add("/camera/image_raw/compressed", name, stamp_ns, message)

    def camera_info(
        self,
        *,
        topic: str = "/camera/camera_info",
        width: int = WIDTH,
        height: int = HEIGHT,
        k: Sequence[float] = MATRIX,
    ) -> None:
        roi = self.make("sensor_msgs/msg/RegionOfInterest", x_offset=0, y_offset=0, height=0, width=0, do_rectify=False)
        p = np.hstack([np.reshape(k, (3, 3)) * [[0.9], [0.9], [1]], np.zeros((3, 1))])
        matrices = {
            "d": np.array([0.1, -0.05, 0.0, 0.0, 0.0]),
            "k": np.array(k, dtype=np.float64),
            "r": np.eye(3).ravel(),
            "p": p.ravel(),
        }
        if self.ros1:
            matrices = {key.upper(): value for key, value in matrices.items()}
        message = self.make(
            "sensor_msgs/msg/CameraInfo",
            header=self.header(START, "camera_optical"),
            height=height,
            width=width,
            distortion_model="plumb_bob",
            binning_x=0,
            binning_y=0,
            roi=roi,
            **matrices,
        )
        self.add(topic, "sensor_msgs/msg/CameraInfo", START, message)

    def transform(
        self,
        parent: str,
        child: str,
        stamp_ns: int,
        xyz: Sequence[float],
        rpy: Sequence[float] = (0, 0, 0),
        *,
        topic: str = "/tf",
        time_ns: int | None = None,
        message_type: str = "tf2_msgs/msg/TFMessage",
    ) -> None:
        transform = self.make(
            "geometry_msgs/msg/Transform",
            translation=self.make("geometry_msgs/msg/Vector3", x=float(xyz[0]), y=float(xyz[1]), z=float(xyz[2])),
            rotation=self.quaternion(rpy),
        )
        header = self.header(stamp_ns, parent)
        stamped = self.make(
            "geometry_msgs/msg/TransformStamped", header=header, child_frame_id=child, transform=transform
        )
        message = self.make(message_type, transforms=[stamped])
        self.add(topic, message_type, stamp_ns if time_ns is None else time_ns, message)

    def odometry(self, stamp_ns: int, x: float, yaw: float, *, topic: str = "/odom", child: str = "base_link") -> None:
        covariance = np.zeros(36)
        pose = self.make(
            "geometry_msgs/msg/Pose",
            position=self.make("geometry_msgs/msg/Point", x=x, y=0.0, z=0.0),
            orientation=self.quaternion((0, 0, yaw)),
        )
        zero = self.make("geometry_msgs/msg/Vector3", x=0.0, y=0.0, z=0.0)
        twist = self.make("geometry_msgs/msg/Twist", linear=zero, angular=zero)
        message = self.make(
            "nav_msgs/msg/Odometry",
            header=self.header(stamp_ns, "odom"),
            child_frame_id=child,
            pose=self.make("geometry_msgs/msg/PoseWithCovariance", pose=pose, covariance=covariance),
            twist=self.make("geometry_msgs/msg/TwistWithCovariance", twist=twist, covariance=covariance),
        )
        self.add(topic, "nav_msgs/msg/Odometry", stamp_ns, message)

    def quaternion(self, rpy: Sequence[float]) -> Any:
        """About the fixed axes x, y, z: the product of the three half-angle quaternions, written out."""
        (sr, cr), (sp, cp), (sy, cy) = ((math.sin(a / 2), math.cos(a / 2)) for a in rpy)
        return self.make(
            "geometry_msgs/msg/Quaternion",
            x=sr * cp * cy - cr * sp * sy,
            y=cr * sp * cy + sr * cp * sy,
            z=cr * cp * sy - sr * sp * cy,
            w=cr * cp * cy + sr * sp * sy,
        )

    def write(self, folder: Path, kind: str = "mcap") -> Path:
        """Write the messages; returns the path to open."""
        path = folder / "recording"
        if kind.startswith("bag"):
            path = path.with_suffix(".bag")
            writer = Rosbag1Writer(path)
            if kind != "bag":
                writer.set_compression(Rosbag1Writer.CompressionFormat[kind[4:].upper()])
        else:
            plugin = StoragePlugin.MCAP if kind.startswith("mcap") else StoragePlugin.SQLITE3
            writer = Rosbag2Writer(path, version=9, storage_plugin=plugin)
            if kind.endswith("zstd"):
                name = kind.split("-")[-2].upper()
                mode = CompressionMode.STORAGE if name == "MCAP" else CompressionMode[name]
                writer.set_compression(mode, CompressionFormat.ZSTD)
        serialize = self.types.serialize_ros1 if self.ros1 else self.types.serialize_cdr
        connections: dict[str, Any] = {}
        with writer:
            for topic, message_type, time_ns, message in sorted(self.items, key=lambda item: item[2]):
                if topic not in connections:
                    connections[topic] = writer.add_connection(topic, message_type, typestore=self.types)
                is_raw = isinstance(message, bytes)
                writer.write(connections[topic], time_ns, message if is_raw else serialize(message, message_type))
        return next(path.glob("*.*3" if "db3" in kind else "*.mcap")) if kind.endswith("-file") else path


def drive(kind: str = "mcap", count: int = 8) -> SmallBag:
    """A robot that drives at 2 m/s and turns at 0.1 rad/s past `count` images at 10 Hz; transforms at 20 Hz.

    The camera is 0.5 m ahead of and 1.2 m above base_link and faces forward.
    """
    bag = SmallBag(ros1=kind.startswith("bag"))
    bag.transform("base_link", "camera_optical", START, (0.5, 0, 1.2), OPTICAL_RPY, topic="/tf_static")
    bag.camera_info()
    for tick in range(count * 2 + 2):
        seconds = tick * 0.05
        stamp_ns = START + round(seconds * SECOND)
        bag.transform("odom", "base_link", stamp_ns, (2 * seconds, 0, 0), (0, 0, 0.1 * seconds))
    for index in range(count):
        bag.image(index, image_stamp(index))
    return bag


def image_stamp(index: int) -> int:
    """Between two transforms."""
    return START + index * SECOND // 10 + SECOND // 50
