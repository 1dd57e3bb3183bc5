"""A node's statistics and status on a manual clock."""

from __future__ import annotations

from seg_perception.ros.diagnostics.camera_input_state import CameraInputState
from seg_perception.ros.diagnostics.statistics import CameraStatistics, Refusal
from seg_perception.ros.diagnostics.status import NodeStatus, StaleCause, stale_cause, status_of
from seg_perception.ros.engine_supervisor import WORKING
from seg_perception.ros.parameters.conversion import read_node_settings

SETTINGS = read_node_settings({})
STALE_AFTER = SETTINGS.stale_after


CAMERA = CameraInputState(
    topic="/camera/image",
    info_topic="/camera/camera_info",
    publishers=1,
    last_image=None,
    last_info=100.0,
    reliability="best effort",
    problem="",
    fallback_reasons=(),
)


class FakeDrive:
    """A node with a manual clock, active from 100 s on."""

    def __init__(self, mode: str = "auto") -> None:
        self.settings = read_node_settings({"projection.mode": mode})
        self.now = 100.0
        self.statistics = CameraStatistics()
        self.statistics.activated(self.now)
        self.camera = CAMERA
        self.engine = WORKING

    def advance(self, seconds: float, rate: float = 16.0, reason: str | None = "", detail: str = "why.") -> None:
        """Receive images at a rate: each gives a result, or is dropped for a reason; with None it stays unprocessed."""
        for _ in range(round(seconds * rate)):
            self.now += 1 / rate
            self.statistics.received(self.now)
            if reason:
                self.statistics.dropped(reason, detail)
            elif reason is not None:
                self.statistics.result(self.now, {"total": 40.0})

    def add_results(self, projection: str, *refusals: Refusal, count: int = 1) -> None:
        """Publish results with one projection and these refusals."""
        for _ in range(count):
            self.statistics.projected(projection, refusals)
            self.advance(1 / 16)

    def cause(self) -> StaleCause | None:
        return stale_cause(self.statistics.snapshot(self.now), self.camera, STALE_AFTER)

    def status(self) -> NodeStatus:
        snapshot = self.statistics.snapshot(self.now)
        return status_of(snapshot, self.camera, self.engine, "urban on the CPU", "tf", self.settings)
