"""Where the robot and its camera were at an image's stamp: from tf2, or from odometry and a fixed mount."""

from __future__ import annotations

from typing import Any, Protocol

from seg_perception.errors import ConfigError
from seg_perception.geometry.transforms import Transform
from seg_perception.ros.inputs.odometry_poses import OdometryPoses
from seg_perception.ros.inputs.tf_poses import TfPoses
from seg_perception.ros.optional import optional
from seg_perception.ros.parameters.node_settings import NodeSettings


class PoseSource(Protocol):
    """What the worker asks for poses; messages come in through the executor's thread."""

    def lookup(
        self, stamp_ns: int, optical_frame: str, timeout: float, mount: Transform | None = None
    ) -> tuple[Transform, Transform]:
        """odom_from_base and base_from_optical at a stamp; waits for what is still on its way.

        Args:
            stamp_ns: of the image, nanoseconds.
            optical_frame: frame_id of the image.
            timeout: longest wait, s of the steady clock.
            mount: base_from_optical of this camera, where it has one of its own; else the node's, else tf's.

        Raises:
            GeometryError: not known at this stamp; one sentence says what lacks.
        """

    def sensor(
        self, stamp_ns: int, frame: str, optical_frame: str, timeout: float, mount: Transform | None = None
    ) -> Transform:
        """odom_from_sensor at a stamp; waits for what is still on its way.

        Args:
            stamp_ns: of what the sensor measured, nanoseconds.
            frame: its frame_id.
            optical_frame: frame_id of the images, which is where `lookup` says.
            timeout: longest wait, s of the steady clock.
            mount: as for `lookup`.

        Raises:
            GeometryError: not known at this stamp; one sentence says what lacks.
        """

    def describe(self, mount: Transform | None = None) -> str:
        """One line for diagnostics; `mount` as for `lookup`."""

    def reset(self) -> None:
        """Forget all but what is fixed: the clock was set back."""

    def close(self) -> None:
        """Unsubscribe."""


def choose_source(settings: NodeSettings) -> str:
    """Either "tf" or "odometry", after checking that what it needs is there.

    Raises:
        ConfigError: it is not.
    """
    has_tf = optional("tf2_ros") is not None
    source = settings.pose_source if settings.pose_source != "auto" else ("tf" if has_tf else "odometry")
    if source == "tf" and not has_tf:
        raise ConfigError(
            "parameter 'pose_source' is 'tf', and tf2_ros is not installed; install ros-$ROS_DISTRO-tf2-ros-py, or set "
            "it to 'odometry' and give the camera's 'mount'."
        )
    bare = [f"{camera.name}.mount".lstrip(".") for camera in settings.cameras if camera.mount is None]
    if source == "odometry" and bare:
        why = "" if has_tf else " (tf2_ros is not installed)"
        raise ConfigError(
            f"parameter '{bare[0]}' is empty, and poses come from odometry{why}, which does not tell where the camera "
            "sits; give x y z roll pitch yaw of the camera body in base_frame."
        )
    return source


def open_poses(node: Any, settings: NodeSettings) -> PoseSource:
    """Subscribe to the source that the settings ask for.

    Raises:
        ConfigError: what it needs is not there.
    """
    if choose_source(settings) == "tf":
        return TfPoses(node, settings)
    return OdometryPoses(node, settings)
