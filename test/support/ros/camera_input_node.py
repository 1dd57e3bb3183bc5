"""A node with a camera input, for tests with a manual clock over real DDS."""

from __future__ import annotations

import array
import time
from typing import Any

from sensor_msgs.msg import CameraInfo, Image
from support.ros.topic_probe import ProbeNode

from seg_perception.ros.inputs.camera_input import CameraInput
from seg_perception.ros.reliability import Reliability


class ManualClock:
    """time.monotonic() for the code under test; a test advances it instead of waiting."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead


class CameraInputNode(ProbeNode):
    """A node with a CameraInput, and the images it received."""

    def __init__(self, clock: ManualClock, arguments: tuple[str, ...]) -> None:
        super().__init__(arguments)
        self.clock = clock
        self._inputs: list[CameraInput] = []
        self.images: list[tuple[Any, float]] = []

    def subscribe_camera(self, transport: str = "raw", reliability: Reliability = "auto") -> CameraInput:
        created = CameraInput(
            self.node, transport, reliability, lambda *image: self.images.append(image), self.warnings.append
        )
        self._inputs.append(created)
        return created

    def close(self) -> None:
        for each in self._inputs:
            each.close()
        super().close()


def info(width: int = 64, height: int = 48, focal: float = 50.0) -> CameraInfo:
    k = [focal, 0.0, 31.5, 0.0, focal, 23.5, 0.0, 0.0, 1.0]
    return CameraInfo(width=width, height=height, distortion_model="plumb_bob", d=[0.0] * 5, k=k)


def image(first: int = 0) -> Image:
    return Image(width=4, height=2, encoding="mono8", step=4, data=array.array("B", range(first, first + 8)))


def publish_infos(perception: CameraInputNode, publisher: Any, content: CameraInfo, count: int = 3) -> None:
    for _ in range(count):
        publisher.publish(content)
        perception.spin(0.03)


def check_after(perception: CameraInputNode, camera: CameraInput, seconds: float) -> None:
    perception.clock.ahead += seconds
    camera.check(perception.clock())
