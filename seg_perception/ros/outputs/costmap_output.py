"""Publishes the costmap, and retracts it when results are missing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from nav_msgs.msg import OccupancyGrid
from numpy.typing import NDArray
from rclpy.duration import Duration
from rclpy.qos import QoSProfile

from seg_perception.costmap.nav2_encoding import OccupancyValues
from seg_perception.costmap.speed_mask import percent
from seg_perception.pipeline.pipeline import Pipeline
from seg_perception.pipeline.result import Result, field_of_view
from seg_perception.ros import messages
from seg_perception.ros.optional import optional
from seg_perception.ros.outputs.nav2_outputs import Nav2Outputs
from seg_perception.ros.outputs.publishers import latched, make_publisher
from seg_perception.ros.parameters.node_settings import NodeSettings

_TOLERANCE = 0.1  # of a period, so that frames at exactly costmap_rate are not dropped for their jitter
_FLUSH_TIMEOUT = Duration(nanoseconds=200_000_000)  # a subscriber that is gone must not delay the shutdown


class CostmapOutput:
    """Publishes costmaps, from the threads of worker and watchdog."""

    def __init__(self, node: Any, pipeline: Pipeline) -> None:
        """Create the publishers on a lifecycle node, for the results of `pipeline`."""
        self._node = node
        self._pipeline = pipeline
        self._lock = threading.Lock()
        self._last: Result | None = None
        self._last_by_camera: dict[str, Result] = {}
        self._next_due = 0.0
        self._is_retracted = False
        self._map_msgs = optional("map_msgs.msg")
        self._grids = make_publisher(node, OccupancyGrid, "costmap", latched())
        self._updates = self._map_msgs and make_publisher(
            node, self._map_msgs.OccupancyGridUpdate, "costmap_updates", QoSProfile(depth=10)
        )
        self._nav2 = Nav2Outputs(node)

    def publish_filter_info(self, settings: NodeSettings) -> None:
        """Publish the masks' topics for nav2's costmap filters."""
        self._nav2.publish_filter_info(self._now_ns(), settings.odom_frame, self._grids.topic_name)

    def publish(self, result: Result, settings: NodeSettings, camera: str = "") -> None:
        """Publish a frame's costmap, unless the last one is too recent for `settings.costmap_rate`.

        The cells in the field of view of a stale camera are unknown, or lethal if `settings.stale_cost` says so.

        Args:
            result: of the frame.
            settings: uses `costmap_rate`, `stale_cost` and `odom_frame`.
            camera: name of the frame's camera.
        """
        if result.stale_cells is not None and settings.stale_cost == "lethal":
            lethal = np.int8(OccupancyValues.LETHAL)
            result = replace(result, costmap=np.where(result.stale_cells, lethal, result.costmap))
        with self._lock:
            self._last_by_camera[camera] = result
            now, period = time.monotonic(), 1.0 / settings.costmap_rate
            # The first costmap after a retraction is not delayed.
            if now < self._next_due - _TOLERANCE * period and not self._is_retracted:
                return
            self._next_due = self._next_due + period if now - self._next_due < period else now + period
            previous = None if self._is_retracted else self._last
            self._last, self._is_retracted = result, False
            self._send(result.stamp_ns, result.costmap, self._pipeline.speed_mask, settings)
            if previous is not None and previous.bounds == result.bounds:
                self._send_update(previous.costmap, result, settings)

    def retract(self, settings: NodeSettings) -> bool:
        """Retract the last costmap: publish an unknown one of the same cells.

        The cells in the cameras' fields of view are lethal if `settings.stale_cost` says so. All other cells
        are unknown, because the robot may have moved since, and its pose may be missing.

        Returns:
            False if there is no costmap to retract.
        """
        with self._lock:
            if self._last is None:
                return False
            costmap = np.full_like(self._last.costmap, OccupancyValues.UNKNOWN)
            if settings.stale_cost == "lethal":
                for result in self._last_by_camera.values():
                    costmap[field_of_view(result, settings.pipeline, self._last)] = OccupancyValues.LETHAL
            speed_limits = np.full_like(costmap, percent(self._pipeline.speed_rule.unknown))
            self._send(self._now_ns(), costmap, lambda: speed_limits, settings)
            self._is_retracted = True
            return True

    def flush(self) -> None:
        """Wait a moment until subscribers have received the last costmap."""
        self._grids.wait_for_all_acked(_FLUSH_TIMEOUT)
        self._nav2.flush(_FLUSH_TIMEOUT)

    def destroy(self) -> None:
        """Remove the publishers."""
        for publisher in filter(None, (self._grids, self._updates)):
            self._node.destroy_lifecycle_publisher(publisher)
        self._nav2.destroy()

    def _now_ns(self) -> int:
        return int(self._node.get_clock().now().nanoseconds)

    def _send(
        self,
        stamp_ns: int,
        costmap: NDArray[np.int8],
        speed_mask: Callable[[], NDArray[np.int8]],
        settings: NodeSettings,
    ) -> None:
        """Publish a costmap of the last result's cells on all topics."""
        assert self._last is not None
        bounds, frame_id = self._last.bounds, settings.odom_frame
        self._grids.publish(messages.occupancy_grid(stamp_ns, frame_id, costmap, bounds.origin, bounds.resolution))
        ground = float(self._last.frame.odom_from_base.translation[2])
        self._nav2.publish(stamp_ns, frame_id, costmap, bounds, ground, speed_mask)

    def _send_update(self, before: NDArray[np.int8], result: Result, settings: NodeSettings) -> None:
        """Publish the smallest block that holds all changed cells."""
        if not self._updates or not self._updates.get_subscription_count():
            return
        rows, cols = np.nonzero(before != result.costmap)
        if rows.size == 0:
            return
        block = slice(rows.min(), rows.max() + 1), slice(cols.min(), cols.max() + 1)
        self._updates.publish(
            messages.costmap_update(
                result.stamp_ns, settings.odom_frame, result.costmap[block], int(rows.min()), int(cols.min())
            )
        )
