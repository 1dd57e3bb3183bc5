"""Poses of the robot and its camera at an image's stamp: from tf2, or from odometry and fixed extrinsics."""

from __future__ import annotations

from typing import Any, Protocol

from seg_perception.errors import ConfigError
from seg_perception.geometry.transforms import Transform
from seg_perception.ros.inputs.odometry_poses import OdometryPoses
from seg_perception.ros.inputs.tf_poses import TfPoses
from seg_perception.ros.optional import optional
from seg_perception.ros.parameters.node_settings import NodeSettings


class PoseSource(Protocol):
    """Poses for the worker's thread. The executor's thread receives the messages."""

    def lookup(
        self, stamp_ns: int, optical_frame: str, timeout: float, base_from_optical: Transform | None = None
    ) -> tuple[Transform, Transform]:
        """odom_from_base and base_from_optical at a stamp; waits for messages that are still to arrive.

        Args:
            stamp_ns: of the image, nanoseconds.
            optical_frame: frame_id of the image.
            timeout: longest wait, s of the steady clock.
            base_from_optical: extrinsics of this camera; None for the node's, else those of tf.

        Raises:
            GeometryError: not known at this stamp; one sentence says what is missing.
        """

    def lookup_sensor(
        self, stamp_ns: int, frame: str, optical_frame: str, timeout: float, base_from_optical: Transform | None = None
    ) -> Transform:
        """odom_from_sensor at a stamp; waits for messages that are still to arrive.

        Args:
            stamp_ns: of the sensor's message, nanoseconds.
            frame: frame_id of the sensor's message.
            optical_frame: frame_id of the images; its pose is that of `lookup`.
            timeout: longest wait, s of the steady clock.
            base_from_optical: see `lookup`.

        Raises:
            GeometryError: not known at this stamp; one sentence says what is missing.
        """

    def describe(self, base_from_optical: Transform | None = None) -> str:
        """One line for diagnostics; for `base_from_optical` see `lookup`."""

    def reset(self) -> None:
        """Drop all poses but static ones, because the clock was set back."""

    def close(self) -> None:
        """Unsubscribe."""


def select_pose_source(settings: NodeSettings) -> str:
    """Select "tf" or "odometry", and check that everything it needs is available.

    Raises:
        ConfigError: something is missing; the sentence says what.
    """
    has_tf = optional("tf2_ros") is not None
    source = settings.pose_source if settings.pose_source != "auto" else ("tf" if has_tf else "odometry")
    if source == "tf" and not has_tf:
        raise ConfigError(
            "parameter 'pose_source' is 'tf', and tf2_ros is not installed; install ros-$ROS_DISTRO-tf2-ros-py, or set "
            "it to 'odometry' and give the camera's 'mount'."
        )
    without_mount = [f"{camera.name}.mount".lstrip(".") for camera in settings.cameras if camera.mount is None]
    if source == "odometry" and without_mount:
        why = "" if has_tf else " (tf2_ros is not installed)"
        raise ConfigError(
            f"parameter '{without_mount[0]}' is empty, and poses come from odometry{why}, which does not hold the "
            "camera's extrinsics; give x y z roll pitch yaw of the camera body in base_frame."
        )
    return source


def open_poses(node: Any, settings: NodeSettings) -> PoseSource:
    """Subscribe to the source that the settings select.

    Raises:
        ConfigError: something that it needs is missing.
    """
    if select_pose_source(settings) == "tf":
        return TfPoses(node, settings)
    return OdometryPoses(node, settings)
