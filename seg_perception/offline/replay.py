"""Replay a recording: result.mcap and summary.json, resumable after any interruption."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from numpy.typing import NDArray

from seg_perception.errors import RecordingError
from seg_perception.inference.backends import open_engine
from seg_perception.inference.progress import ProgressReporter
from seg_perception.offline.request import ReplayRequest
from seg_perception.offline.run_result import RunResult, summary_of
from seg_perception.offline.segment import WHOLE, Segment, SegmentRun
from seg_perception.pipeline.pipeline import graph_spec
from seg_perception.recordings.readers.open_recording import open_recording
from seg_perception.risk.cost_matrix import CostMatrix


def replay(
    request: ReplayRequest, progress: Callable[[int, int | None], None], reporter: ProgressReporter | None = None
) -> dict[str, Any]:
    """Run a recording through the pipeline.

    The same input and configuration give the same costmaps to the byte, interrupted and resumed or not.

    Args:
        request: what to replay.
        progress: called with the number of images done and the total (None if unknown).
        reporter: reports what runs the network, and slow steps of opening it.

    Returns:
        The content of summary.json; `seg_perception.report.write_report` describes its keys.

    Raises:
        SegPerceptionError: input, model, matrix or output folder cannot be used, or no image gave a result.
        KeyboardInterrupt: interrupted; the result so far is on disk, and `resume` continues.
    """
    check_output_folder(request)
    return finish(request, replay_segment(request, WHOLE, progress, reporter=reporter))


def replay_segment(
    request: ReplayRequest,
    segment: Segment,
    progress: Callable[[int, int | None], None],
    initial_map: Mapping[str, NDArray[Any]] | None = None,
    reporter: ProgressReporter | None = None,
) -> RunResult:
    """Run a segment of a recording through the pipeline, into the result and the checkpoint of the request.

    Args:
        request: what to replay.
        segment: the images.
        progress: called with the number of images done and the total (None if unknown).
        initial_map: the map before the first image, as `Pipeline.to_arrays` gives it; it replaces the warm-up.
        reporter: reports what runs the network, and slow steps of opening it.

    Raises:
        SegPerceptionError: input, model, matrix or output folder cannot be used.
        KeyboardInterrupt: interrupted; the result so far is on disk, and `resume` continues.
    """
    spec = graph_spec(request.settings, image_order="bgr", logits=True)
    engine = open_engine(request.model, spec, None, request.threads, request.backend, request.precision, reporter)
    try:
        matrix = CostMatrix.load(request.matrix, engine.card.classes)
        options = replace(request.options, wanted_size=(engine.card.width, engine.card.height))
        with open_recording(request.source, options) as recording:
            return SegmentRun(request, recording, engine, matrix, segment).run(progress, initial_map)
    finally:
        engine.close()


def finish(request: ReplayRequest, result: RunResult, **more: Any) -> dict[str, Any]:
    """Write summary.json next to a complete result, and remove the checkpoint.

    Args:
        request: what was replayed.
        result: of the run.
        more: additional keys of summary.json.

    Returns:
        The content of summary.json.

    Raises:
        RecordingError: no image gave a result; the result file is removed.
    """
    statistics = result.statistics
    if statistics.frames == 0:
        # A result without a frame is of no use, and would block the next attempt.
        for path in (request.result, request.checkpoint):
            path.unlink(missing_ok=True)
        why = f"the first was dropped because: {result.first_drop}" if statistics.items else "it holds none"
        raise RecordingError(f"{request.source}: none of its {statistics.items} images gave a result; {why}")
    summary = {**summary_of(request, result), **more}
    request.summary.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    request.checkpoint.unlink(missing_ok=True)
    return summary


def check_output_folder(request: ReplayRequest) -> None:
    """Check that a replay can start, or resume, in its output folder.

    Raises:
        RecordingError: the folder holds results, or nothing to resume.
    """
    if request.resume:
        if not request.checkpoint.exists():
            raise RecordingError(f"{request.out}: holds no interrupted run to resume; run without --resume.")
        return
    for path in (request.result, request.summary, request.report):
        if path.exists():
            raise RecordingError(
                f"{path}: exists already; give another --out, remove it, or --resume an interrupted run."
            )
