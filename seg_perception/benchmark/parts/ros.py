"""Camera message in, costmap message out, over real DDS on this machine."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import cv2
import numpy as np

from seg_perception.benchmark.setup import Progress, Setup
from seg_perception.benchmark.timing import figures
from seg_perception.simulation.drive import ROBOTS

IMAGES = ((640, 480), (1280, 720), (1920, 1080))
RATES = (10, 30, 60)
TRANSPORTS = ("raw", "compressed")
QUICK = ((1280, 720, "raw", 30), (1920, 1080, "compressed", 30))
SECONDS, QUICK_SECONDS = 4.0, 3.0
NETWORK_S = 0.010
_WARM_UP_S = 1.0


def ros_part(setup: Setup, progress: Progress) -> list[dict[str, Any]]:
    """Show images of several sizes at several rates to the node.

    Something that takes 10 ms and no work stands in for the network, as one on an accelerator does: what the
    processor then does is all beside the network.

    Args:
        setup: networks and frames.
        progress: called with cases done and in all.

    Returns:
        One row per case: width, height, transport ("raw" or "compressed"), rate (Hz, asked for), sent_hz, images,
        received (share of them that became a costmap), latency_ms (`timing.figures`, from the image's stamp to its
        costmap published; None where none was), stages_ms (medians), cores (that the node kept busy) and rss_mb. None
        at all where ROS 2 is not installed.

    Raises:
        SegPerceptionError: network or matrix cannot be used, or a process failed.
    """
    if find_spec("rclpy") is None:
        return []
    from seg_perception.ros.tools.benchmark import measure

    request = setup.request
    every = [(*image, transport, rate) for transport in TRANSPORTS for image in IMAGES for rate in RATES]
    wanted = QUICK if request.quick else every
    seconds = QUICK_SECONDS if request.quick else SECONDS
    rows: list[dict[str, Any]] = []
    for transport in TRANSPORTS:
        cases = [
            camera_case(setup, width, height, transport, rate, round(_WARM_UP_S * rate), round(seconds * rate))
            for width, height, by, rate in wanted
            if by == transport
        ]
        if not cases:
            continue
        shown = measure(cases, request.model, request.matrix, ROBOTS["car"].mount, NETWORK_S, request.folder)
        rows += [_row(case, came) for case, came in zip(cases, shown, strict=True)]
        progress(len(rows), len(wanted))
    return rows


def _row(case: dict[str, Any], came: dict[str, Any]) -> dict[str, Any]:
    return {
        **{name: case[name] for name in ("width", "height", "transport", "rate")},
        "sent_hz": round(came["rate_hz"], 2),
        "images": came["sent"],
        "received": came["received"] / came["sent"],
        "latency_ms": figures(np.array(came["latencies_ms"])) if came["latencies_ms"] else None,
        "stages_ms": came["stages_ms"],
        "cores": round(came["cores"], 3),
        "rss_mb": came["rss_mb"],
    }


def camera_case(
    setup: Setup, width: int, height: int, transport: str, rate: int, warm_up: int, count: int
) -> dict[str, Any]:
    """A case for `ros.bench.measure`, which shows the first image of the bench's drive.

    Args:
        setup: frames.
        width, height: of the camera's image, pixels.
        transport: "raw" or "compressed".
        rate: images per second.
        warm_up: images that do not count.
        count: images that do.
    """
    path = setup.request.folder / f"{width}x{height}.png"
    if not path.exists():
        own = setup.own_size
        image = setup.footage(own.width, own.height).frames[0].image
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
