"""The content of the drive page: images of some frames, curves over many, counts over all."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seg_perception.recordings.readers.open_recording import recording_name
from seg_perception.recordings.result_bag.result_frame import LabelInfo, ResultFrame
from seg_perception.report.embed import embed_frame
from seg_perception.utils.visualization import CONFIDENCE_COLOURS, COST_COLOURS

# A curve with more points than a screen has columns only makes the page larger.
_MAX_CURVE_POINTS = 2000
_MAX_PAIRS = 8
# Margin around the known cells, as a share of the view.
_VIEW_MARGIN = 0.12


def collect(
    read: Callable[[], Iterable[ResultFrame]], info: LabelInfo, summary: Mapping[str, Any], max_frames: int
) -> dict[str, Any]:
    """All content of the page, ready for JSON.

    Args:
        read: gives the frames of the drive from its start; called twice, so that one frame at a time is in memory.
        info: meaning of the labels.
        summary: see `write_report`.
        max_frames: number of frames with images.

    Returns:
        title; summary; classes; costColours and confidenceColours (256 RGB triples each); curves (lists of equal
        length, one value per frame); pairs (where the decision differs from the most probable class, in shares of all
        pixels); view (the part of the costmap to show, robot axes, m) and frames (images as data URLs).
    """
    curves, pairs = _measure(read(), len(info.classes))
    total = len(curves["index"])
    embedded = set(evenly(total, max_frames))
    frames, reach = [], []
    for index, frame in enumerate(read()):
        if index in embedded:
            frames.append({"index": index, **embed_frame(frame)})
            reach.append(_reach(frame))
    points = evenly(total, _MAX_CURVE_POINTS)
    return {
        "title": _title(summary),
        "summary": _json_ready(summary),
        "classes": [
            {"name": name, "colour": colour.tolist(), "cost": cost}
            for name, colour, cost in zip(info.classes, info.colours, info.costs, strict=True)
        ],
        "costColours": COST_COLOURS.tolist(),
        "confidenceColours": CONFIDENCE_COLOURS.tolist(),
        "total": total,
        "meanDiffer": math.fsum(curves["differ"]) / max(total, 1),
        "curves": {name: [values[point] for point in points] for name, values in curves.items()},
        "pairs": pairs,
        "view": _view(reach),
        "frames": frames,
    }


def _title(summary: Mapping[str, Any]) -> str:
    """The name of the recording, which is also that of its output folder."""
    path = summary.get("input", {}).get("path")
    return recording_name(str(path)) if path else "Drive"


def evenly(total: int, limit: int) -> list[int]:
    """At most `limit` of the indices 0..total-1, evenly distributed, with the first and the last."""
    if total <= limit:
        return list(range(total))
    return [int(index) for index in np.linspace(0, total - 1, limit).round()]


def _measure(frames: Iterable[ResultFrame], classes: int) -> tuple[dict[str, list[Any]], list[dict[str, Any]]]:
    """One value per frame for each curve, and how often which class replaced the most probable one."""
    curves: dict[str, list[Any]] = {"index": [], "seconds": [], "differ": [], "x": [], "y": [], "latency": []}
    decided = np.zeros((classes, classes), dtype=np.int64)  # row: most probable, column: Bayes decision
    start_ns = 0
    for index, frame in enumerate(frames):
        start_ns = start_ns if index else frame.stamp_ns
        counts = _count_pairs(frame, classes)
        decided += counts
        x, y, _ = frame.odom_from_base.translation.tolist()
        curves["index"].append(index)
        curves["seconds"].append((frame.stamp_ns - start_ns) / 1e9)
        curves["differ"].append(_off_diagonal(counts).sum() / max(frame.labels.size, 1))
        curves["x"].append(round(x, 3))
        curves["y"].append(round(y, 3))
        curves["latency"].append(_json_ready({name: round(ms, 3) for name, ms in frame.latency_ms.items()}))
    differing = _off_diagonal(decided)
    largest = np.argsort(-differing, axis=None, kind="stable")[:_MAX_PAIRS]
    pairs = [
        {
            "probable": int(pair // classes),
            "decided": int(pair % classes),
            "share": differing.flat[pair] / decided.sum(),
        }
        for pair in largest
        if differing.flat[pair] > 0
    ]
    return curves, pairs


def _count_pairs(frame: ResultFrame, classes: int) -> NDArray[np.int64]:
    """int64 [K, K]: pixels per (most probable class, Bayes decision); pixels without a label are not counted."""
    labelled = (frame.labels < classes) & (frame.most_probable < classes)
    pairs = frame.most_probable[labelled].astype(np.int64) * classes + frame.labels[labelled]
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def _off_diagonal(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    return counts - np.diag(np.diag(counts))


def _reach(frame: ResultFrame) -> NDArray[np.float64]:
    """float64 [2, 2]: least and greatest (forward, left) of the known cells and of the robot, robot axes, m."""
    rows, columns = np.nonzero(frame.costmap != -1)
    centres = np.stack([columns, rows], axis=1) + 0.5
    offset = np.asarray(frame.origin_xy) + centres * frame.resolution - frame.odom_from_base.translation[:2]
    yaw = frame.odom_from_base.rpy()[2]
    forward_left = np.array([[math.cos(yaw), math.sin(yaw)], [-math.sin(yaw), math.cos(yaw)]])
    here = np.vstack([offset @ forward_left.T, np.zeros((1, 2))])
    return np.stack([here.min(axis=0), here.max(axis=0)])


def _view(reach: list[NDArray[np.float64]]) -> dict[str, list[float]]:
    """The view of the costmap panel: all cells that were ever known, and a margin."""
    extremes = np.stack(reach) if reach else np.zeros((1, 2, 2))
    least, greatest = extremes[:, 0].min(axis=0), extremes[:, 1].max(axis=0)
    margin = _VIEW_MARGIN * max(float((greatest - least).max()), 1.0)
    least, greatest = least - margin, greatest + margin
    return {"forward": [float(least[0]), float(greatest[0])], "left": [float(least[1]), float(greatest[1])]}


def _json_ready(value: Any) -> Any:
    """The same with None in place of NaN and infinity, which JSON cannot hold."""
    if isinstance(value, Mapping):
        return {str(key): _json_ready(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_json_ready(item) for item in value]
    if isinstance(value, (float, np.floating)):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
        return int(value)
    return value if isinstance(value, (str, bool)) or value is None else str(value)
