"""Ground truth for costmaps from a bag: occupancy grids, or point clouds with class labels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seg_perception.costmap.nav2_encoding import decode_costs
from seg_perception.errors import GeometryError, RecordingError
from seg_perception.evaluation.costmap.metrics import GroundTruth
from seg_perception.geometry.grid_bounds import GridBounds
from seg_perception.geometry.stamped_transform import rigid_transform, stamp_of, stamped_transforms
from seg_perception.geometry.transform_buffer import TransformBuffer
from seg_perception.geometry.transforms import Transform
from seg_perception.recordings.readers.bag import Bag
from seg_perception.recordings.readers.poses import TF, TF_STATIC
from seg_perception.recordings.readers.range_data import CLOUD
from seg_perception.risk.cost_matrix import LETHAL_COST, CostMatrix
from seg_perception.sensor_data.point_clouds.decode import content_of, decode_fields

COSTMAP_TYPE = "nav_msgs/msg/OccupancyGrid"
_LABEL_FIELDS = ("label", "class", "class_id", "semantic")
_CLEARANCE = 2.2  # m above the ground of the robot; higher points are no obstacle (simulation.world.CLEARANCE)
_MAX_DEPTH = 1.0  # m below it; deeper points are outliers


@dataclass(frozen=True, eq=False)
class _Stamped:
    stamp_ns: int
    message: Any


class GroundTruthSource:
    """Gives the ground truth nearest in time; requests are in the order of time."""

    def __init__(self, path: Path, topic: str, odom_frame: str, matrix: CostMatrix) -> None:
        """Open a bag.

        Args:
            path: of the bag; it also holds the transforms from the frame of the ground truth to odom, if they differ.
            topic: of the ground truth.
            odom_frame: the frame of the evaluated costmaps.
            matrix: costs of the labels of points; a label is the index of a class of the matrix.

        Raises:
            RecordingError: it cannot be opened, or the topic holds no ground truth.
        """
        self._bag = Bag(path)
        self._topic, self._odom, self._matrix = topic, odom_frame, matrix
        kind = self._bag.types.get(topic)
        if kind not in (COSTMAP_TYPE, CLOUD):
            fit = ", ".join(self._bag.topics_of(COSTMAP_TYPE, CLOUD)) or "none"
            self._bag.close()
            raise RecordingError(
                f"{path}: {topic} holds {kind or 'nothing'} (topics with costmaps or point clouds: {fit}); "
                "choose one of these with --truth-topic."
            )
        self._is_costmap = kind == COSTMAP_TYPE
        self._buffer = TransformBuffer()
        self._fill_buffer()
        self._messages = self._in_order()
        self._before: _Stamped | None = None
        self._next = next(self._messages, None)

    def at(self, stamp_ns: int, bounds: GridBounds, base: Transform, within_ns: int) -> GroundTruth | None:
        """The ground truth on the cells of a costmap.

        Args:
            stamp_ns: of the costmap; not before that of the last call.
            bounds: of the costmap.
            base: odom_from_base at that time; heights of points are relative to the ground of the robot.
            within_ns: largest difference of the stamps.

        Returns:
            None if no ground truth is near enough in time.

        Raises:
            GeometryError: no transform leads from the frame of the ground truth to odom.
            PointCloudError: the ground truth is a point cloud that cannot be read.
        """
        while self._next is not None and self._next.stamp_ns <= stamp_ns:
            self._before, self._next = self._next, next(self._messages, None)
        near = [each for each in (self._before, self._next) if each and abs(each.stamp_ns - stamp_ns) <= within_ns]
        if not near:
            return None
        nearest = min(near, key=lambda each: abs(each.stamp_ns - stamp_ns))
        frame = nearest.message.header.frame_id.lstrip("/")
        odom_from_frame = (
            Transform.identity() if frame == self._odom else self._buffer.lookup(self._odom, frame, nearest.stamp_ns)
        )
        if self._is_costmap:
            return ground_truth_from_costmap(nearest.message, odom_from_frame, bounds)
        xyz, labels = labelled_points(nearest.message)
        return ground_truth_from_points(
            odom_from_frame.apply(xyz), labels, float(base.translation[2]), bounds, self._matrix
        )

    def close(self) -> None:
        """Close the bag."""
        self._bag.close()

    def _in_order(self) -> Iterator[_Stamped]:
        for _, time_ns, data in self._bag.messages([self._topic]):
            message = self._bag.decode(self._topic, data)
            yield _Stamped(stamp_of(message.header) or time_ns, message)

    def _fill_buffer(self) -> None:
        for topic in (TF_STATIC, TF):
            for _, _, data in self._bag.messages([topic]):
                for each in stamped_transforms(self._bag.decode(topic, data).transforms):
                    try:
                        if topic == TF_STATIC:
                            self._buffer.add_static(each.parent, each.child, each.transform())
                        else:
                            self._buffer.add(each.parent, each.child, each.stamp_ns, each.transform())
                    except GeometryError:
                        continue  # whoever needs it gets an error: it is missing


def ground_truth_from_costmap(message: Any, odom_from_frame: Transform, bounds: GridBounds) -> GroundTruth:
    """Sample a nav_msgs/OccupancyGrid at the center of each cell; cells outside of it are unknown.

    Args:
        message: the costmap, with any origin and orientation.
        odom_from_frame: pose of its frame in odom.
        bounds: of the cells.
    """
    info = message.info
    odom_from_grid = odom_from_frame @ rigid_transform(info.origin.position, info.origin.orientation)
    centres = np.insert(bounds.centres(), 2, 0.0, axis=-1)
    at = odom_from_grid.inverse().apply(centres)[..., :2]
    col, row = np.moveaxis(np.floor(at / info.resolution).astype(np.intp), -1, 0)
    inside = (row >= 0) & (row < info.height) & (col >= 0) & (col < info.width)
    values = np.full(inside.shape, -1, np.int8)
    grid = np.asarray(message.data, np.int8).reshape(info.height, info.width)
    values[inside] = grid[row[inside], col[inside]]
    costs, known = decode_costs(values)
    return GroundTruth(costs, known, known & (costs >= LETHAL_COST))


def labelled_points(message: Any) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Points float64 [N, 3] (m, in the frame of the cloud) and class indices int64 [N] of a sensor_msgs/PointCloud2.

    Args:
        message: with fields x, y, z and one of label, class, class_id, semantic, of any types, in any order.

    Raises:
        PointCloudError: a field is missing, or sizes contradict each other.
    """
    names = {field.name for field in message.fields}
    label = next((name for name in _LABEL_FIELDS if name in names), _LABEL_FIELDS[0])
    *axes, labels = decode_fields(("x", "y", "z", label), *content_of(message))
    xyz = np.stack(axes, axis=-1).astype(np.float64)
    finite = np.isfinite(xyz).all(axis=1)
    return xyz[finite], labels[finite].astype(np.int64)


def ground_truth_from_points(
    xyz: NDArray[np.float64], labels: NDArray[np.int64], ground: float, bounds: GridBounds, matrix: CostMatrix
) -> GroundTruth:
    """The cost of a cell is the highest cost of its points; a cell without points is unknown.

    Args:
        xyz: float64 [N, 3] in odom, m.
        labels: int64 [N], class indices; points with other labels or ignored classes are skipped.
        ground: height of the ground of the robot in odom, m.
        bounds: of the cells.
        matrix: costs of the classes.
    """
    height = xyz[:, 2] - ground
    usable = (labels >= 0) & (labels < len(matrix.classes)) & (height < _CLEARANCE) & (height > -_MAX_DEPTH)
    usable[usable] &= ~matrix.ignore[labels[usable]]
    col, row = (np.floor(xyz[usable, :2] / bounds.resolution).astype(np.intp) - (bounds.first_col, bounds.first_row)).T
    inside = (row >= 0) & (row < bounds.rows) & (col >= 0) & (col < bounds.cols)
    row, col, kept = row[inside], col[inside], labels[usable][inside]
    costs = np.full((bounds.rows, bounds.cols), -1.0, np.float32)
    np.maximum.at(costs, (row, col), matrix.traverse[kept])
    obstacle = np.zeros(costs.shape, np.bool_)
    obstacle[row[matrix.standing[kept]], col[matrix.standing[kept]]] = True
    return GroundTruth(np.maximum(costs, np.float32(0)), costs >= 0, obstacle)
