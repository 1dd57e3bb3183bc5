"""Merge the results of a recording's segments to the result of one run over the whole recording."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from seg_perception.errors import RecordingError
from seg_perception.offline.checkpoint import Checkpoint
from seg_perception.offline.request import ReplayRequest
from seg_perception.offline.run_result import RunResult
from seg_perception.offline.statistics import RunStatistics
from seg_perception.recordings.result_bag.mcap_file import McapFile
from seg_perception.recordings.result_bag.messages import channels, label_info_message
from seg_perception.recordings.result_bag.reader import first_stamp_ns


def merge(request: ReplayRequest, parts: Sequence[tuple[ReplayRequest, RunResult]]) -> RunResult:
    """Write the result of a whole recording.

    Args:
        request: of the recording.
        parts: request and result of each segment, in order.

    Returns:
        The result of the whole recording.

    Raises:
        RecordingError: a part cannot be read, another version or other settings made it, or the result cannot be
            written.
    """
    results = [result for _, result in parts]
    last = results[-1]
    for part, result in parts:
        if result.hashes != last.hashes:
            raise RecordingError(
                f"{request.source}: workers with different versions or engines made its segments ({part.out.name} by "
                f"{result.engine}, the last by {last.engine}); give all workers the same version, --backend and "
                "libraries."
            )
    whole = McapFile.create(request.result, channels())
    try:
        has_label_info = len(parts) == 1  # then the part holds it
        for part, result in parts:
            if result.statistics.frames == 0:
                continue
            if not has_label_info:
                whole.add([label_info_message(result.label_info, first_stamp_ns(part.result))])
                has_label_info = True
            end = Checkpoint.load(part.checkpoint, result.hashes["input and configuration"])
            whole.append(part.result, end.position)
    finally:
        whole.close()
    return replace(
        last,  # its reader has read the whole recording
        statistics=RunStatistics.sum(result.statistics for result in results),
        start="",
        first_drop=next((result.first_drop for result in results if result.first_drop), ""),
        first_result_s=min((result.first_result_s for result in results if result.statistics.frames), default=math.nan),
        peak_mb=max(result.peak_mb for result in results),
    )
