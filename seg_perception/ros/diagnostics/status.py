"""Status of the node for one camera: its level, one sentence and values. It imports nothing of rclpy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from seg_perception.projection import select
from seg_perception.ros.diagnostics.camera_input_state import CameraInputState
from seg_perception.ros.diagnostics.statistics import StatisticsSnapshot
from seg_perception.ros.engine_supervisor import EngineState
from seg_perception.ros.parameters.node_settings import NodeSettings

_MANY_DROPS = 0.1  # share of the latest images
_FEW_IMAGES = 20  # too few for a share
# Normal for a robot without such a sensor, or with one that does not see the ground.
_EXPECTED = {select.NO_POINTS, select.NO_DEPTH, select.POINTS_NO_GROUND, select.DEPTH_NO_GROUND}
_SLOW = 0.8  # share of the possible rate


class StatusLevel(IntEnum):
    """The levels of diagnostic_msgs/DiagnosticStatus that the node uses."""

    OK = 0
    WARN = 1
    ERROR = 2


@dataclass(frozen=True)
class StaleCause:
    """Why there are no results.

    Attributes:
        stage: the stage between camera and costmap that fails. Two causes with the same stage are equal.
        sentence: what is wrong and how to fix it; its numbers grow with time.
    """

    stage: str
    sentence: str = field(compare=False)

    def __str__(self) -> str:
        return self.sentence


@dataclass(frozen=True)
class NodeStatus:
    """Status of the node for one camera.

    Attributes:
        level: of the status.
        message: one sentence.
        values: name → value, for the details.
    """

    level: StatusLevel
    message: str
    values: Mapping[str, str]


def stale_cause(snapshot: StatisticsSnapshot, camera: CameraInputState, stale_after: float) -> StaleCause | None:
    """The first stage between camera and costmap that fails; None as long as results arrive.

    Args:
        snapshot: the camera's statistics now.
        camera: its subscriptions.
        stale_after: longest time without a result, s.
    """
    if snapshot.seconds_without_result < stale_after:
        return None
    if snapshot.seconds_without_image >= stale_after:
        return _no_images(snapshot, camera)
    # The engine started on its image after the last result, so it has been busy for less than the time without one.
    if snapshot.engine_busy is not None and snapshot.engine_busy > stale_after / 2:
        return StaleCause("engine busy", f"the engine has been busy with one image for {snapshot.engine_busy:.1f} s.")
    if camera.last_info is None:
        return StaleCause(
            "no camera_info",
            f"images arrive on {camera.topic}, but no camera_info on {camera.info_topic}; check the camera driver and "
            "the remapping of 'camera_info'.",
        )
    drops = snapshot.drops_since_result()
    if not drops:
        return StaleCause(
            "no result",
            f"images arrive on {camera.topic}, but for {snapshot.seconds_without_result:.1f} s no result was finished.",
        )
    reason = Counter(drops).most_common(1)[0][0]
    return StaleCause(reason, f"all images are dropped: {snapshot.details[reason]}")


def status_of(
    snapshot: StatisticsSnapshot,
    camera: CameraInputState | None,
    engine: EngineState,
    engine_name: str,
    poses: str,
    settings: NodeSettings,
) -> NodeStatus:
    """The status of the node for one camera.

    Args:
        snapshot: the camera's statistics now.
        camera: its subscriptions; None while the node is not active.
        engine: state of the camera's engine.
        engine_name: the engine's description.
        poses: source of the poses, in words.
        settings: of the node.
    """
    values = _values(snapshot, engine, engine_name, poses, settings)
    if camera is None:
        return NodeStatus(StatusLevel.OK, "not active.", values)
    values = {"image topic": camera.topic, "image QoS": camera.reliability, **values}
    cause = stale_cause(snapshot, camera, settings.stale_after)
    if cause is not None:
        return NodeStatus(StatusLevel.ERROR, cause.sentence, values)
    if engine.given_up:
        return NodeStatus(StatusLevel.ERROR, engine.sentence(snapshot.now), values)
    warnings = _warnings(snapshot, camera, engine, settings)
    if warnings:
        return NodeStatus(StatusLevel.WARN, " ".join(warnings), values)
    rates = f"{snapshot.image_rate:.1f} images/s in, {snapshot.result_rate:.1f} results/s out"
    projected = f", projected by {_latest_projection(snapshot)}" if snapshot.recent_projections else ""
    return NodeStatus(StatusLevel.OK, f"{rates}{projected}.", values)


def _no_images(snapshot: StatisticsSnapshot, camera: CameraInputState) -> StaleCause:
    if camera.publishers == 0:
        return StaleCause(
            "no publisher",
            f"no node publishes {camera.topic}; start the camera driver, or remap it to the driver's topic.",
        )
    problem = camera.problem or "check whether the camera itself delivers images."
    return StaleCause(
        "no images",
        f"{camera.topic} has a publisher, but for {snapshot.seconds_without_image:.1f} s no image arrived; {problem}",
    )


def _latest_projection(snapshot: StatisticsSnapshot) -> str:
    projection, reasons = snapshot.recent_projections[-1]
    return f"{projection} ({', '.join(reasons)})" if reasons else projection


def _projection_warnings(snapshot: StatisticsSnapshot, settings: NodeSettings) -> list[str]:
    """Results without the requested projection; with "auto", only those whose sensor delivers."""
    mode, recent = settings.pipeline.projection.mode, snapshot.recent_projections
    refused = Counter(
        reason for _, reasons in recent for reason in reasons if mode != "auto" or reason not in _EXPECTED
    )
    if len(recent) < _FEW_IMAGES or not refused:
        return []
    reason, count = refused.most_common(1)[0]
    if count < _MANY_DROPS * len(recent):
        return []
    return [
        f"of the latest {len(recent)} results, {count} could not be projected as projection.mode '{mode}' requires: "
        f"{snapshot.details[reason]}"
    ]


def _warnings(
    snapshot: StatisticsSnapshot, camera: CameraInputState, engine: EngineState, settings: NodeSettings
) -> list[str]:
    warnings = []
    if engine.failures:
        warnings.append(engine.sentence(snapshot.now))
    if camera.problem:
        warnings.append(camera.problem)
    warnings += camera.fallback_reasons
    warnings += _projection_warnings(snapshot, settings)
    dropped = [reason for reason in snapshot.recent if reason]
    possible = min(snapshot.image_rate, settings.costmap_rate)
    if len(snapshot.recent) < _FEW_IMAGES:
        return warnings
    if len(dropped) >= _MANY_DROPS * len(snapshot.recent):
        reason, count = Counter(dropped).most_common(1)[0]
        warnings.append(
            f"{len(dropped)} of the latest {len(snapshot.recent)} images were dropped, {count} of them '{reason}': "
            f"{snapshot.details[reason]}"
        )
    elif not dropped and snapshot.result_rate < _SLOW * possible:
        warnings.append(
            f"{snapshot.result_rate:.1f} results/s are fewer than the {possible:.1f} that camera and costmap_rate "
            "allow; reduce the load of the processor, or use a smaller network."
        )
    return warnings


def _values(
    snapshot: StatisticsSnapshot, engine: EngineState, engine_name: str, poses: str, settings: NodeSettings
) -> dict[str, str]:
    values = {
        "engine": engine_name,
        "engine failures in a row": str(engine.failures),
        "cost matrix": str(settings.cost_matrix),
        "poses": poses,
        "images": str(snapshot.images),
        "images per second": f"{snapshot.image_rate:.1f}",
        "images replaced by newer ones": str(snapshot.replaced),
        "results": str(snapshot.results),
        "results per second": f"{snapshot.result_rate:.1f}",
    }
    values |= {f"dropped: {reason}": str(count) for reason, count in sorted(snapshot.drops.items())}
    if snapshot.recent_projections:
        values["projection"] = _latest_projection(snapshot)
    if snapshot.calibration:
        values["extrinsic calibration"] = snapshot.calibration
    values |= {f"projected by {name}": str(count) for name, count in sorted(snapshot.projections.items())}
    values |= {f"refused: {reason}": str(count) for reason, count in sorted(snapshot.refusals.items())}
    for stage, summary in snapshot.latency().items():
        values |= {f"{stage} {name}, ms": f"{milliseconds:.1f}" for name, milliseconds in summary.items()}
    return values
