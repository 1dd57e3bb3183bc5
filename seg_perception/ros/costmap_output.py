"""The costmap topic, and what becomes of it when there is nothing new to say."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from nav_msgs.msg import OccupancyGrid
from numpy.typing import NDArray
from rclpy.duration import Duration
from rclpy.qos import QoSProfile

from seg_perception.costmap.nav2 import OccupancyValues
from seg_perception.costmap.speed import percent
from seg_perception.pipeline import Pipeline, Result, field_of_view
from seg_perception.risk.speed import FULL_SPEED
from seg_perception.ros import messages
from seg_perception.ros.optional import optional
from seg_perception.ros.publishing import latched, make_publisher
from seg_perception.ros.reader_outputs import ReaderOutputs
from seg_perception.ros.settings import NodeSettings

_EARLY = 0.1  # of a period: frames that come at the very rate of the cap must not fall to their jitter
_LAST_WORD = Duration(nanoseconds=200_000_000)  # a reader that is gone must not hold up the end


class CostmapOutput:
    """Publishes costmaps, from the worker and from the watchdog, one after the other."""

    def __init__(self, node: Any) -> None:
        """Create the publishers on a lifecycle node."""
        self._node = node
        self._lock = threading.Lock()
        self._last: Result | None = None
        self._due = 0.0
        self._is_blank = False
        self._speed_rule = FULL_SPEED
        self._map_msgs = optional("map_msgs.msg")
        self._grids = make_publisher(node, OccupancyGrid, "costmap", latched())
        self._updates = self._map_msgs and make_publisher(
            node, self._map_msgs.OccupancyGridUpdate, "costmap_updates", QoSProfile(depth=10)
        )
        self._readers = ReaderOutputs(node)

    def announce(self, settings: NodeSettings) -> None:
        """Tell nav2's filters which masks there are."""
        self._readers.announce(self._now_ns(), settings.odom_frame, self._grids.topic_name)

    def publish(self, result: Result, settings: NodeSettings, pipeline: Pipeline) -> None:
        """Publish a frame's costmap, unless the last one is too recent for `settings.costmap_rate`.

        Args:
            result: of the frame.
            settings: those that hold now.
            pipeline: which has just made the result; its grid gives the speed limits.
        """
        with self._lock:
            now, period = time.monotonic(), 1.0 / settings.costmap_rate
            # The first costmap after a blank one does not wait.
            if now < self._due - _EARLY * period and not self._is_blank:
                return
            self._due = self._due + period if now - self._due < period else now + period
            previous = None if self._is_blank else self._last
            self._last, self._is_blank = result, False
            self._speed_rule = pipeline.speed_rule
            self._send(result.frame.stamp_ns, result.costmap, result, settings, pipeline.speed_mask)
            if previous is not None and previous.raster == result.raster:
                self._send_update(previous.costmap, result, settings)

    def blank(self, settings: NodeSettings) -> bool:
        """Take back the last costmap: publish one of the same cells that claims nothing.

        All of it becomes unknown, and what the camera had in view becomes what `settings.stale_cost` says. Memory of
        what lay outside of the view goes too: the robot may move on blindly, and nothing says where it stands.

        Returns:
            False if there is nothing that could be taken back.
        """
        with self._lock:
            if self._last is None:
                return False
            costmap = np.full_like(self._last.costmap, OccupancyValues.UNKNOWN)
            if settings.stale_cost == "lethal":
                costmap[field_of_view(self._last, settings.pipeline)] = OccupancyValues.LETHAL
            slow = np.full_like(costmap, percent(self._speed_rule.unknown))
            self._send(self._now_ns(), costmap, self._last, settings, lambda: slow)
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
        result: Result,
        settings: NodeSettings,
        speed_mask: Callable[[], NDArray[np.int8]],
    ) -> None:
        """To all readers: a costmap of the cells of `result`."""
        raster, frame_id = result.raster, settings.odom_frame
        self._grids.publish(messages.occupancy_grid(stamp_ns, frame_id, costmap, raster.origin, raster.resolution))
        ground = float(result.frame.odom_from_base.translation[2])
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
                result.frame.stamp_ns, settings.odom_frame, result.costmap[block], int(rows.min()), int(cols.min())
            )
        )
