"""What happens to image messages, from their mailboxes to the topics; runs in the worker's thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from seg_perception.errors import GeometryError, ModelError, ProjectionError
from seg_perception.geometry.stamped_transform import stamp_of
from seg_perception.pipeline.pipeline import Prepared, Result
from seg_perception.risk.cost_matrix import CostMatrix
from seg_perception.ros.diagnostics.stamps import stamp_problem
from seg_perception.ros.engine_supervisor import EngineFailedError
from seg_perception.ros.inputs.frame_input import Arrival, DroppedError, FrameInput, Laps
from seg_perception.ros.inputs.range_input import Ranging
from seg_perception.ros.parameters.node_settings import NodeSettings
from seg_perception.ros.resources import Loaded, LoadedCamera
from seg_perception.sensor_data.frame import Frame

_SET_BACK_NS = 10**9  # images that step back by more than this, and are not too old, come from a time set back
_FASTEST = 60.0  # m/s; an odometry that moves faster has been reset, or is that of another robot
_ODOMETRY_NOISE = 1.0  # m


@dataclass(eq=False)
class _Watched:
    """One camera, and what it gave last."""

    camera: LoadedCamera
    input: FrameInput
    stamp_ns: int = 0
    result: Result | None = None


@dataclass(frozen=True, eq=False)
class _Begun:
    """An image that is ready for the network."""

    watched: _Watched
    arrival: Arrival
    laps: Laps
    ranging: Ranging
    prepared: Prepared


class Perceiver:
    """Turns arrivals into published results; every one that gives none is counted with its reason."""

    def __init__(
        self, loaded: Loaded, inputs: dict[str, FrameInput], now_ns: Callable[[], int], say: Callable[[str], None]
    ) -> None:
        """Bring the parts together.

        Args:
            loaded: pipeline, which only the worker's thread may use from here on, publishers, and health.
            inputs: of each camera.
            now_ns: the node's clock.
            say: logs a warning.
        """
        self._pipeline = loaded.pipeline
        self._settings = loaded.settings
        self._costmap = loaded.costmap
        self._watched = {name: _Watched(camera, inputs[name]) for name, camera in loaded.cameras.items()}
        self._now_ns = now_ns
        self._say = say
        self._orders = threading.Lock()
        self._next: tuple[CostMatrix, NodeSettings] | None = None
        self._reset_reason = ""
        self._newest: Frame | None = None

    def use(self, matrix: CostMatrix, settings: NodeSettings) -> None:
        """From the next frame on, work with these; callable from any thread."""
        with self._orders:
            self._next = matrix, settings

    def reset(self, reason: str) -> None:
        """Before the next frame, forget all that was seen; callable from any thread."""
        with self._orders:
            self._reset_reason = reason

    def may_begin(self, name: str, arrival: Arrival) -> bool:
        """Whether an image need not wait any longer for calibration and poses; raises nothing.

        The only camera holds up nobody, and waits while it is worked on.
        """
        with self._orders:
            _, settings = self._next or (None, self._settings)
        if len(self._watched) == 1 or time.monotonic() - arrival.received >= settings.transform_timeout:
            return True
        try:
            return self._watched[name].input.is_placed(arrival)
        except Exception:  # whatever it is, working on it meets it again, and counts it
            return True

    def process(self, arrivals: Sequence[tuple[str, Arrival]]) -> None:
        """Work on images of several cameras with the same network together; raises nothing.

        Args:
            arrivals: (camera, image) of each.
        """
        begun: list[_Begun] = []
        for name, arrival in arrivals:
            watched = self._watched[name]
            with self._counting(watched):
                self._follow_orders()
                begun.append(self._begin(watched, arrival))
        if not begun:
            return
        results: list[Result] = []
        with self._counting(*(each.watched for each in begun)):
            results = self._run(begun)
        for each, result in zip(begun, results, strict=False):
            with self._counting(each.watched):
                self._publish(each, result)

    @contextmanager
    def _counting(self, *watched: _Watched) -> Iterator[None]:
        """Count what is lost within, with its reason."""
        try:
            yield
        except DroppedError as drop:
            for each in watched:
                each.camera.health.dropped(drop.reason, drop.detail)
        except Exception as error:  # whatever it is, the next image has its chance
            for each in watched:
                each.camera.health.dropped("unexpected error", f"{type(error).__name__}: {error}")
            self._say(f"one image was lost to an unexpected error: {type(error).__name__}: {error}")

    def _follow_orders(self) -> None:
        with self._orders:
            change, self._next = self._next, None
            reason, self._reset_reason = self._reset_reason, ""
        if change is not None:
            matrix, self._settings = change
            self._pipeline.use(matrix, self._settings.pipeline)
        if reason:
            self._forget(reason)

    def _forget(self, reason: str) -> None:
        self._say(f"{reason}: the grid starts anew.")
        self._pipeline.forget()
        self._newest = None
        for watched in self._watched.values():
            watched.stamp_ns = 0

    def _begin(self, watched: _Watched, arrival: Arrival) -> _Begun:
        laps = Laps(arrival)
        self._check_stamp(watched, stamp_of(arrival.message.header))
        # Of several cameras, images have waited before they could begin.
        timeout = self._settings.transform_timeout if len(self._watched) == 1 else 0.0
        frame, ranging = watched.input.frame_of(arrival, laps, self._settings, timeout)
        self._check_motion(frame)
        try:
            prepared = self._pipeline.prepare(frame, watched.camera.engine)
        except ProjectionError as error:
            refusal = ranging.explain(error.reason)
            raise DroppedError(refusal.reason, refusal.detail) from None
        except GeometryError as error:
            raise DroppedError("no ground in view", str(error)) from None
        return _Begun(watched, arrival, laps, ranging, prepared)

    def _check_stamp(self, watched: _Watched, stamp_ns: int) -> None:
        problem = stamp_problem(stamp_ns, self._now_ns(), self._settings.max_image_age, self._settings.max_image_lead)
        if problem is not None:
            raise DroppedError(*problem)
        back = (watched.stamp_ns - stamp_ns) / 1e9
        if back * 1e9 > _SET_BACK_NS:
            self._forget(f"image stamps went back by {back:.3g} s")
        elif back >= 0:
            raise DroppedError("out of order", f"its stamp lies {back:.3g} s before the last one's.")
        newest = self._newest
        if newest is not None and stamp_ns < newest.stamp_ns and not self._pipeline.grid.is_late(stamp_ns):
            raise DroppedError(
                "far behind another camera",
                f"its stamp lies {(newest.stamp_ns - stamp_ns) / 1e9:.3g} s before that of the latest image of "
                f"'{newest.frame_id}'; let the cameras have the same clock, or this one less delay.",
            )

    def _check_motion(self, frame: Frame) -> None:
        """A grid in odom is good only as long as odom is one and the same place."""
        if self._newest is None:
            return
        moved = float(np.linalg.norm(frame.odom_from_base.translation - self._newest.odom_from_base.translation))
        if moved > _ODOMETRY_NOISE + _FASTEST * abs(frame.stamp_ns - self._newest.stamp_ns) / 1e9:
            self._forget(f"the robot jumped {moved:.3g} m in odom")

    def _run(self, begun: Sequence[_Begun]) -> list[Result]:
        prepared = [each.prepared for each in begun]
        healths = [watched.camera.health for watched in self._watched.values()]
        for health in healths:  # whoever waits for the network waits for this run
            health.engine_began(time.monotonic())
        try:
            results = self._pipeline.finish(prepared, self._blind(begun), self._settings.stale_after)
        except EngineFailedError as error:
            raise DroppedError("engine failed", str(error)) from None
        except ModelError as error:
            raise DroppedError("no answer of the network", str(error)) from None
        finally:
            for health in healths:
                health.engine_ended(time.monotonic())
        for each, result in zip(begun, results, strict=True):
            each.watched.stamp_ns, each.watched.result = result.frame.stamp_ns, result
            if self._newest is None or result.frame.stamp_ns > self._newest.stamp_ns:
                self._newest = result.frame
        return results

    def _blind(self, begun: Sequence[_Begun]) -> list[Result]:
        """The latest results of the cameras that have given none for too long."""
        now, at_work = time.monotonic(), [each.watched for each in begun]
        return [
            watched.result
            for watched in self._watched.values()
            if watched.result is not None
            and watched not in at_work
            and watched.camera.health.silent(now) >= self._settings.stale_after
        ]

    def _publish(self, begun: _Begun, result: Result) -> None:
        camera, arrival, laps, stamp_ns = begun.watched.camera, begun.arrival, begun.laps, result.frame.stamp_ns
        laps.add(result.timings_ms)
        if time.monotonic() - arrival.received > self._settings.stale_after:
            raise DroppedError(
                "took too long", f"an image took more than stale_after, {self._settings.stale_after:g} s."
            )
        self._costmap.publish(result, self._settings, camera.settings.name)
        size = result.frame.camera.width, result.frame.camera.height
        camera.outputs.publish(arrival.message.header, size, result, self._settings)
        laps.lap("publish")
        milliseconds = laps.until(self._now_ns(), stamp_ns)
        refusals = [begun.ranging.explain(reason) for reason in result.refused]
        camera.health.projected(result.projection, refusals, result.horizon.in_words() if result.horizon else "")
        camera.health.result(time.monotonic(), milliseconds)
        camera.outputs.publish_latency(stamp_ns, milliseconds)
