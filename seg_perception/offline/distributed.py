"""Recordings over workers: cut, handed out, checked where the stretches meet, put together."""

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
from seg_perception.offline.job import Done, Job
from seg_perception.offline.merge import merge
from seg_perception.offline.replay import check_out, finish
from seg_perception.offline.request import ReplayRequest
from seg_perception.offline.run_result import Outcome
from seg_perception.offline.segment import Stretch
from seg_perception.offline.split import Length, memory_s, split
from seg_perception.recordings.readers.open_recording import open_recording

_LOOK_EVERY_S = 1.0
"""How often the progress of workers is looked up."""


class Workers(Protocol):
    """Those who do the jobs; see `RayWorkers`."""

    count: int

    def submit(self, number: int, job: Job) -> None:
        """Hand out a job."""

    def wait(self, seconds: float) -> tuple[int, Done | None] | None:
        """The next one finished."""


class _Recording:
    """A recording in work.

    Attributes:
        request: what to do.
        images: how many it holds; None where that is not known.
        stretches: what it is cut into.
        parts: for each of them its request, whose `out` is a folder of its own.
        problem: why there is no result; empty while there is no reason.
    """

    def __init__(self, request: ReplayRequest, images: int | None, stretches: Sequence[Stretch]) -> None:
        self.request = request
        self.images = images
        self.stretches = stretches
        self.parts = [replace(request, out=request.parts / f"{stretch.first}", resume=False) for stretch in stretches]
        self.problem = ""
        self._outcomes: dict[int, Outcome] = {}
        self._sure = self._again = 0

    def take(self, index: int, done: Done | None) -> None:
        """Take what came of the stretch `index`; None where its worker died again and again."""
        part, source = self.parts[index], self.request.source
        if done is None:
            problem = f"{source}: whoever worked on the images from {self.stretches[index].first} on died every time"
            problem += "; see to its memory (--threads, the machine's), and go on with --resume."
        elif done.outcome is None:
            problem = done.problem
        elif not part.result.exists():
            problem = (
                f"{part.result}: the worker on {done.host} wrote it where this machine does not see it; give an --out "
                "that all machines of the cluster see under the same path."
            )
        else:
            self._outcomes[index] = done.outcome
            return
        self.problem = self.problem or problem

    def stale(self) -> tuple[int, tuple[Path, str]] | None:
        """The next stretch to be done again, with the checkpoint and its fingerprint to start from."""
        while self._sure in self._outcomes:
            before, here = self._outcomes.get(self._sure - 1), self._outcomes[self._sure]
            if before is not None and here.start != before.end:
                del self._outcomes[self._sure]
                self._again += 1
                part, ready = self.parts[self._sure], self.parts[self._sure - 1].checkpoint
                self.parts[self._sure] = replace(part, out=part.out.with_name(f"{part.out.name}-again"))
                return self._sure, (ready, before.hashes["input and configuration"])
            self._sure += 1
        return None

    @property
    def is_done(self) -> bool:
        """Whether all stretches are what a run over the whole recording would give."""
        return self._sure == len(self.parts)

    def images_done(self) -> int:
        """How many images are written so far."""
        return sum(items_done(part.checkpoint) for part in self.parts)

    def finish(self, workers: int) -> dict[str, Any] | str:
        """Put the stretches together; gives the content of summary.json, or why there is none."""
        parts = [(part, self._outcomes[index]) for index, part in enumerate(self.parts)]
        spread = {"workers": workers, "stretches": len(parts), "done again": self._again}
        try:
            summary = finish(self.request, merge(self.request, parts), spread=spread)
        except SegPerceptionError as error:
            return f"{error}"
        shutil.rmtree(self.request.parts)
        return summary


def replay_spread(
    requests: Sequence[ReplayRequest], workers: Workers, progress: Callable[[int, int | None], None]
) -> Iterator[tuple[ReplayRequest, dict[str, Any] | str]]:
    """Replay recordings on workers; each gives what `replay` gives, except for times and memory.

    A stretch starts with a map that has only seen the images shortly before (`split.memory_s`). Whether it then was,
    bit by bit, the one that the stretch before ended with, is checked, and a stretch for which it was not is done
    again from that one; so the result never depends on where a recording was cut.

    Args:
        requests: what to do, in folders of their own.
        workers: who does it; they see recordings, networks and folders under the same paths.
        progress: called with images done and in all (None where unknown).

    Yields:
        Each request with the content of summary.json, or with one sentence why there is no result, as it is finished.
        After KeyboardInterrupt, requests with `resume` go on.
    """
    began = time.time() - (time.monotonic() - requests[0].started)
    recordings: list[_Recording] = []
    for planned in _plan(requests, workers.count):
        if isinstance(planned, _Recording):
            recordings.append(planned)
        else:
            yield planned
    total = sum(recording.images or 0 for recording in recordings) if all(r.images for r in recordings) else None
    places = [(recording, index) for recording in recordings for index in range(len(recording.parts))]
    for number, (recording, index) in enumerate(places):
        workers.submit(number, Job(recording.parts[index], recording.stretches[index], None, began))
    running = len(places)
    while running:
        finished = workers.wait(_LOOK_EVERY_S)
        progress(sum(recording.images_done() for recording in recordings), total)
        if finished is None:
            continue
        number, done = finished
        running -= 1
        recording, index = places[number]
        if recording.problem:
            continue
        recording.take(index, done)
        if recording.problem:
            yield recording.request, recording.problem
            continue
        stale = recording.stale()
        if stale is not None:
            again, given = stale
            places.append((recording, again))
            workers.submit(len(places) - 1, Job(recording.parts[again], recording.stretches[again], given, began))
            running += 1
        elif recording.is_done:
            yield recording.request, recording.finish(workers.count)


def _plan(requests: Sequence[ReplayRequest], workers: int) -> Iterator[_Recording | tuple[ReplayRequest, str]]:
    """The recordings, cut; or why one cannot be replayed."""
    fresh: list[tuple[ReplayRequest, Length]] = []
    for request in requests:
        try:
            if request.resume:
                yield _planned_before(request)
                continue
            _check_out(request)
            fresh.append((request, _length(request)))
        except SegPerceptionError as error:
            yield request, f"{error}"
    cuts = split([length for _, length in fresh], workers)
    for (request, length), stretches in zip(fresh, cuts, strict=True):
        recording = _Recording(request, length.images, stretches)
        try:
            request.parts.mkdir(parents=True)
            _plan_file(request).write_text(
                json.dumps({"images": length.images, "stretches": [asdict(stretch) for stretch in stretches]}),
                encoding="utf-8",
            )
        except OSError as error:
            yield request, f"{request.out}: cannot be written ({error.strerror}); give another --out."
        else:
            yield recording


def _planned_before(request: ReplayRequest) -> _Recording:
    try:
        content = json.loads(_plan_file(request).read_text(encoding="utf-8"))
        return _Recording(request, content["images"], [Stretch(**each) for each in content["stretches"]])
    except (OSError, ValueError, KeyError, TypeError):
        raise RecordingError(
            f"{request.out}: holds no interrupted run of --ray to resume; run without --resume."
        ) from None


def _length(request: ReplayRequest) -> Length:
    with open_recording(request.source, request.options) as recording:
        images = recording.expected_items
        if not recording.has_poses or not images:
            return Length(images, 0.0)  # each image stands by itself
        classes = len(ModelCard.load(request.model.with_suffix(".yaml")).classes)
        seconds = memory_s(request.settings.grid, classes)
        return Length(images, math.ceil(seconds * images / recording.seconds) if recording.seconds else math.inf)


def _check_out(request: ReplayRequest) -> None:
    check_out(request)
    if request.parts.exists():
        raise RecordingError(
            f"{request.parts}: exists already; go on with it by --resume, remove it, or give another --out."
        )


def _plan_file(request: ReplayRequest) -> Path:
    return request.parts / "plan.json"
