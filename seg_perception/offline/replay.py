"""A recording through the pipeline: result.mcap and summary.json, resumable after any interruption."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from numpy.typing import NDArray

from seg_perception.errors import RecordingError
from seg_perception.inference.backends import open_engine
from seg_perception.inference.tensorrt.open import Watch
from seg_perception.offline.request import ReplayRequest
from seg_perception.offline.run_result import Outcome, summary_of
from seg_perception.offline.segment import WHOLE, Stretch, StretchRun
from seg_perception.pipeline.pipeline import graph_spec
from seg_perception.recordings.readers.open_recording import open_recording
from seg_perception.risk.cost_matrix import CostMatrix


def replay(
    request: ReplayRequest, progress: Callable[[int, int | None], None], watch: Watch | None = None
) -> dict[str, Any]:
    """Run a recording through the pipeline.

    The same input and configuration give the same costmaps to the byte, interrupted and resumed or not.

    Args:
        request: what to do.
        progress: called with images done and in all (None where unknown).
        watch: told what runs the network, and what of opening it takes time.

    Returns:
        The content of summary.json; `seg_perception.report.write_report` describes its keys.

    Raises:
        SegPerceptionError: input, model, matrix or output folder cannot be used, or no image gave a result.
        KeyboardInterrupt: interrupted; what is done is on disk and `resume` goes on.
    """
    check_out(request)
    outcome = replay_stretch(request, WHOLE, progress, watch=watch)
    return finish(request, outcome)


def replay_stretch(
    request: ReplayRequest,
    stretch: Stretch,
    progress: Callable[[int, int | None], None],
    given: Mapping[str, NDArray[Any]] | None = None,
    watch: Watch | None = None,
) -> Outcome:
    """Run images of a recording through the pipeline into the request's result and checkpoint.

    Args:
        request: what to do.
        stretch: with which images.
        progress: called with images done and in all (None where unknown).
        given: what the map holds before the first image, in place of a warm-up.
        watch: told what runs the network, and what of opening it takes time.

    Raises:
        SegPerceptionError: input, model, matrix or output folder cannot be used.
        KeyboardInterrupt: interrupted; what is done is on disk and `resume` goes on.
    """
    spec = graph_spec(request.settings, image_order="bgr", logits=True)
    engine = open_engine(request.model, spec, None, request.threads, request.backend, request.precision, watch)
    try:
        matrix = CostMatrix.load(request.matrix, engine.card.classes)
        options = replace(request.options, wanted_size=(engine.card.width, engine.card.height))
        with open_recording(request.source, options) as recording:
            return StretchRun(request, recording, engine, matrix, stretch).go(progress, given)
    finally:
        engine.close()


def finish(request: ReplayRequest, outcome: Outcome, **more: Any) -> dict[str, Any]:
    """Write summary.json beside a complete result, and remove the checkpoint.

    Args:
        request: what was done.
        outcome: what came of it.
        more: what to tell beside it.

    Returns:
        The content of summary.json.

    Raises:
        RecordingError: no image gave a result; then there is no result either.
    """
    tally = outcome.tally
    if tally.frames == 0:
        # A result without a frame is of no use and would stand in the way of the next attempt.
        for path in (request.result, request.checkpoint):
            path.unlink(missing_ok=True)
        why = f"the first was dropped because: {outcome.first_drop}" if tally.items else "it holds none"
        raise RecordingError(f"{request.source}: none of its {tally.items} images gave a result; {why}")
    summary = {**summary_of(request, outcome), **more}
    request.summary.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    request.checkpoint.unlink(missing_ok=True)
    return summary


def check_out(request: ReplayRequest) -> None:
    """See whether a replay may begin, or go on, in its folder.

    Raises:
        RecordingError: there are results, or nothing to go on with.
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
