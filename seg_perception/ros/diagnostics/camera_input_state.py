"""What is known about the topics of a camera, for diagnostics. It imports nothing of rclpy."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class CameraInputState:
    """State of a camera's subscriptions.

    Attributes:
        topic: of the images, resolved.
        info_topic: of the calibration, resolved.
        publishers: number of publishers of the images.
        last_image: time.monotonic() of the latest image; None before the first.
        last_info: time.monotonic() of the latest calibration; None before the first.
        reliability: of the current image subscription, "best effort" or "reliable".
        problem: one sentence on why no images arrive, and the fix; empty while they arrive, or if it is too early.
        fallback_reasons: for each topic of images, depth or points whose subscription left best effort, one sentence on
            why, and the fix.
    """

    topic: str
    info_topic: str
    publishers: int
    last_image: float | None
    last_info: float | None
    reliability: str
    problem: str
    fallback_reasons: tuple[str, ...]
