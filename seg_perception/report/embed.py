"""Images as data URLs: small, and lossless where the page reads their values."""

from __future__ import annotations

import base64
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from seg_perception.errors import RecordingError
from seg_perception.recordings.result_bag.result_frame import ResultFrame

# Wider images are reduced to every second (third, ...) pixel.
_MAX_WIDTH = 640
_CAMERA_QUALITY = 75
# OpenCV's WebP encoder is lossless from 101 on (imgcodecs, IMWRITE_WEBP_QUALITY).
_LOSSLESS = 101


def embed_frame(frame: ResultFrame) -> dict[str, Any]:
    """The images and poses of one frame for the page.

    Labels and costmap keep their values exactly. Confidence and cost are reduced to every second pixel: their noise
    hardly compresses, and they would take a third of the page.

    Returns:
        camera, labels, mostProbable, confidence, cost, costmap: data URLs, the last five greyscale with the value as
        brightness (costmap: OccupancyGrid value as a byte, row 0 on top); resolution (m), origin ([x, y] of the
        costmap in odom, m) and pose ([x, y, yaw] of the robot in odom, m and rad).

    Raises:
        RecordingError: the camera image is not a JPEG.
    """
    x, y, _ = frame.odom_from_base.translation.tolist()
    return {
        "camera": _camera(frame),
        "labels": exact(thin(frame.labels)),
        "mostProbable": exact(thin(frame.most_probable)),
        "confidence": exact(thin(frame.confidence, 2)),
        "cost": exact(thin(frame.expected_cost, 2)),
        "costmap": exact(frame.costmap.view(np.uint8)),
        "resolution": frame.resolution,
        "origin": list(frame.origin_xy),
        "pose": [x, y, frame.odom_from_base.rpy()[2]],
    }


def _camera(frame: ResultFrame) -> str:
    image = cv2.imdecode(np.frombuffer(frame.camera_jpeg, dtype=np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise RecordingError(
            f"the camera image at {frame.stamp_ns} ns in the result is not a JPEG; run the replay again."
        )
    return photo(np.asarray(image, dtype=np.uint8))


def photo(image_bgr: NDArray[np.uint8]) -> str:
    """uint8 [H, W, 3], BGR, as a data URL for viewing: lossy, and no wider than a page shows."""
    height, width = image_bgr.shape[:2]
    if width > _MAX_WIDTH:
        size = (_MAX_WIDTH, round(height * _MAX_WIDTH / width))
        image_bgr = np.asarray(cv2.resize(image_bgr, size, interpolation=cv2.INTER_AREA), np.uint8)
    return _data_url(image_bgr, _CAMERA_QUALITY)


def exact(values: NDArray[np.uint8]) -> str:
    """uint8 [H, W] or [H, W, 3] (BGR) as a data URL that keeps every value."""
    return _data_url(np.ascontiguousarray(values), _LOSSLESS)


def thin(values: NDArray[np.uint8], times: int = 1) -> NDArray[np.uint8]:
    """Every n-th pixel of [H, W, ...], so that it is no wider than a page shows; then every `times`-th of these."""
    step = times * -(-values.shape[1] // _MAX_WIDTH)
    return values[::step, ::step]


def _data_url(image: NDArray[np.uint8], quality: int) -> str:
    _, encoded = cv2.imencode(".webp", image, [cv2.IMWRITE_WEBP_QUALITY, quality])
    return "data:image/webp;base64," + base64.b64encode(encoded.tobytes()).decode("ascii")
