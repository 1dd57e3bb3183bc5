"""Messages for nav2 in addition to the OccupancyGrid: raw costmaps, filter infos and point clouds."""

from __future__ import annotations

import array
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import PointCloud2, PointField

from seg_perception.costmap.nav2_encoding import decode_costs
from seg_perception.geometry.grid_bounds import GridBounds
from seg_perception.ros.messages import time_of
from seg_perception.ros.optional import optional


class FilterType(IntEnum):
    """How a costmap filter uses its mask (nav2_costmap_2d/costmap_filters/filter_values.hpp)."""

    KEEPOUT = 0
    SPEED_PERCENT = 1


def filter_info(stamp_ns: int, frame_id: str, kind: FilterType, mask_topic: str) -> Any:
    """A nav2_msgs/CostmapFilterInfo whose filter uses the mask's values unscaled.

    nav2_msgs must be installed.

    Args:
        stamp_ns: of publication, nanoseconds.
        frame_id: of the mask.
        kind: of the filter.
        mask_topic: absolute name; up to Jazzy, relative names are resolved in the costmap's namespace.
    """
    message = _nav2_msgs().CostmapFilterInfo(type=int(kind), filter_mask_topic=mask_topic, base=0.0, multiplier=1.0)
    message.header.stamp = time_of(stamp_ns)
    message.header.frame_id = frame_id
    return message


def raw_costmap(stamp_ns: int, frame_id: str, costmap: NDArray[np.int8], bounds: GridBounds) -> Any:
    """A nav2_msgs/Costmap with the costs that nav2 reads from the costmap: 0 free, graded, 254 lethal, 255 unknown.

    It never holds 253, "inscribed", which depends on the robot's footprint. nav2_msgs must be installed.

    Args:
        stamp_ns: of the image it is made from, nanoseconds.
        frame_id: odom.
        costmap: int8 [rows, cols], nav_msgs/OccupancyGrid values.
        bounds: where it lies in odom.
    """
    message = _nav2_msgs().Costmap()
    message.header.stamp = message.metadata.map_load_time = message.metadata.update_time = time_of(stamp_ns)
    message.header.frame_id = frame_id
    message.metadata.layer = "perception"
    message.metadata.resolution = bounds.resolution
    message.metadata.size_x, message.metadata.size_y = bounds.cols, bounds.rows
    message.metadata.origin.position.x, message.metadata.origin.position.y = bounds.origin
    message.metadata.origin.orientation.w = 1.0
    message.data = array.array("B", decode_costs(costmap)[0].astype(np.uint8).tobytes())
    return message


def cloud(stamp_ns: int, frame_id: str, points: NDArray[np.float32]) -> PointCloud2:
    """A sensor_msgs/PointCloud2 of points, float32 [N, 3], x, y, z in m; one row, and N may be 0."""
    message = PointCloud2(height=1, width=len(points), point_step=12, row_step=12 * len(points), is_dense=True)
    message.header.stamp = time_of(stamp_ns)
    message.header.frame_id = frame_id
    message.is_bigendian = not np.little_endian
    message.fields = [
        PointField(name=name, offset=4 * axis, datatype=PointField.FLOAT32, count=1) for axis, name in enumerate("xyz")
    ]
    message.data = array.array("B", points.tobytes())
    return message


def _nav2_msgs() -> Any:
    nav2_msgs = optional("nav2_msgs.msg")
    assert nav2_msgs is not None
    return nav2_msgs
