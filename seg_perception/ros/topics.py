"""The node's topics as data, for its documentation and the tests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

_LATEST = "reliable, depth 1"
_LATCHED = "reliable, transient local, depth 1"
_IMAGE = "best effort, depth 1; reliable, depth 2, when announced images do not arrive"
_RANGE = "best effort, depth 5; reliable when a publisher's messages do not arrive"
_IMAGE_TYPE = "sensor_msgs/msg/Image"
_COMPRESSED_TYPE = "sensor_msgs/msg/CompressedImage"
_CLOUD_TYPE = "sensor_msgs/msg/PointCloud2"
_FILTER_INFO_TYPE = "nav2_msgs/msg/CostmapFilterInfo"


@dataclass(frozen=True)
class Topic:
    """One topic of the node.

    Attributes:
        name: as in the code: relative to the namespace, below the node's name (`~/`), or absolute.
        type: message type.
        direction: "in" subscribed, "out" published.
        qos: reliability, durability and depth, in words.
        when: when it is subscribed, or published.
        meaning: content of a message.
    """

    name: str
    type: str
    direction: Literal["in", "out"]
    qos: str
    when: str
    meaning: str


TOPICS = (
    Topic("image", _IMAGE_TYPE, "in", _IMAGE, "`image_transport` is raw", "The camera's image."),
    Topic(
        "image/compressed", _COMPRESSED_TYPE, "in", _IMAGE, "`image_transport` is compressed",
        "The camera's image as JPEG or PNG.",
    ),
    Topic(
        "camera_info", "sensor_msgs/msg/CameraInfo", "in", "best effort, depth 1; latched ones too", "always",
        "The camera's calibration; the node uses the latest.",
    ),
    Topic(
        "depth", _IMAGE_TYPE, "in", _RANGE, "`projection.mode` is auto or depth, `depth_transport` is raw",
        "Depth aligned with the camera's image: 16UC1 in mm, or 32FC1 in m.",
    ),
    Topic(
        "depth/compressedDepth", _COMPRESSED_TYPE, "in", _RANGE,
        "`projection.mode` is auto or depth, `depth_transport` is compressedDepth",
        "The same from compressed_depth_image_transport, as PNG.",
    ),
    Topic(
        "points", _CLOUD_TYPE, "in", _RANGE, "`projection.mode` is auto or points",
        "Points of a LiDAR or a stereo camera; any layout with x, y and z.",
    ),
    Topic(
        "/tf", "tf2_msgs/msg/TFMessage", "in", "reliable, depth 100", "poses come from tf",
        "Poses of robot, camera and point clouds.",
    ),
    Topic(
        "/tf_static", "tf2_msgs/msg/TFMessage", "in", "reliable, transient local, depth 100", "poses come from tf",
        "Static transforms: extrinsics of camera and sensors.",
    ),
    Topic(
        "odometry", "nav_msgs/msg/Odometry", "in", "best effort, depth 50", "poses come from odometry",
        "Pose of the base in odom; `mount` holds the camera's extrinsics.",
    ),
    Topic(
        "~/costmap", "nav_msgs/msg/OccupancyGrid", "out", _LATCHED,
        "at most `costmap_rate`; once a second while stale",
        "Cost of driving, in odom, for nav2's StaticLayer: 0 free, 1 to 98 graded, 100 lethal, -1 unknown.",
    ),
    Topic(
        "~/costmap_updates", "map_msgs/msg/OccupancyGridUpdate", "out", "reliable, depth 10",
        "map_msgs is installed and it has subscribers", "The block of the costmap that changed since the last message.",
    ),
    Topic(
        "~/costmap_raw", "nav2_msgs/msg/Costmap", "out", _LATCHED,
        "with the costmap, if nav2_msgs is installed and it has subscribers",
        "The same costs in nav2's units: 0 free, graded, 254 lethal, 255 unknown.",
    ),
    Topic(
        "~/lethal_points", _CLOUD_TYPE, "out", _LATEST, "with the costmap, if it has subscribers",
        "The centers of its lethal cells, 0.25 m above the ground, for marking.",
    ),
    Topic(
        "~/clearing_points", _CLOUD_TYPE, "out", _LATEST, "with the costmap, if it has subscribers",
        "The centers of its outermost cells, for clearing.",
    ),
    Topic(
        "~/speed_mask", "nav_msgs/msg/OccupancyGrid", "out", _LATCHED, "with the costmap, if it has subscribers",
        "Speed limits for nav2's SpeedFilter, percent of full speed, 1 to 100; from `speed` in the cost matrix.",
    ),
    Topic(
        "~/speed_filter_info", _FILTER_INFO_TYPE, "out", _LATCHED, "on activation, if nav2_msgs is installed",
        "Announces `~/speed_mask` to a SpeedFilter.",
    ),
    Topic(
        "~/keepout_filter_info", _FILTER_INFO_TYPE, "out", _LATCHED, "on activation, if nav2_msgs is installed",
        "Announces `~/costmap` to a KeepoutFilter.",
    ),
    Topic(
        "~/labels", _IMAGE_TYPE, "out", _LATEST, "each result",
        "mono8: the class of each pixel by Bayes decision. Size and header of the camera's image, as the next three.",
    ),
    Topic(
        "~/most_probable", _IMAGE_TYPE, "out", _LATEST, "it has subscribers",
        "mono8: the most probable class (argmax), to compare with the Bayes decision.",
    ),
    Topic(
        "~/confidence", _IMAGE_TYPE, "out", _LATEST, "it has subscribers",
        "mono8: 255 times the probability of the most probable class.",
    ),
    Topic(
        "~/expected_cost", _IMAGE_TYPE, "out", _LATEST, "it has subscribers",
        "Expected cost of driving over each pixel, nav2 units, 254 lethal; mono8, or 32FC1 by parameter.",
    ),
    Topic(
        "~/overlay", _IMAGE_TYPE, "out", _LATEST, "it has subscribers",
        "bgr8: the classes' colours over the image, at the network's size.",
    ),
    Topic(
        "~/label_info", "vision_msgs/msg/LabelInfo", "out", _LATCHED, "once for each cost matrix",
        "Names of the classes; a std_msgs/msg/String with JSON if vision_msgs is not installed.",
    ),
    Topic(
        "~/latency", "diagnostic_msgs/msg/DiagnosticArray", "out", _LATEST, "it has subscribers",
        "Milliseconds per stage, and from the image's stamp to publication.",
    ),
    Topic(
        "/diagnostics", "diagnostic_msgs/msg/DiagnosticArray", "out", "reliable, depth 10", "once a second",
        "Status: what is missing, why, and how to fix it.",
    ),
)  # fmt: skip
"""All topics, inputs first."""
