"""ROS messages from plain values; the same code builds those of rosbags and those of rclpy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from seg_perception.geometry.camera import Camera
from seg_perception.geometry.transforms import Transform

_FLOAT32 = 7  # sensor_msgs/PointField.FLOAT32
_ZERO = (0.0, 0.0, 0.0)


class MessageFactory(Protocol):
    """Makes a message of a type such as "std_msgs/msg/Header" from all its fields; arrays are numpy arrays."""

    def __call__(self, message_type: str, /, **fields: Any) -> Any:
        """The message."""


@dataclass(frozen=True)
class MessageBuilder:
    """Builds the messages that recordings, results and playback consist of.

    Attributes:
        make: of the library whose messages are wanted: `make_rosbags_message`, or `make_ros_message` with a ROS
            installation.
    """

    make: MessageFactory

    def time(self, stamp_ns: int) -> Any:
        """builtin_interfaces/Time of a stamp in nanoseconds."""
        return self.make("builtin_interfaces/msg/Time", sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9)

    def header(self, stamp_ns: int, frame_id: str) -> Any:
        """std_msgs/Header at a stamp in nanoseconds."""
        return self.make("std_msgs/msg/Header", stamp=self.time(stamp_ns), frame_id=frame_id)

    def image(self, header: Any, pixels: NDArray[Any], encoding: str) -> Any:
        """sensor_msgs/Image.

        Args:
            header: of the message.
            pixels: [H, W] or [H, W, channels] of the encoding's type, in this machine's byte order.
            encoding: one of sensor_msgs/image_encodings.hpp.
        """
        height, width = pixels.shape[:2]
        return self.make(
            "sensor_msgs/msg/Image",
            header=header,
            height=height,
            width=width,
            encoding=encoding,
            is_bigendian=int(not np.little_endian),
            step=pixels[0].nbytes,
            data=np.ascontiguousarray(pixels).reshape(-1).view(np.uint8),
        )

    def compressed_image(self, header: Any, data: bytes | NDArray[np.uint8], image_format: str) -> Any:
        """sensor_msgs/CompressedImage of an encoded image."""
        return self.make(
            "sensor_msgs/msg/CompressedImage",
            header=header,
            format=image_format,
            data=np.frombuffer(data, dtype=np.uint8),
        )

    def camera_info(self, header: Any, camera: Camera) -> Any:
        """sensor_msgs/CameraInfo of a camera whose images are not rectified."""
        roi = self.make("sensor_msgs/msg/RegionOfInterest", x_offset=0, y_offset=0, height=0, width=0, do_rectify=False)
        return self.make(
            "sensor_msgs/msg/CameraInfo",
            header=header,
            height=camera.height,
            width=camera.width,
            distortion_model=camera.model,
            d=np.array(camera.distortion, dtype=np.float64),
            k=camera.matrix.reshape(-1),
            r=np.eye(3).reshape(-1),
            p=np.hstack([camera.matrix, np.zeros((3, 1))]).reshape(-1),
            binning_x=0,
            binning_y=0,
            roi=roi,
        )

    def point_cloud(self, header: Any, xyz: NDArray[np.float32]) -> Any:
        """sensor_msgs/PointCloud2 of points float32 [N, 3], laid out as most drivers do: x, y, z, 4 spare bytes."""
        padded = np.zeros((len(xyz), 4), np.float32)
        padded[:, :3] = xyz
        fields = [
            self.make("sensor_msgs/msg/PointField", name=name, offset=4 * index, datatype=_FLOAT32, count=1)
            for index, name in enumerate("xyz")
        ]
        return self.make(
            "sensor_msgs/msg/PointCloud2",
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

    def transform(self, header: Any, child: str, parent_from_child: Transform) -> Any:
        """geometry_msgs/TransformStamped; `header.frame_id` is the parent."""
        return self.make(
            "geometry_msgs/msg/TransformStamped",
            header=header,
            child_frame_id=child,
            transform=self.make(
                "geometry_msgs/msg/Transform",
                translation=self._xyz("Vector3", parent_from_child.translation.tolist()),
                rotation=self._quaternion(parent_from_child),
            ),
        )

    def transforms(self, stamped: Sequence[Any]) -> Any:
        """tf2_msgs/TFMessage of what `transform` built."""
        return self.make("tf2_msgs/msg/TFMessage", transforms=list(stamped))

    def odometry(
        self,
        header: Any,
        child: str,
        odom_from_child: Transform,
        linear: Sequence[float] = _ZERO,
        angular: Sequence[float] = _ZERO,
    ) -> Any:
        """nav_msgs/Odometry without covariances.

        Args:
            header: `frame_id` is the odometry frame.
            child: the robot's frame.
            odom_from_child: pose of the robot.
            linear: velocity in the robot's frame, m/s.
            angular: rates about the axes of the robot's frame, rad/s.
        """
        twist = self.make(
            "geometry_msgs/msg/Twist", linear=self._xyz("Vector3", linear), angular=self._xyz("Vector3", angular)
        )
        return self.make(
            "nav_msgs/msg/Odometry",
            header=header,
            child_frame_id=child,
            pose=self.make(
                "geometry_msgs/msg/PoseWithCovariance", pose=self._pose(odom_from_child), covariance=np.zeros(36)
            ),
            twist=self.make("geometry_msgs/msg/TwistWithCovariance", twist=twist, covariance=np.zeros(36)),
        )

    def occupancy_grid(
        self, header: Any, costmap: NDArray[np.int8], origin_xy: tuple[float, float], resolution: float
    ) -> Any:
        """nav_msgs/OccupancyGrid.

        Args:
            header: `frame_id` is the fixed frame; the stamp is that of the image the costmap is made from.
            costmap: int8 [rows, cols]; row is y, column is x.
            origin_xy: (x, y) of the lower-left corner of cell (0, 0), m.
            resolution: edge of a cell, m.
        """
        rows, cols = costmap.shape
        origin = self.make(
            "geometry_msgs/msg/Pose",
            position=self._xyz("Point", (*origin_xy, 0.0)),
            orientation=self.make("geometry_msgs/msg/Quaternion", x=0.0, y=0.0, z=0.0, w=1.0),
        )
        info = self.make(
            "nav_msgs/msg/MapMetaData",
            map_load_time=header.stamp,
            resolution=resolution,
            width=cols,
            height=rows,
            origin=origin,
        )
        data = np.ascontiguousarray(costmap).reshape(-1)
        return self.make("nav_msgs/msg/OccupancyGrid", header=header, info=info, data=data)

    def latency(self, header: Any, milliseconds: Mapping[str, float]) -> Any:
        """diagnostic_msgs/DiagnosticArray of stage → milliseconds, which plotting tools read as numbers."""
        values = [
            self.make("diagnostic_msgs/msg/KeyValue", key=stage, value=f"{ms:.3f}")
            for stage, ms in milliseconds.items()
        ]
        status = self.make(
            "diagnostic_msgs/msg/DiagnosticStatus",
            level=0,
            name="seg_perception: latency",
            message="milliseconds per stage",
            hardware_id="",
            values=values,
        )
        return self.make("diagnostic_msgs/msg/DiagnosticArray", header=header, status=[status])

    def _pose(self, parent_from_child: Transform) -> Any:
        return self.make(
            "geometry_msgs/msg/Pose",
            position=self._xyz("Point", parent_from_child.translation.tolist()),
            orientation=self._quaternion(parent_from_child),
        )

    def _quaternion(self, transform: Transform) -> Any:
        x, y, z, w = transform.quaternion().tolist()
        return self.make("geometry_msgs/msg/Quaternion", x=x, y=y, z=z, w=w)

    def _xyz(self, name: str, xyz: Sequence[float]) -> Any:
        x, y, z = xyz
        return self.make(f"geometry_msgs/msg/{name}", x=x, y=y, z=z)
