"""The costmap topic, and what becomes of it when there is nothing new to say."""

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
from seg_perception.pipeline.pipeline import Pipeline, Result, field_of_view
from seg_perception.ros import messages
from seg_perception.ros.optional import optional
from seg_perception.ros.outputs.nav2_outputs import ReaderOutputs
from seg_perception.ros.outputs.publishers import latched, make_publisher
from seg_perception.ros.parameters.node_settings import NodeSettings

_EARLY = 0.1  # of a period: frames that come at the very rate of the cap must not fall to their jitter
_LAST_WORD = Duration(nanoseconds=200_000_000)  # a reader that is gone must not hold up the end


class CostmapOutput:
    """Publishes costmaps, from the worker and from the watchdog, one after the other."""

    def __init__(self, node: Any, pipeline: Pipeline) -> None:
        """Create the publishers on a lifecycle node; `pipeline` is the one whose results will be published."""
        self._node = node
        self._pipeline = pipeline
        self._lock = threading.Lock()
        self._last: Result | None = None
        self._views: dict[str, Result] = {}
        self._due = 0.0
        self._is_blank = False
        self._map_msgs = optional("map_msgs.msg")
        self._grids = make_publisher(node, OccupancyGrid, "costmap", latched())
        self._updates = self._map_msgs and make_publisher(
            node, self._map_msgs.OccupancyGridUpdate, "costmap_updates", QoSProfile(depth=10)
        )
        self._readers = ReaderOutputs(node)

    def announce(self, settings: NodeSettings) -> None:
        """Tell nav2's filters which masks there are."""
        self._readers.announce(self._now_ns(), settings.odom_frame, self._grids.topic_name)

    def publish(self, result: Result, settings: NodeSettings, camera: str = "") -> None:
        """Publish a frame's costmap, unless the last one is too recent for `settings.costmap_rate`.

        What a camera that went blind should see is unknown in it, or what `settings.stale_cost` says.

        Args:
            result: of the frame.
            settings: `costmap_rate`, `stale_cost` and `odom_frame` are used.
            camera: name of the one whose frame it is.
        """
        if result.blind is not None and settings.stale_cost == "lethal":
            result = replace(result, costmap=np.where(result.blind, np.int8(OccupancyValues.LETHAL), result.costmap))
        with self._lock:
            self._views[camera] = result
            now, period = time.monotonic(), 1.0 / settings.costmap_rate
            # The first costmap after a blank one does not wait.
            if now < self._due - _EARLY * period and not self._is_blank:
                return
            self._due = self._due + period if now - self._due < period else now + period
            previous = None if self._is_blank else self._last
            self._last, self._is_blank = result, False
            self._send(result.stamp_ns, result.costmap, self._pipeline.speed_mask, settings)
            if previous is not None and previous.raster == result.raster:
                self._send_update(previous.costmap, result, settings)

    def blank(self, settings: NodeSettings) -> bool:
        """Take back the last costmap: publish one of the same cells that claims nothing.

        All of it becomes unknown, and what the cameras had in view becomes what `settings.stale_cost` says. Memory of
        what lay outside of the view goes too: the robot may move on blindly, and nothing says where it stands.

        Returns:
            False if there is nothing that could be taken back.
        """
        with self._lock:
            if self._last is None:
                return False
            costmap = np.full_like(self._last.costmap, OccupancyValues.UNKNOWN)
            if settings.stale_cost == "lethal":
                for view in self._views.values():
                    costmap[field_of_view(view, settings.pipeline, self._last)] = OccupancyValues.LETHAL
            slow = np.full_like(costmap, percent(self._pipeline.speed_rule.unknown))
            self._send(self._now_ns(), costmap, lambda: slow, settings)
            self._is_blank = True
            return True

    def flush(self) -> None:
        """Give readers a moment to take the last costmap, before its publisher goes."""
        self._grids.wait_for_all_acked(_LAST_WORD)
        self._readers.flush(_LAST_WORD)

    def destroy(self) -> None:
        """Remove the publishers."""
        for publisher in filter(None, (self._grids, self._updates)):
            self._node.destroy_lifecycle_publisher(publisher)
        self._readers.destroy()

    def _now_ns(self) -> int:
        return int(self._node.get_clock().now().nanoseconds)

    def _send(
        self,
        stamp_ns: int,
        costmap: NDArray[np.int8],
        speed_mask: Callable[[], NDArray[np.int8]],
        settings: NodeSettings,
    ) -> None:
        """To all readers: a costmap of the last result's cells."""
        assert self._last is not None
        raster, frame_id = self._last.raster, settings.odom_frame
        self._grids.publish(messages.occupancy_grid(stamp_ns, frame_id, costmap, raster.origin, raster.resolution))
        ground = float(self._last.frame.odom_from_base.translation[2])
        self._readers.publish(stamp_ns, frame_id, costmap, raster, ground, speed_mask)

    def _send_update(self, before: NDArray[np.int8], result: Result, settings: NodeSettings) -> None:
        """The smallest block that holds all cells that have changed, for readers that follow updates."""
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
