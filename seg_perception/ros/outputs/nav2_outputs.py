"""The costmap in the forms that other parts of nav2 read: points, masks, raw costmap (docs/how_to/nav2.md)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from nav_msgs.msg import OccupancyGrid
from numpy.typing import NDArray
from rclpy.duration import Duration
from sensor_msgs.msg import PointCloud2

from seg_perception.costmap.marking_points import clearing_points, lethal_points
from seg_perception.geometry.grid_bounds import GridBounds
from seg_perception.ros import messages
from seg_perception.ros.optional import optional
from seg_perception.ros.outputs import nav2_messages
from seg_perception.ros.outputs.nav2_messages import FilterType
from seg_perception.ros.outputs.publishers import latched, latest, make_publisher


class Nav2Outputs:
    """Lifecycle publishers for nav2; each publishes only while it has subscribers."""

    def __init__(self, node: Any) -> None:
        """Create the publishers; those of nav2's own messages only if nav2_msgs is installed."""
        self._node = node
        self._lethal = make_publisher(node, PointCloud2, "lethal_points", latest())
        self._border = make_publisher(node, PointCloud2, "clearing_points", latest())
        self._speed_mask = make_publisher(node, OccupancyGrid, "speed_mask", latched())
        self._publishers = [self._lethal, self._border, self._speed_mask]
        self._raw = self._speed_info = self._keepout_info = None
        nav2_msgs = optional("nav2_msgs.msg")
        if nav2_msgs:
            self._raw = make_publisher(node, nav2_msgs.Costmap, "costmap_raw", latched())
            self._speed_info = make_publisher(node, nav2_msgs.CostmapFilterInfo, "speed_filter_info", latched())
            self._keepout_info = make_publisher(node, nav2_msgs.CostmapFilterInfo, "keepout_filter_info", latched())
            self._publishers += [self._raw, self._speed_info, self._keepout_info]

    def publish_filter_info(self, stamp_ns: int, frame_id: str, costmap_topic: str) -> None:
        """Publish the masks' topics for nav2's costmap filters, latched."""
        if self._speed_info and self._keepout_info:
            masks = (
                (self._speed_info, FilterType.SPEED_PERCENT, self._speed_mask.topic_name),
                (self._keepout_info, FilterType.KEEPOUT, costmap_topic),
            )
            for publisher, kind, topic in masks:
                publisher.publish(nav2_messages.filter_info(stamp_ns, frame_id, kind, topic))

    def publish(
        self,
        stamp_ns: int,
        frame_id: str,
        costmap: NDArray[np.int8],
        bounds: GridBounds,
        ground: float,
        speed_mask: Callable[[], NDArray[np.int8]],
    ) -> None:
        """Publish a costmap on all topics with subscribers.

        Args:
            stamp_ns: of the image it is made from, nanoseconds.
            frame_id: odom.
            costmap: int8 [rows, cols], nav_msgs/OccupancyGrid values.
            bounds: where it lies in odom.
            ground: height of the ground under the robot in odom, m.
            speed_mask: computes the speed limits of the same cells, int8 [rows, cols].
        """
        if _has_subscribers(self._lethal):
            points = lethal_points(costmap, bounds, ground)
            self._lethal.publish(nav2_messages.cloud(stamp_ns, frame_id, points))
        if _has_subscribers(self._border):
            self._border.publish(nav2_messages.cloud(stamp_ns, frame_id, clearing_points(bounds, ground)))
        if _has_subscribers(self._speed_mask):
            self._speed_mask.publish(
                messages.occupancy_grid(stamp_ns, frame_id, speed_mask(), bounds.origin, bounds.resolution)
            )
        if self._raw and _has_subscribers(self._raw):
            self._raw.publish(nav2_messages.raw_costmap(stamp_ns, frame_id, costmap, bounds))

    def flush(self, timeout: Duration) -> None:
        """Wait until subscribers have received the last messages, or for `timeout`."""
        for publisher in self._publishers:
            publisher.wait_for_all_acked(timeout)

    def destroy(self) -> None:
        """Remove the publishers."""
        for publisher in self._publishers:
            self._node.destroy_lifecycle_publisher(publisher)


def _has_subscribers(publisher: Any) -> bool:
    return bool(publisher.get_subscription_count())
