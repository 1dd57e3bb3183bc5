"""Distributed replay: recordings are cut into segments, replayed by workers, checked at the cuts and merged."""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Protocol

from seg_perception.errors import RecordingError, SegPerceptionError
from seg_perception.model.card import ModelCard
from seg_perception.offline.checkpoint import items_done
from seg_perception.offline.job import Job, JobResult
from seg_perception.offline.merge import merge
from seg_perception.offline.replay import check_output_folder, finish
from seg_perception.offline.request import ReplayRequest
from seg_perception.offline.run_result import RunResult
from seg_perception.offline.segment import Segment
from seg_perception.offline.split import RecordingLength, split, warm_up_s
from seg_perception.recordings.readers.open_recording import open_recording

_POLL_INTERVAL_S = 1.0
"""Seconds between two checks of the workers' progress."""


class Workers(Protocol):
    """Runs jobs; see `RayWorkers`."""

    count: int

    def submit(self, number: int, job: Job) -> None:
        """Queue a job under a number."""

    def wait(self, seconds: float) -> tuple[int, JobResult | None] | None:
        """Number and result of the next finished job; None after `seconds`."""


class _DistributedRecording:
    """A recording that is being replayed.

    Attributes:
        request: of the user.
        images: number of images; None if unknown.
        segments: of the recording, in order.
        parts: a request per segment, each with an output folder of its own.
        problem: why there is no result; empty if nothing went wrong.
    """

    def __init__(self, request: ReplayRequest, images: int | None, segments: Sequence[Segment]) -> None:
        self.request = request
        self.images = images
        self.segments = segments
        self.parts = [replace(request, out=request.parts / f"{segment.first}", resume=False) for segment in segments]
        self.problem = ""
        self._results: dict[int, RunResult] = {}
        self._verified_count = self._redone_count = 0

    def add_result(self, index: int, done: JobResult | None) -> None:
        """Store the result of the segment `index`; None if its worker died on every attempt."""
        part, source = self.parts[index], self.request.source
        if done is None:
            problem = (
                f"{source}: every worker died that replayed the images from {self.segments[index].first} on; check the "
                "memory (--threads, that of the machine), and resume with --resume."
            )
        elif done.result is None:
            problem = done.problem
        elif not part.result.exists():
            problem = (
                f"{part.result}: the worker on {done.host} wrote it, but this machine does not see it; give an --out "
                "that all machines of the cluster see under the same path."
            )
        else:
            self._results[index] = done.result
            return
        self.problem = self.problem or problem

    def next_outdated(self) -> tuple[int, tuple[Path, str]] | None:
        """The next segment to redo, with the checkpoint (and its fingerprint) that holds its true initial map."""
        while self._verified_count in self._results:
            previous, segment = self._results.get(self._verified_count - 1), self._results[self._verified_count]
            if previous is not None and segment.start != previous.end:
                del self._results[self._verified_count]
                self._redone_count += 1
                part, ready = self.parts[self._verified_count], self.parts[self._verified_count - 1].checkpoint
                self.parts[self._verified_count] = replace(part, out=part.out.with_name(f"{part.out.name}-again"))
                return self._verified_count, (ready, previous.hashes["input and configuration"])
            self._verified_count += 1
        return None

    @property
    def is_done(self) -> bool:
        """Whether every segment has the result that one run over the whole recording would give."""
        return self._verified_count == len(self.parts)

    def images_done(self) -> int:
        """How many images are done so far."""
        return sum(items_done(part.checkpoint) for part in self.parts)

    def finish(self, workers: int) -> dict[str, Any] | str:
        """Merge the segments; gives the content of summary.json, or one sentence why there is none."""
        parts = [(part, self._results[index]) for index, part in enumerate(self.parts)]
        spread = {"workers": workers, "stretches": len(parts), "done again": self._redone_count}
        try:
            summary = finish(self.request, merge(self.request, parts), spread=spread)
        except SegPerceptionError as error:
            return f"{error}"
        shutil.rmtree(self.request.parts)
        return summary


def replay_distributed(
    requests: Sequence[ReplayRequest], workers: Workers, progress: Callable[[int, int | None], None]
) -> Iterator[tuple[ReplayRequest, dict[str, Any] | str]]:
    """Replay recordings on workers; each result is that of `replay`, except for times and memory.

    The map of a segment starts with a warm-up over the images just before it (`split.warm_up_s`). It must then equal,
    bit by bit, the map at the end of the previous segment. If it does not, the segment is replayed again from that
    map. So the result does not depend on where a recording is cut.

    Args:
        requests: one per recording, with output folders of their own.
        workers: they see recordings, networks and folders under the same paths as this machine.
        progress: called with the number of images done and the total (None if unknown).

    Yields:
        Each request when it is finished, with the content of summary.json or one sentence why there is no result.
        After a KeyboardInterrupt, the same requests with `resume` continue.
    """
    began = time.time() - (time.monotonic() - requests[0].started)
    recordings: list[_DistributedRecording] = []
    for planned in _plan(requests, workers.count):
        if isinstance(planned, _DistributedRecording):
            recordings.append(planned)
        else:
            yield planned
    total = sum(recording.images or 0 for recording in recordings) if all(r.images for r in recordings) else None
    submitted = [(recording, index) for recording in recordings for index in range(len(recording.parts))]
    for number, (recording, index) in enumerate(submitted):
        workers.submit(number, Job(recording.parts[index], recording.segments[index], None, began))
    running = len(submitted)
    while running:
        finished = workers.wait(_POLL_INTERVAL_S)
        progress(sum(recording.images_done() for recording in recordings), total)
        if finished is None:
            continue
        number, done = finished
        running -= 1
        recording, index = submitted[number]
        if recording.problem:
            continue
        recording.add_result(index, done)
        if recording.problem:
            yield recording.request, recording.problem
            continue
        outdated = recording.next_outdated()
        if outdated is not None:
            again, initial_map = outdated
            submitted.append((recording, again))
            workers.submit(
                len(submitted) - 1, Job(recording.parts[again], recording.segments[again], initial_map, began)
            )
            running += 1
        elif recording.is_done:
            yield recording.request, recording.finish(workers.count)


def _plan(
    requests: Sequence[ReplayRequest], workers: int
) -> Iterator[_DistributedRecording | tuple[ReplayRequest, str]]:
    """The recordings with their segments, or one sentence why one cannot be replayed."""
    fresh: list[tuple[ReplayRequest, RecordingLength]] = []
    for request in requests:
        try:
            if request.resume:
                yield _resumed_plan(request)
                continue
            _check_output_folder(request)
            fresh.append((request, _length_of(request)))
        except SegPerceptionError as error:
            yield request, f"{error}"
    cuts = split([length for _, length in fresh], workers)
    for (request, length), segments in zip(fresh, cuts, strict=True):
        recording = _DistributedRecording(request, length.images, segments)
        try:
            request.parts.mkdir(parents=True)
            _plan_file(request).write_text(
                json.dumps({"images": length.images, "segments": [asdict(segment) for segment in segments]}),
                encoding="utf-8",
            )
        except OSError as error:
            yield request, f"{request.out}: cannot be written ({error.strerror}); give another --out."
        else:
            yield recording


def _resumed_plan(request: ReplayRequest) -> _DistributedRecording:
    try:
        content = json.loads(_plan_file(request).read_text(encoding="utf-8"))
        return _DistributedRecording(request, content["images"], [Segment(**each) for each in content["segments"]])
    except (OSError, ValueError, KeyError, TypeError):
        raise RecordingError(
            f"{request.out}: holds no interrupted run of --ray to resume; run without --resume."
        ) from None


def _length_of(request: ReplayRequest) -> RecordingLength:
    with open_recording(request.source, request.options) as recording:
        images = recording.expected_items
        if not recording.has_poses or not images:
            return RecordingLength(images, 0.0)  # no image depends on an earlier one
        classes = len(ModelCard.load(request.model.with_suffix(".yaml")).classes)
        seconds = warm_up_s(request.settings.grid, classes)
        return RecordingLength(
            images, math.ceil(seconds * images / recording.seconds) if recording.seconds else math.inf
        )


def _check_output_folder(request: ReplayRequest) -> None:
    check_output_folder(request)
    if request.parts.exists():
        raise RecordingError(
            f"{request.parts}: exists already; resume it with --resume, remove it, or give another --out."
        )


def _plan_file(request: ReplayRequest) -> Path:
    return request.parts / "plan.json"
