"""The results of a recording's stretches, put together to what one run over all of it leaves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from seg_perception.errors import RecordingError
from seg_perception.offline.checkpoint import Checkpoint
from seg_perception.offline.request import ReplayRequest
from seg_perception.offline.run_result import Outcome
from seg_perception.offline.statistics import RunTally
from seg_perception.recordings.result_bag.mcap_file import McapFile
from seg_perception.recordings.result_bag.messages import channels, label_info_message
from seg_perception.recordings.result_bag.reader import first_stamp_ns


def merge(request: ReplayRequest, parts: Sequence[tuple[ReplayRequest, Outcome]]) -> Outcome:
    """Write the result of a whole recording.

    Args:
        request: the recording's.
        parts: request and outcome of each stretch, in order.

    Returns:
        The outcome of the whole.

    Raises:
        RecordingError: a part cannot be read, was made by another version or in another way, or the result cannot be
            written.
    """
    outcomes = [outcome for _, outcome in parts]
    last = outcomes[-1]
    for part, outcome in parts:
        if outcome.hashes != last.hashes:
            raise RecordingError(
                f"{request.source}: its stretches were not made alike ({part.out.name} by {outcome.engine}, "
                f"the last by {last.engine}); give all workers the same version, --backend and libraries."
            )
    whole = McapFile.create(request.result, channels())
    try:
        told = len(parts) == 1  # the result of a whole recording tells it itself
        for part, outcome in parts:
            if outcome.tally.frames == 0:
                continue
            if not told:
                whole.add([label_info_message(outcome.label_info, first_stamp_ns(part.result))])
                told = True
            end = Checkpoint.load(part.checkpoint, outcome.hashes["input and configuration"])
            whole.append(part.result, end.position)
    finally:
        whole.close()
    return replace(
        last,  # its reader has been through the whole recording
        tally=RunTally.sum(outcome.tally for outcome in outcomes),
        start="",
        first_drop=next((outcome.first_drop for outcome in outcomes if outcome.first_drop), ""),
        first_result_s=min((outcome.first_result_s for outcome in outcomes if outcome.tally.frames), default=math.nan),
        peak_mb=max(outcome.peak_mb for outcome in outcomes),
    )
