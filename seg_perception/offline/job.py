"""What a worker does: one stretch of a recording, or why not."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass, replace
from pathlib import Path

import cv2

from seg_perception.errors import SegPerceptionError
from seg_perception.offline.checkpoint import Checkpoint
from seg_perception.offline.replay import replay_stretch
from seg_perception.offline.request import ReplayRequest
from seg_perception.offline.run_result import Outcome
from seg_perception.offline.segment import Stretch
from seg_perception.recordings.readers.open_recording import is_there


@dataclass(frozen=True)
class Job:
    """A stretch to replay.

    Attributes:
        request: `out` is a folder for this stretch alone; `started` counts for nothing.
        stretch: which images.
        given: checkpoint of the stretch before, whose map this one starts from in place of a warm-up, and its
            fingerprint.
        began: time.time() when the program began.
    """

    request: ReplayRequest
    stretch: Stretch
    given: tuple[Path, str] | None
    began: float


@dataclass(frozen=True)
class Done:
    """What came of a job.

    Attributes:
        host: the machine that did it.
        outcome: None where it failed.
        problem: one sentence why it failed.
    """

    host: str
    outcome: Outcome | None
    problem: str = ""


def work(job: Job) -> Done:
    """Do a job, or go on with it where a worker before was interrupted; done twice, it gives the same."""
    host, request = socket.gethostname(), job.request
    for path in (request.source, str(request.model), str(request.matrix), str(request.out.parent)):
        if not is_there(path):
            return Done(
                host, None, f"{path}: the worker on {host} does not see it; put it where all machines of the cluster "
                "see it under the same path, such as a network share."
            )  # fmt: skip
    if request.threads:
        cv2.setNumThreads(request.threads)
    request = replace(request, resume=request.checkpoint.exists(), started=time.monotonic() - (time.time() - job.began))
    try:
        given = None if job.given is None else Checkpoint.load(*job.given).arrays
        return Done(host, replay_stretch(request, job.stretch, lambda done, total: None, given))
    except SegPerceptionError as error:
        return Done(host, None, f"{error}")
