"""A stretch of a recording through the pipeline, into a result file: resumable, and the same however often it stops."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import seg_perception
from seg_perception.errors import GeometryError, ModelError, ProjectionError, RecordingError
from seg_perception.inference.engine import Engine
from seg_perception.model.card import file_sha256, model_sha256
from seg_perception.offline.checkpoint import Checkpoint, fingerprint
from seg_perception.offline.request import ReplayRequest
from seg_perception.offline.run_result import NETWORK, PICTURES, PIPELINE, READ, WRITE, Outcome
from seg_perception.offline.statistics import RunTally
from seg_perception.pipeline.pipeline import Pipeline, Result
from seg_perception.recordings.readers.recording import Dropped, Recording
from seg_perception.recordings.result_bag.messages import FrameNames
from seg_perception.recordings.result_bag.result_frame import LabelInfo, ResultFrame
from seg_perception.recordings.result_bag.writer import ResultWriter
from seg_perception.risk.cost_matrix import CostMatrix
from seg_perception.sensor_data.frame import Frame
from seg_perception.utils.process_memory import peak_mb
from seg_perception.utils.visualization import jpeg, most_probable, overlay

_CHECKPOINT_EVERY = 50  # images
_TIME_NETWORK_EVERY = 5  # frames; each costs one run of the network
_OVERLAY_ALPHA = 0.5
_NO_GROUND = "no ground in view, or a pose that is not finite"
_BAD_SCORES = "the network's output was not finite"


@dataclass(frozen=True)
class Stretch:
    """Which images of a recording to write.

    Attributes:
        first: number of the first one, from 0.
        end: number of the one behind the last; None for all to the end.
        warm_up: number from which on images go through the pipeline without being written, so that at `first` the map
            holds what it would hold after all images before.
    """

    first: int = 0
    end: int | None = None
    warm_up: int = 0


WHOLE = Stretch()


class StretchRun:
    """The state of one replay of a stretch."""

    def __init__(
        self,
        request: ReplayRequest,
        recording: Recording,
        engine: Engine,
        matrix: CostMatrix,
        stretch: Stretch = WHOLE,
    ) -> None:
        """Prepare.

        Args:
            request: what to replay, and where to write it.
            recording: the request's, opened.
            engine: the request's, opened.
            matrix: the request's.
            stretch: which images.
        """
        self._tally = RunTally()
        self._start = self._first_drop = ""
        self._first_result_s = float("nan")
        self._request = request
        self._recording = recording
        self._engine = engine
        self._stretch = stretch
        self._pipeline = Pipeline(engine, matrix, request.settings, remember=recording.has_poses)
        self._label_info = LabelInfo(engine.card.classes, engine.card.colours, tuple(matrix.traverse.tolist()))
        hashes = {"model": model_sha256(request.model), "matrix": file_sha256(request.matrix)}
        whole = fingerprint(
            recording.files,
            {
                **hashes,
                "settings": asdict(request.settings),
                "engine": engine.describe(),
                # Under which path the input lies is no matter; of its files the fingerprint takes more than names.
                "description": {key: text for key, text in recording.description.items() if key != "input"},
                "mount": _transform_text(request.options.mount),
                "camera": repr(request.options.camera),
                "version": seg_perception.__version__,
            },
        )
        self._hashes = {**hashes, "input and configuration": whole}

    def go(
        self, progress: Callable[[int, int | None], None], given: Mapping[str, NDArray[Any]] | None = None
    ) -> Outcome:
        """Run to the end of the stretch, and leave a checkpoint there.

        Args:
            progress: called with images of the stretch done and in all (None where unknown).
            given: what the pipeline holds before the first image, as `Pipeline.to_arrays`
                gives it; there is no warm-up then.

        Raises:
            RecordingError: the output cannot be written, or an interrupted run cannot be resumed.
        """
        request, stretch = self._request, self._stretch
        names = FrameNames(odom=request.options.odom_frame, base=request.options.base_frame)
        # Of several stretches, who puts them together tells once what the labels mean.
        info = self._label_info if stretch == WHOLE else None
        if request.resume:
            writer = ResultWriter.resume(request.result, self._restore(), info, names)
            items = self._recording.frames(skip=stretch.first + self._tally.items)
        else:
            _make_folder(request.out)
            writer = ResultWriter.create(request.result, info, names)
            items = self._begin(given)
        total = self._recording.expected_items if stretch.end is None else stretch.end - stretch.first
        with writer:
            self._save(writer)
            while stretch.end is None or stretch.first + self._tally.items < stretch.end:
                began = time.perf_counter()
                item = next(items, None)
                if item is None:
                    break
                self._take(item, (time.perf_counter() - began) * 1e3, writer)
                if self._tally.items % _CHECKPOINT_EVERY == 0:
                    self._save(writer)
                progress(self._tally.items, total)
            self._save(writer)
        return Outcome(
            tally=self._tally,
            description=self._recording.description,
            problems=self._recording.problems,
            engine=self._engine.describe(),
            hashes=self._hashes,
            label_info=self._label_info,
            start=self._start,
            end=grid_digest(self._grid()) if self._recording.has_poses else "",
            first_drop=self._first_drop,
            first_result_s=self._first_result_s,
            peak_mb=peak_mb(),
        )

    def _grid(self) -> dict[str, NDArray[Any]]:
        return self._pipeline.to_arrays()

    def _begin(self, given: Mapping[str, NDArray[Any]] | None) -> Iterator[Frame | Dropped]:
        """Bring the map to where it is before the first image; gives the images from there on."""
        stretch = self._stretch
        if given is not None:
            self._pipeline.restore(given)
        items = self._recording.frames(skip=stretch.warm_up if given is None else stretch.first)
        if given is None and stretch.first:
            for _, item in zip(range(stretch.warm_up, stretch.first), items):  # noqa: B905 - a recording may end early
                if isinstance(item, Frame):
                    with suppress(ProjectionError, GeometryError, ModelError):
                        self._pipeline.process(item)
        if stretch.first and self._recording.has_poses:
            self._start = grid_digest(self._grid())
        return items

    def _take(self, item: Frame | Dropped, read_ms: float, writer: ResultWriter) -> None:
        if isinstance(item, Dropped):
            self._drop(item.reason, item.detail)
        else:
            self._tally.time(READ, read_ms)
            try:
                self._write(self._pipeline.process(item), writer)
            except ProjectionError as error:
                self._drop(error.reason, str(error))
            except GeometryError as error:
                self._drop(_NO_GROUND, str(error))
            except ModelError as error:
                self._drop(_BAD_SCORES, str(error))
        self._tally.items += 1

    def _drop(self, reason: str, detail: str) -> None:
        self._first_drop = self._first_drop or detail
        self._tally.dropped[reason] += 1

    def _write(self, result: Result, writer: ResultWriter) -> None:
        began = time.perf_counter()
        camera_jpeg = jpeg(result.image)
        painted = overlay(result.image, result.output.labels[0], self._engine.card.colours, _OVERLAY_ALPHA)
        overlay_jpeg = jpeg(painted)
        assert result.output.logits is not None  # the engine was opened with them
        probable = most_probable(result.output.logits[0], result.camera.width, result.camera.height)
        pictured = time.perf_counter()
        frame = ResultFrame(
            stamp_ns=result.frame.stamp_ns,
            camera_jpeg=camera_jpeg,
            overlay_jpeg=overlay_jpeg,
            labels=result.output.labels[0],
            most_probable=probable,
            confidence=result.output.confidence[0],
            expected_cost=result.output.expected_cost[0],
            costmap=result.costmap,
            resolution=result.raster.resolution,
            origin_xy=result.raster.origin,
            odom_from_base=result.frame.odom_from_base,
            latency_ms=result.timings_ms,
        )
        writer.write(frame, result.camera, result.frame.base_from_optical)
        tally = self._tally
        for name, milliseconds in result.timings_ms.items():
            tally.time(name, milliseconds)
        tally.time(PICTURES, (pictured - began) * 1e3)
        tally.time(WRITE, (time.perf_counter() - pictured) * 1e3)
        tally.time(PIPELINE, sum(result.timings_ms.values()))
        if tally.frames == 0:
            self._first_result_s = time.monotonic() - self._request.started
        if tally.frames % _TIME_NETWORK_EVERY == 0:
            tally.time(NETWORK, self._engine.time_network()[0])
        tally.costmaps.add(result.costmap, result.frame.stamp_ns)
        tally.projections.add(result)
        tally.frames += 1

    def _save(self, writer: ResultWriter) -> None:
        values = {
            "tally": self._tally.to_json(),
            "start": self._start,
            "first_result_s": self._first_result_s,
            "first_drop": self._first_drop,
        }
        Checkpoint(
            self._hashes["input and configuration"], writer.flush(), self._tally.items, self._grid(), values
        ).save(self._request.checkpoint)

    def _restore(self) -> int:
        found = Checkpoint.load(self._request.checkpoint, self._hashes["input and configuration"])
        self._pipeline.restore(found.arrays)
        self._tally = RunTally.of(found.values["tally"])
        self._start = found.values["start"]
        self._first_result_s = found.values["first_result_s"]
        self._first_drop = found.values["first_drop"]
        return found.position


def grid_digest(arrays: Mapping[str, NDArray[Any]]) -> str:
    """SHA-256 of what a pipeline holds, as `Pipeline.to_arrays` gives it, as far as later frames depend on it.

    They do not depend on when cells were seen: that only matters to frames that come late, and a recording's do not.
    """
    digest = hashlib.sha256()
    for name in sorted(set(arrays) - {"seen_ns"}):
        digest.update(np.ascontiguousarray(arrays[name]).tobytes())
    return digest.hexdigest()


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RecordingError(f"{path}: cannot be made ({error.strerror}); give another --out.") from None


def _transform_text(transform: Any) -> str:
    return "" if transform is None else f"{transform.rotation.tolist()} {transform.translation.tolist()}"
