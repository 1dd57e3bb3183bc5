"""The result of a replay, or of one segment, next to its result file; and the content of summary.json."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from seg_perception.offline.request import ReplayRequest
from seg_perception.offline.statistics import RunStatistics, versions
from seg_perception.pipeline.stages import STAGES
from seg_perception.recordings.result_bag.result_frame import LabelInfo

READ, VISUALIZATION, WRITE, PIPELINE, NETWORK = "read", "pictures", "write", "pipeline", "network alone"
"""Names of the durations in summary.json, in addition to the stages of the pipeline."""


@dataclass(frozen=True)
class RunResult:
    """The result of a segment, or of a whole recording.

    Attributes:
        statistics: of the run.
        description: of the recording, as read.
        problems: problems that dropped no image, from the start of the recording, with their counts.
        engine: description of what ran the network.
        hashes: of network, matrix, and of all that the result depends on.
        label_info: meaning of the labels.
        start: digest of the map before the first image; empty at the start of a recording, or without poses.
        end: digest of the map after the last image; empty without poses.
        first_drop: why the first dropped image was dropped; empty if there is none.
        first_result_s: seconds from the start of the program to the first result.
        peak_mb: largest resident memory, MB.
    """

    statistics: RunStatistics
    description: Mapping[str, str]
    problems: Counter[str]
    engine: str
    hashes: Mapping[str, str]
    label_info: LabelInfo
    start: str
    end: str
    first_drop: str
    first_result_s: float
    peak_mb: float


def summary_of(request: ReplayRequest, result: RunResult) -> dict[str, Any]:
    """The content of summary.json; `seg_perception.report.write_report` describes its keys."""
    statistics = result.statistics
    alone, pipeline = (statistics.duration(name).percentile(0.5) for name in (NETWORK, PIPELINE))
    extra = sum(statistics.duration(name).percentile(0.5) for name in (READ, VISUALIZATION, WRITE))
    settings = request.settings.grid
    cells = {"rows": settings.rows, "columns": settings.cols, "resolution m": settings.resolution}
    return {
        "input": {"path": request.source, **result.description},
        "command": request.command,
        "frames": {"in": statistics.items, "out": statistics.frames, "dropped": dict(statistics.dropped)},
        "problems": dict(result.problems),
        "projections": statistics.projections.counts(),
        "stages": {name: statistics.duration(name).summary() for name in (READ, *STAGES, VISUALIZATION, WRITE)},
        "network_alone_ms": statistics.duration(NETWORK).summary(),
        "pipeline_ms": statistics.duration(PIPELINE).summary(),
        "overhead": round((pipeline - alone) / alone, 3),
        "overhead_with_reading_and_recording": round((pipeline + extra - alone) / alone, 3),
        "first_result_s": round(result.first_result_s, 3),
        "peak_rss_mb": round(result.peak_mb, 1),
        "cells": {**cells, **statistics.costmaps.shares()},
        "engine": result.engine,
        "versions": versions(),
        "hashes": {**result.hashes, "costmaps": statistics.costmaps.digest},
    }
