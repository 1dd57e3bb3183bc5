"""Replay a segment of a recording; an interrupted and resumed run gives the same result file."""

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
from seg_perception.offline.run_result import NETWORK, PIPELINE, READ, VISUALIZATION, WRITE, RunResult
from seg_perception.offline.statistics import RunStatistics
from seg_perception.pipeline.pipeline import Pipeline
from seg_perception.pipeline.result import Result
from seg_perception.recordings.readers.recording import Dropped, Recording
from seg_perception.recordings.result_bag.messages import FrameNames
from seg_perception.recordings.result_bag.result_frame import LabelInfo, ResultFrame
from seg_perception.recordings.result_bag.writer import ResultWriter
from seg_perception.risk.cost_matrix import CostMatrix
from seg_perception.sensor_data.frame import Frame
from seg_perception.utils.process_usage import peak_mb
from seg_perception.utils.visualization import jpeg, most_probable, overlay

_CHECKPOINT_EVERY = 50  # images
_TIME_NETWORK_EVERY = 5  # frames; each costs one run of the network
_OVERLAY_ALPHA = 0.5
_NO_GROUND = "no ground in view, or a pose that is not finite"
_NOT_FINITE = "the network's output was not finite"


@dataclass(frozen=True)
class Segment:
    """A range of images of a recording.

    Attributes:
        first: index of the first image, from 0.
        end: index after the last image; None for the end of the recording.
        warm_up: index of the first image of the warm-up: images from here to `first` update the map without being
            written, so that the map at `first` equals the one after all earlier images.
    """

    first: int = 0
    end: int | None = None
    warm_up: int = 0


WHOLE = Segment()


class SegmentRun:
    """One replay of a segment."""

    def __init__(
        self,
        request: ReplayRequest,
        recording: Recording,
        engine: Engine,
        matrix: CostMatrix,
        segment: Segment = WHOLE,
    ) -> None:
        """Prepare.

        Args:
            request: what to replay, and where to write it.
            recording: of the request, open.
            engine: of the request, open.
            matrix: of the request.
            segment: the images.
        """
        self._statistics = RunStatistics()
        self._start = self._first_drop = ""
        self._first_result_s = float("nan")
        self._request = request
        self._recording = recording
        self._engine = engine
        self._segment = segment
        self._pipeline = Pipeline(engine, matrix, request.settings, remember=recording.has_poses)
        self._label_info = LabelInfo(engine.card.classes, engine.card.colours, tuple(matrix.traverse.tolist()))
        hashes = {"model": model_sha256(request.model), "matrix": file_sha256(request.matrix)}
        whole = fingerprint(
            recording.files,
            {
                **hashes,
                "settings": asdict(request.settings),
                "engine": engine.describe(),
                # The path of the input does not matter; the fingerprint covers its files.
                "description": {key: text for key, text in recording.description.items() if key != "input"},
                "mount": _transform_text(request.options.mount),
                "camera": repr(request.options.camera),
                "version": seg_perception.__version__,
            },
        )
        self._hashes = {**hashes, "input and configuration": whole}

    def run(
        self, progress: Callable[[int, int | None], None], initial_map: Mapping[str, NDArray[Any]] | None = None
    ) -> RunResult:
        """Run to the end of the segment, and save a checkpoint there.

        Args:
            progress: called with the number of images done and the total (None if unknown), of the segment.
            initial_map: the map before the first image, as `Pipeline.to_arrays` gives it; it replaces the warm-up.

        Raises:
            RecordingError: the output cannot be written, or an interrupted run cannot be resumed.
        """
        request, segment = self._request, self._segment
        names = FrameNames(odom=request.options.odom_frame, base=request.options.base_frame)
        # For several segments, `merge` writes the label info, once.
        info = self._label_info if segment == WHOLE else None
        if request.resume:
            writer = ResultWriter.resume(request.result, self._restore(), info, names)
            items = self._recording.frames(skip=segment.first + self._statistics.items)
        else:
            _make_folder(request.out)
            writer = ResultWriter.create(request.result, info, names)
            items = self._begin(initial_map)
        total = self._recording.expected_items if segment.end is None else segment.end - segment.first
        with writer:
            self._save(writer)
            while segment.end is None or segment.first + self._statistics.items < segment.end:
                began = time.perf_counter()
                item = next(items, None)
                if item is None:
                    break
                self._process(item, (time.perf_counter() - began) * 1e3, writer)
                if self._statistics.items % _CHECKPOINT_EVERY == 0:
                    self._save(writer)
                progress(self._statistics.items, total)
            self._save(writer)
        return RunResult(
            statistics=self._statistics,
            description=self._recording.description,
            problems=self._recording.problems,
            engine=self._engine.describe(),
            hashes=self._hashes,
            label_info=self._label_info,
            start=self._start,
            end=map_digest(self._grid()) if self._recording.has_poses else "",
            first_drop=self._first_drop,
            first_result_s=self._first_result_s,
            peak_mb=peak_mb(),
        )

    def _grid(self) -> dict[str, NDArray[Any]]:
        return self._pipeline.to_arrays()

    def _begin(self, initial_map: Mapping[str, NDArray[Any]] | None) -> Iterator[Frame | Dropped]:
        """Bring the map to its state before the first image; gives the images from there on."""
        segment = self._segment
        if initial_map is not None:
            self._pipeline.restore(initial_map)
        items = self._recording.frames(skip=segment.warm_up if initial_map is None else segment.first)
        if initial_map is None and segment.first:
            for _, item in zip(range(segment.warm_up, segment.first), items):  # noqa: B905 - a recording may end early
                if isinstance(item, Frame):
                    with suppress(ProjectionError, GeometryError, ModelError):
                        self._pipeline.process(item)
        if segment.first and self._recording.has_poses:
            self._start = map_digest(self._grid())
        return items

    def _process(self, item: Frame | Dropped, read_ms: float, writer: ResultWriter) -> None:
        if isinstance(item, Dropped):
            self._drop(item.reason, item.detail)
        else:
            self._statistics.time(READ, read_ms)
            try:
                self._write(self._pipeline.process(item), writer)
            except ProjectionError as error:
                self._drop(error.reason, str(error))
            except GeometryError as error:
                self._drop(_NO_GROUND, str(error))
            except ModelError as error:
                self._drop(_NOT_FINITE, str(error))
        self._statistics.items += 1

    def _drop(self, reason: str, detail: str) -> None:
        self._first_drop = self._first_drop or detail
        self._statistics.dropped[reason] += 1

    def _write(self, result: Result, writer: ResultWriter) -> None:
        began = time.perf_counter()
        camera_jpeg = jpeg(result.image)
        blended = overlay(result.image, result.output.labels[0], self._engine.card.colours, _OVERLAY_ALPHA)
        overlay_jpeg = jpeg(blended)
        assert result.output.logits is not None  # the engine was opened with them
        probable = most_probable(result.output.logits[0], result.camera.width, result.camera.height)
        encoded = time.perf_counter()
        frame = ResultFrame(
            stamp_ns=result.frame.stamp_ns,
            camera_jpeg=camera_jpeg,
            overlay_jpeg=overlay_jpeg,
            labels=result.output.labels[0],
            most_probable=probable,
            confidence=result.output.confidence[0],
            expected_cost=result.output.expected_cost[0],
            costmap=result.costmap,
            resolution=result.bounds.resolution,
            origin_xy=result.bounds.origin,
            odom_from_base=result.frame.odom_from_base,
            latency_ms=result.timings_ms,
        )
        writer.write(frame, result.camera, result.frame.base_from_optical)
        statistics = self._statistics
        for name, milliseconds in result.timings_ms.items():
            statistics.time(name, milliseconds)
        statistics.time(VISUALIZATION, (encoded - began) * 1e3)
        statistics.time(WRITE, (time.perf_counter() - encoded) * 1e3)
        statistics.time(PIPELINE, sum(result.timings_ms.values()))
        if statistics.frames == 0:
            self._first_result_s = time.monotonic() - self._request.started
        if statistics.frames % _TIME_NETWORK_EVERY == 0:
            statistics.time(NETWORK, self._engine.time_network()[0])
        statistics.costmaps.add(result.costmap, result.frame.stamp_ns)
        statistics.projections.add(result)
        statistics.frames += 1

    def _save(self, writer: ResultWriter) -> None:
        values = {
            "statistics": self._statistics.to_json(),
            "start": self._start,
            "first_result_s": self._first_result_s,
            "first_drop": self._first_drop,
        }
        Checkpoint(
            self._hashes["input and configuration"], writer.flush(), self._statistics.items, self._grid(), values
        ).save(self._request.checkpoint)

    def _restore(self) -> int:
        found = Checkpoint.load(self._request.checkpoint, self._hashes["input and configuration"])
        self._pipeline.restore(found.arrays)
        self._statistics = RunStatistics.of(found.values["statistics"])
        self._start = found.values["start"]
        self._first_result_s = found.values["first_result_s"]
        self._first_drop = found.values["first_drop"]
        return found.position


def map_digest(arrays: Mapping[str, NDArray[Any]]) -> str:
    """SHA-256 of a map, as `Pipeline.to_arrays` gives it, without what later frames do not depend on.

    That is when cells were observed: it matters only for frames out of order, and a recording has none.
    """
    digest = hashlib.sha256()
    for name in sorted(set(arrays) - {"seen_ns"}):
        digest.update(np.ascontiguousarray(arrays[name]).tobytes())
    return digest.hexdigest()


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RecordingError(f"{path}: cannot be created ({error.strerror}); give another --out.") from None


def _transform_text(transform: Any) -> str:
    return "" if transform is None else f"{transform.rotation.tolist()} {transform.translation.tolist()}"
