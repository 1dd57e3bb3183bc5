"""How the node is: what is missing when nothing comes out, and one verdict on it all. Decides, and knows no rclpy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Protocol

from seg_perception.projection import select
from seg_perception.ros.diagnostics.statistics import Figures
from seg_perception.ros.engine_supervisor import EngineState
from seg_perception.ros.parameters.node_settings import NodeSettings

_MANY_DROPS = 0.1  # of the latest images
_FEW_IMAGES = 20  # too few to speak of a share
# What a robot without such a sensor, or with one that does not see the ground, has all the time.
_EXPECTED = {select.NO_POINTS, select.NO_DEPTH, select.POINTS_NO_GROUND, select.DEPTH_NO_GROUND}
_SLOW = 0.8  # of the rate that could be reached


class Level(IntEnum):
    """The levels of diagnostic_msgs/DiagnosticStatus that the node uses."""

    OK = 0
    WARN = 1
    ERROR = 2


class CameraView(Protocol):
    """What must be known about the camera's topics; `camera_input.CameraState` says it."""

    @property
    def topic(self) -> str:
        """Of the images."""

    @property
    def info_topic(self) -> str:
        """Of the calibration."""

    @property
    def publishers(self) -> int:
        """Of the images."""

    @property
    def last_info(self) -> float | None:
        """When the newest calibration came; None before the first."""

    @property
    def reliability(self) -> str:
        """Of the subscription in use: "best effort" or "reliable"."""

    @property
    def problem(self) -> str:
        """Why images do not arrive, and the mend; empty while they do."""

    @property
    def shortfalls(self) -> tuple[str, ...]:
        """What best effort did not bring, and the mend; one sentence per topic."""


@dataclass(frozen=True)
class Cause:
    """Why nothing comes out.

    Attributes:
        link: which link of the chain from camera to costmap is broken. Two causes with the same link are equal.
        sentence: what is wrong and what to do; its numbers grow while one waits.
    """

    link: str
    sentence: str = field(compare=False)

    def __str__(self) -> str:
        return self.sentence


@dataclass(frozen=True)
class Status:
    """One verdict.

    Attributes:
        level: how bad it is.
        message: one sentence.
        values: name → figure, for whoever looks closer.
    """

    level: Level
    message: str
    values: Mapping[str, str]


def stale_cause(figures: Figures, camera: CameraView, stale_after: float) -> Cause | None:
    """The first broken link of the chain from camera to costmap; None as long as results come.

    Args:
        figures: as they are now.
        camera: its topics.
        stale_after: time without a result, s, that is still all right.
    """
    if figures.silent < stale_after:
        return None
    if figures.quiet >= stale_after:
        return _no_images(figures, camera)
    # The engine got its image some time after the last result, so it has been busy for less than `silent`.
    if figures.busy is not None and figures.busy > stale_after / 2:
        return Cause("engine silent", f"the engine has been busy with one image for {figures.busy:.1f} s.")
    if camera.last_info is None:
        return Cause(
            "no camera_info",
            f"images come on {camera.topic}, but no camera_info on {camera.info_topic}; check the camera driver and "
            "the remapping of 'camera_info'.",
        )
    drops = figures.drops_since_result()
    if not drops:
        return Cause("no answer", f"images come on {camera.topic}, but for {figures.silent:.1f} s none was finished.")
    reason = Counter(drops).most_common(1)[0][0]
    return Cause(reason, f"no image can be used: {figures.details[reason]}")


def status_of(
    figures: Figures,
    camera: CameraView | None,
    engine: EngineState,
    engine_name: str,
    poses: str,
    settings: NodeSettings,
) -> Status:
    """One verdict on the node.

    Args:
        figures: as they are now.
        camera: its topics; None while the node is not active.
        engine: the state of the network's keeper.
        engine_name: what the network describes itself as.
        poses: where poses come from, in words.
        settings: of the node.
    """
    values = _values(figures, engine, engine_name, poses, settings)
    if camera is None:
        return Status(Level.OK, "not active.", values)
    values = {"image topic": camera.topic, "image QoS": camera.reliability, **values}
    cause = stale_cause(figures, camera, settings.stale_after)
    if cause is not None:
        return Status(Level.ERROR, cause.sentence, values)
    if engine.given_up:
        return Status(Level.ERROR, engine.sentence(figures.now), values)
    warnings = _warnings(figures, camera, engine, settings)
    if warnings:
        return Status(Level.WARN, " ".join(warnings), values)
    rates = f"{figures.image_rate:.1f} images/s in, {figures.result_rate:.1f} results/s out"
    projected = f", projected by {_latest_projection(figures)}" if figures.recent_projections else ""
    return Status(Level.OK, f"{rates}{projected}.", values)


def _no_images(figures: Figures, camera: CameraView) -> Cause:
    if camera.publishers == 0:
        return Cause(
            "no publisher",
            f"nobody publishes {camera.topic}; start the camera driver, or remap it to the driver's topic.",
        )
    problem = camera.problem or "check whether the camera itself delivers images."
    return Cause("no images", f"{camera.topic} has a publisher, but for {figures.quiet:.1f} s no image came; {problem}")


def _latest_projection(figures: Figures) -> str:
    projection, reasons = figures.recent_projections[-1]
    return f"{projection} ({', '.join(reasons)})" if reasons else projection


def _projection_warnings(figures: Figures, settings: NodeSettings) -> list[str]:
    """What falls short of the projection that was asked for; with "auto", of a sensor that delivers."""
    mode, recent = settings.pipeline.projection.mode, figures.recent_projections
    refused = Counter(
        reason for _, reasons in recent for reason in reasons if mode != "auto" or reason not in _EXPECTED
    )
    if len(recent) < _FEW_IMAGES or not refused:
        return []
    reason, count = refused.most_common(1)[0]
    if count < _MANY_DROPS * len(recent):
        return []
    return [
        f"of the latest {len(recent)} results, {count} could not be projected as projection.mode '{mode}' wants: "
        f"{figures.details[reason]}"
    ]


def _warnings(figures: Figures, camera: CameraView, engine: EngineState, settings: NodeSettings) -> list[str]:
    warnings = []
    if engine.failures:
        warnings.append(engine.sentence(figures.now))
    if camera.problem:
        warnings.append(camera.problem)
    warnings += camera.shortfalls
    warnings += _projection_warnings(figures, settings)
    lost = [reason for reason in figures.recent if reason]
    possible = min(figures.image_rate, settings.costmap_rate)
    if len(figures.recent) < _FEW_IMAGES:
        return warnings
    if len(lost) >= _MANY_DROPS * len(figures.recent):
        reason, count = Counter(lost).most_common(1)[0]
        warnings.append(
            f"{len(lost)} of the latest {len(figures.recent)} images were dropped, {count} of them '{reason}': "
            f"{figures.details[reason]}"
        )
    elif not lost and figures.result_rate < _SLOW * possible:
        warnings.append(
            f"{figures.result_rate:.1f} results/s are fewer than the {possible:.1f} that camera and costmap_rate "
            "allow; free the processor, or take a smaller network."
        )
    return warnings


def _values(
    figures: Figures, engine: EngineState, engine_name: str, poses: str, settings: NodeSettings
) -> dict[str, str]:
    values = {
        "engine": engine_name,
        "engine failures in a row": str(engine.failures),
        "cost matrix": str(settings.cost_matrix),
        "poses": poses,
        "images": str(figures.images),
        "images per second": f"{figures.image_rate:.1f}",
        "images replaced by newer ones": str(figures.replaced),
        "results": str(figures.results),
        "results per second": f"{figures.result_rate:.1f}",
    }
    values |= {f"dropped: {reason}": str(count) for reason, count in sorted(figures.drops.items())}
    if figures.recent_projections:
        values["projection"] = _latest_projection(figures)
    if figures.horizon:
        values["horizon"] = figures.horizon
    values |= {f"projected by {name}": str(count) for name, count in sorted(figures.projections.items())}
    values |= {f"refused: {reason}": str(count) for reason, count in sorted(figures.refusals.items())}
    for stage, summary in figures.latency().items():
        values |= {f"{stage} {name}, ms": f"{milliseconds:.1f}" for name, milliseconds in summary.items()}
    return values
