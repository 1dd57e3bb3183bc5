"""Decodes sensor_msgs/PointCloud2 to coordinates, for recordings and the ROS node."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seg_perception.errors import PointCloudError
from seg_perception.utils.short_text import shortened

# sensor_msgs/PointField's constants: INT8 is 1, FLOAT64 is 8.
_TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 8: "f8"}
_MAX_STEP = 2**31 - 1  # of a record in numpy
_AXES = ("x", "y", "z")


def points_of(message: Any) -> NDArray[np.float32]:
    """The coordinates of a sensor_msgs/PointCloud2, of a recording or of ROS; only field names matter.

    Returns:
        float32 [N, 3], as `decode_points` gives them.

    Raises:
        PointCloudError: see `decode_points`.
    """
    return decode_points(*content_of(message))


def content_of(message: Any) -> tuple[int, int, Iterable[Any], bool, int, int, Any]:
    """The arguments of `decode_points` from `height` on, from a sensor_msgs/PointCloud2 of a recording or of ROS."""
    layout = (message.height, message.width, message.fields, bool(message.is_bigendian))
    return *layout, message.point_step, message.row_step, message.data


def decode_points(
    height: int,
    width: int,
    fields: Iterable[Any],
    is_bigendian: bool,
    point_step: int,
    row_step: int,
    data: bytes | memoryview | NDArray[np.uint8],
) -> NDArray[np.float32]:
    """The coordinates of a sensor_msgs/PointCloud2 with any other fields, organised or not.

    Args:
        height: rows of points; 1 in a cloud that is not organised.
        width: points in a row.
        fields: objects with the `name`, `offset`, `datatype` and `count` of a sensor_msgs/PointField.
        is_bigendian: byte order of the values.
        point_step: bytes from one point to the next.
        row_step: bytes from one row to the next.
        data: row_step * height bytes; any flat buffer of bytes.

    Returns:
        float32 [height * width, 3], x, y, z in m, as they are: not finite where the sensor says so.

    Raises:
        PointCloudError: x, y or z is missing, or the sizes are inconsistent.
    """
    axes = decode_fields(_AXES, height, width, fields, is_bigendian, point_step, row_step, data)
    xyz = np.empty((height * width, 3), np.float32)
    with np.errstate(over="ignore"):  # a float64 beyond float32 becomes inf, which counts as not measured
        for column, values in enumerate(axes):
            xyz[:, column] = values
    return xyz


def decode_fields(
    names: Sequence[str],
    height: int,
    width: int,
    fields: Iterable[Any],
    is_bigendian: bool,
    point_step: int,
    row_step: int,
    data: bytes | memoryview | NDArray[np.uint8],
) -> list[NDArray[Any]]:
    """Some fields of a sensor_msgs/PointCloud2, each [height * width] in its own type.

    Args:
        names: of the fields.
        height: and all that follows as for `decode_points`.

    Raises:
        PointCloudError: a field is missing, or the sizes are inconsistent.
    """
    known = {field.name: field for field in fields}
    missing = [name for name in names if name not in known]
    if missing:
        listed = shortened(", ".join(known), 120) or "none"
        wanted = f"{', '.join(names[:-1])} and {names[-1]}"
        raise PointCloudError(f"a point cloud has no field {missing[0]} (its fields: {listed}); publish {wanted}.")
    formats = []
    for name in names:
        field = known[name]
        code = _TYPES.get(field.datatype)
        if code is None or field.count > 1:  # PCL writes 1; some drivers leave 0
            raise PointCloudError(
                f"field {name} of a point cloud has datatype {field.datatype} and count {field.count}; one number of a "
                "type that sensor_msgs/PointField names is needed."
            )
        if field.offset + np.dtype(code).itemsize > point_step:
            raise PointCloudError(
                f"field {name} of a point cloud ends at byte {field.offset + np.dtype(code).itemsize} of a point, but "
                f"its points take {point_step}; check its publisher."
            )
        formats.append((">" if is_bigendian else "<") + code)
    flat: NDArray[np.uint8] = np.frombuffer(data, dtype=np.uint8)
    if (
        height < 0
        or width < 0
        or point_step > _MAX_STEP
        or row_step < width * point_step
        or flat.size < row_step * height
    ):
        raise PointCloudError(
            f"a point cloud of {width}x{height} points of {point_step} bytes, with rows of {row_step}, cannot lie in "
            f"{flat.size} bytes; check its publisher."
        )
    offsets = [known[name].offset for name in names]
    layout = np.dtype({"names": list(names), "formats": formats, "offsets": offsets, "itemsize": point_step})
    rows = np.ndarray((height, width), layout, flat, strides=(row_step, point_step))
    return [rows[name].ravel() for name in names]
