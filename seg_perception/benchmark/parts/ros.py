"""Camera message in, costmap message out, over real DDS on this machine."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import cv2
import numpy as np

from seg_perception.benchmark.setup import Progress, Setup
from seg_perception.benchmark.timing import percentiles
from seg_perception.simulation.drive import ROBOTS

IMAGES = ((640, 480), (1280, 720), (1920, 1080))
RATES = (10, 30, 60)
TRANSPORTS = ("raw", "compressed")
QUICK = ((1280, 720, "raw", 30), (1920, 1080, "compressed", 30))
SECONDS, QUICK_SECONDS = 4.0, 3.0
NETWORK_S = 0.010
_WARM_UP_S = 1.0


def measure_ros(setup: Setup, progress: Progress) -> list[dict[str, Any]]:
    """Send images of several sizes at several rates to the node.

    A fake engine, which takes 10 ms but no CPU, replaces the network, as one on an accelerator would: all CPU time is
    spent outside the network.

    Args:
        setup: networks and frames.
        progress: called with cases done and in all.

    Returns:
        One row per case: width, height, transport ("raw" or "compressed"), rate (Hz, requested), sent_hz, images,
        received (share of them that became a costmap), latency_ms (`timing.percentiles`, from the image's stamp to its
        published costmap; None where none was), stages_ms (medians), cores (CPU time of the node per second) and
        rss_mb. No rows where ROS 2 is not installed.

    Raises:
        SegPerceptionError: network or matrix cannot be used, or a process failed.
    """
    if find_spec("rclpy") is None:
        return []
    from seg_perception.ros.tools.benchmark import measure

    request = setup.request
    all_cases = [(*image, transport, rate) for transport in TRANSPORTS for image in IMAGES for rate in RATES]
    selected = QUICK if request.quick else all_cases
    seconds = QUICK_SECONDS if request.quick else SECONDS
    rows: list[dict[str, Any]] = []
    for transport in TRANSPORTS:
        cases = [
            camera_case(setup, width, height, transport, rate, round(_WARM_UP_S * rate), round(seconds * rate))
            for width, height, by, rate in selected
            if by == transport
        ]
        if not cases:
            continue
        received = measure(cases, request.model, request.matrix, ROBOTS["car"].mount, NETWORK_S, request.folder)
        rows += [_row(case, measured) for case, measured in zip(cases, received, strict=True)]
        progress(len(rows), len(selected))
    return rows


def _row(case: dict[str, Any], measured: dict[str, Any]) -> dict[str, Any]:
    return {
        **{name: case[name] for name in ("width", "height", "transport", "rate")},
        "sent_hz": round(measured["rate_hz"], 2),
        "images": measured["sent"],
        "received": measured["received"] / measured["sent"],
        "latency_ms": percentiles(np.array(measured["latencies_ms"])) if measured["latencies_ms"] else None,
        "stages_ms": measured["stages_ms"],
        "cores": round(measured["cores"], 3),
        "rss_mb": measured["rss_mb"],
    }


def camera_case(
    setup: Setup, width: int, height: int, transport: str, rate: int, warm_up: int, count: int
) -> dict[str, Any]:
    """A case for `ros.tools.benchmark.measure`, which sends the first sample frame.

    Args:
        setup: frames.
        width, height: of the camera's image, pixels.
        transport: "raw" or "compressed".
        rate: images per second.
        warm_up: number of images that do not count.
        count: number of images that count.
    """
    path = setup.request.folder / f"{width}x{height}.png"
    if not path.exists():
        own = setup.own_size
        image = setup.sample_frames(own.width, own.height).frames[0].image
        cv2.imwrite(str(path), cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC))
    return {
        "width": width,
        "height": height,
        "transport": transport,
        "rate": rate,
        "image": str(path),
        "warm_up": warm_up,
        "count": count,
    }
