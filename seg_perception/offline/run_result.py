"""What a replay, or a stretch of one, leaves beside its result file, and how summary.json tells it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from seg_perception.offline.request import ReplayRequest
from seg_perception.offline.statistics import RunTally, versions
from seg_perception.pipeline.pipeline import STAGES
from seg_perception.recordings.result_bag.result_frame import LabelInfo

READ, PICTURES, WRITE, PIPELINE, NETWORK = "read", "pictures", "write", "pipeline", "network alone"
"""Names of what is timed beside the pipeline's stages."""


@dataclass(frozen=True)
class Outcome:
    """What came of a stretch.

    Attributes:
        tally: what was counted.
        description: what was chosen of the recording.
        problems: what went wrong from the recording's beginning on without costing an image, with how often.
        engine: what ran the network.
        hashes: of network, matrix, and of all together that the result depends on.
        label_info: what the labels mean.
        start: digest of the map before the first image; empty where nothing came before, or frames are not fused.
        end: digest of the map behind the last image; empty where frames are not fused.
        first_drop: why the first image without a result gave none.
        first_result_s: seconds from the beginning of the program to the first result.
        peak_mb: largest resident memory, MB.
    """

    tally: RunTally
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


def summary_of(request: ReplayRequest, outcome: Outcome) -> dict[str, Any]:
    """The content of summary.json; `seg_perception.report.write_report` describes its keys."""
    tally = outcome.tally
    alone, pipeline = (tally.duration(name).percentile(0.5) for name in (NETWORK, PIPELINE))
    extra = sum(tally.duration(name).percentile(0.5) for name in (READ, PICTURES, WRITE))
    settings = request.settings.grid
    cells = {"rows": settings.rows, "columns": settings.cols, "resolution m": settings.resolution}
    return {
        "input": {"path": request.source, **outcome.description},
        "command": request.command,
        "frames": {"in": tally.items, "out": tally.frames, "dropped": dict(tally.dropped)},
        "problems": dict(outcome.problems),
        "projections": tally.projections.counts(),
        "stages": {name: tally.duration(name).summary() for name in (READ, *STAGES, PICTURES, WRITE)},
        "network_alone_ms": tally.duration(NETWORK).summary(),
        "pipeline_ms": tally.duration(PIPELINE).summary(),
        "overhead": round((pipeline - alone) / alone, 3),
        "overhead_with_reading_and_recording": round((pipeline + extra - alone) / alone, 3),
        "first_result_s": round(outcome.first_result_s, 3),
        "peak_rss_mb": round(outcome.peak_mb, 1),
        "cells": {**cells, **tally.costmaps.shares()},
        "engine": outcome.engine,
        "versions": versions(),
        "hashes": {**outcome.hashes, "costmaps": tally.costmaps.digest},
    }
