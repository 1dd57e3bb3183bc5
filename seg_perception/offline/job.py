"""The job of a worker: replay one segment of a recording."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass, replace
from pathlib import Path

import cv2

from seg_perception.errors import SegPerceptionError
from seg_perception.offline.checkpoint import Checkpoint
from seg_perception.offline.replay import replay_segment
from seg_perception.offline.request import ReplayRequest
from seg_perception.offline.run_result import RunResult
from seg_perception.offline.segment import Segment
from seg_perception.recordings.readers.open_recording import recording_exists


@dataclass(frozen=True)
class Job:
    """A segment to replay.

    Attributes:
        request: `out` is the folder of this segment; `started` is ignored.
        segment: the images.
        initial_map: checkpoint of the previous segment, and its fingerprint: its map replaces the warm-up.
        began: time.time() at the start of the program.
    """

    request: ReplayRequest
    segment: Segment
    initial_map: tuple[Path, str] | None
    began: float


@dataclass(frozen=True)
class JobResult:
    """The result of a job.

    Attributes:
        host: name of the worker's machine.
        result: None if the job failed.
        problem: one sentence why it failed.
    """

    host: str
    result: RunResult | None
    problem: str = ""


def run_job(job: Job) -> JobResult:
    """Run a job, or resume it from the checkpoint of an interrupted worker; a repeated job gives the same result."""
    host, request = socket.gethostname(), job.request
    for path in (request.source, str(request.model), str(request.matrix), str(request.out.parent)):
        if not recording_exists(path):
            return JobResult(
                host, None, f"{path}: the worker on {host} does not see it; put it where all machines of the cluster "
                "see it under the same path, such as a network share."
            )  # fmt: skip
    if request.threads:
        cv2.setNumThreads(request.threads)
    request = replace(request, resume=request.checkpoint.exists(), started=time.monotonic() - (time.time() - job.began))
    try:
        initial_map = None if job.initial_map is None else Checkpoint.load(*job.initial_map).arrays
        return JobResult(host, replay_segment(request, job.segment, lambda done, total: None, initial_map))
    except SegPerceptionError as error:
        return JobResult(host, None, f"{error}")
