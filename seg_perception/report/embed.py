"""Pictures of one frame as data URLs: small, and exact where the page reads values out of them."""

from __future__ import annotations

import base64
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from seg_perception.bags.result_frame import ResultFrame
from seg_perception.errors import RecordingError

# Pictures wider than this are thinned to every second (third, ...) pixel.
_MAX_WIDTH = 640
_CAMERA_QUALITY = 75
# OpenCV's WebP encoder is lossless from 101 on (imgcodecs, IMWRITE_WEBP_QUALITY).
_LOSSLESS = 101


def embed_frame(frame: ResultFrame) -> dict[str, Any]:
    """What the page needs to show one frame.

    Labels and costmap keep their values exactly. Confidence and cost, whose noise hardly compresses, are thinned to
    every second pixel: a third of the page's size would be theirs otherwise.

    Returns:
        camera, labels, mostProbable, confidence, cost, costmap: data URLs, the last five greyscale with the value as
        brightness (costmap: OccupancyGrid value as a byte, row 0 on top); resolution (m), origin ([x, y] of the
        costmap in odom, m) and pose ([x, y, yaw] of the robot in odom, m and rad).

    Raises:
        RecordingError: the camera image is no JPEG.
    """
    step = -(-frame.labels.shape[1] // _MAX_WIDTH)
    x, y, _ = frame.odom_from_base.translation.tolist()
    return {
        "camera": _camera(frame),
        "labels": _exact(frame.labels[::step, ::step]),
        "mostProbable": _exact(frame.most_probable[::step, ::step]),
        "confidence": _exact(frame.confidence[:: 2 * step, :: 2 * step]),
        "cost": _exact(frame.expected_cost[:: 2 * step, :: 2 * step]),
        "costmap": _exact(frame.costmap.view(np.uint8)),
        "resolution": frame.resolution,
        "origin": list(frame.origin_xy),
        "pose": [x, y, frame.odom_from_base.rpy()[2]],
    }


def _camera(frame: ResultFrame) -> str:
    image = cv2.imdecode(np.frombuffer(frame.camera_jpeg, dtype=np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise RecordingError(f"the camera image at {frame.stamp_ns} ns in the result is no JPEG; run the replay again.")
    height, width = image.shape[:2]
    if width > _MAX_WIDTH:
        image = cv2.resize(image, (_MAX_WIDTH, round(height * _MAX_WIDTH / width)), interpolation=cv2.INTER_AREA)
    return _data_url(np.asarray(image, dtype=np.uint8), _CAMERA_QUALITY)


def _exact(values: NDArray[np.uint8]) -> str:
    return _data_url(np.ascontiguousarray(values), _LOSSLESS)


def _data_url(image: NDArray[np.uint8], quality: int) -> str:
    _, encoded = cv2.imencode(".webp", image, [cv2.IMWRITE_WEBP_QUALITY, quality])
    return "data:image/webp;base64," + base64.b64encode(encoded.tobytes()).decode("ascii")
