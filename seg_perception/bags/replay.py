"""A recording through the pipeline: result.mcap and summary.json, resumable after any interruption."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import seg_perception
from seg_perception.bags.checkpoint import Checkpoint, fingerprint
from seg_perception.bags.messages import FrameNames
from seg_perception.bags.recording import Dropped, Recording, SourceOptions
from seg_perception.bags.result_frame import LabelInfo, ResultFrame
from seg_perception.bags.source import open_recording
from seg_perception.bags.tally import CostmapTally, ProjectionTally, peak_rss_mb, versions
from seg_perception.bags.writer import ResultWriter
from seg_perception.config import PipelineSettings
from seg_perception.errors import GeometryError, ModelError, ProjectionError, RecordingError
from seg_perception.inference.backends import open_engine
from seg_perception.inference.choices import Backend
from seg_perception.inference.engine import Engine
from seg_perception.inference.tensorrt_open import Watch
from seg_perception.latency import Durations
from seg_perception.model_card import Precision, file_sha256, model_sha256
from seg_perception.pictures import jpeg, most_probable, overlay
from seg_perception.pipeline import STAGES, Pipeline, Result, graph_spec
from seg_perception.risk.cost_matrix import CostMatrix

_CHECKPOINT_EVERY = 50  # items
_TIME_NETWORK_EVERY = 5  # frames; each costs one run of the network
_OVERLAY_ALPHA = 0.5
_NO_GROUND = "no ground in view, or a pose that is not finite"
_BAD_SCORES = "the network's output was not finite"
_READ, _PICTURES, _WRITE, _PIPELINE, _NETWORK = "read", "pictures", "write", "pipeline", "network alone"


@dataclass(frozen=True)
class ReplayRequest:
    """What to replay, with what, to where.

    Attributes:
        source: a recording of any kind, as `open_recording` takes it.
        out: folder for result.mcap, summary.json and report.html; made if missing.
        model: ONNX file, its card beside it.
        matrix: cost matrix YAML.
        settings: ground and grid.
        options: how to read the recording.
        threads: CPU threads of the engine; None for one per core.
        backend: what runs the network.
        precision: what TensorRT computes it in.
        resume: go on with an interrupted run in `out`.
        command: the command line, for the report.
        started: time.monotonic() when the program began, for the time to the first result.
    """

    source: str
    out: Path
    model: Path
    matrix: Path
    settings: PipelineSettings
    options: SourceOptions
    threads: int | None
    backend: Backend
    precision: Precision
    resume: bool
    command: str
    started: float

    @property
    def result(self) -> Path:
        """The result bag."""
        return self.out / "result.mcap"

    @property
    def summary(self) -> Path:
        """Figures of the run."""
        return self.out / "summary.json"

    @property
    def report(self) -> Path:
        """The page."""
        return self.out / "report.html"

    @property
    def checkpoint(self) -> Path:
        """State of an unfinished run; removed at its end."""
        return self.out / "checkpoint.npz"


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
    _check_out(request)
    spec = graph_spec(request.settings, image_order="bgr", logits=True)
    engine = open_engine(request.model, spec, None, request.threads, request.backend, request.precision, watch)
    try:
        matrix = CostMatrix.load(request.matrix, engine.card.classes)
        options = replace(request.options, wanted_size=(engine.card.width, engine.card.height))
        with open_recording(request.source, options) as recording:
            run = _Run(request, recording, engine, matrix)
            run.go(progress)
            summary = run.summary()
    finally:
        engine.close()
    request.summary.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    request.checkpoint.unlink(missing_ok=True)
    return summary


def _check_out(request: ReplayRequest) -> None:
    if request.resume:
        if not request.checkpoint.exists():
            raise RecordingError(f"{request.out}: holds no interrupted run to resume; run without --resume.")
        return
    for path in (request.result, request.summary, request.report):
        if path.exists():
            raise RecordingError(
                f"{path}: exists already; give another --out, remove it, or --resume an interrupted run."
            )


class _Run:
    """The state of one replay."""

    def __init__(self, request: ReplayRequest, recording: Recording, engine: Engine, matrix: CostMatrix) -> None:
        self._request = request
        self._recording = recording
        self._engine = engine
        self._matrix = matrix
        self._pipeline = Pipeline(engine, matrix, request.settings, remember=recording.has_poses)
        self._durations = {name: Durations() for name in (_READ, *STAGES, _PICTURES, _WRITE, _PIPELINE, _NETWORK)}
        self._dropped: Counter[str] = Counter()
        self._projections = ProjectionTally()
        self._first_drop = ""
        self._items = self._frames = 0
        self._costmaps = CostmapTally()
        self._first_result_s = float("nan")
        self._hashes = {"model": model_sha256(request.model), "matrix": file_sha256(request.matrix)}
        self._fingerprint = fingerprint(
            recording.files,
            {
                **self._hashes,
                "settings": asdict(request.settings),
                "engine": engine.describe(),
                "description": recording.description,
                "mount": _transform_text(request.options.mount),
                "camera": repr(request.options.camera),
                "version": seg_perception.__version__,
            },
        )

    def go(self, progress: Callable[[int, int | None], None]) -> None:
        request = self._request
        options = request.options
        info = LabelInfo(self._engine.card.classes, self._engine.card.colours, tuple(self._matrix.traverse.tolist()))
        names = FrameNames(odom=options.odom_frame, base=options.base_frame)
        if request.resume:
            writer = ResultWriter.resume(request.result, self._restore(), info, names)
        else:
            try:
                request.out.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise RecordingError(f"{request.out}: cannot be made ({error.strerror}); give another --out.") from None
            writer = ResultWriter.create(request.result, info, names)
        with writer:
            self._save(writer)
            items = self._recording.frames(skip=self._items)
            while True:
                began = time.perf_counter()
                item = next(items, None)
                if item is None:
                    break
                if isinstance(item, Dropped):
                    self._drop(item.reason, item.detail)
                else:
                    self._durations[_READ].add((time.perf_counter() - began) * 1e3)
                    try:
                        self._write(self._pipeline.process(item), writer)
                    except ProjectionError as error:
                        self._drop(error.reason, str(error))
                    except GeometryError as error:
                        self._drop(_NO_GROUND, str(error))
                    except ModelError as error:
                        self._drop(_BAD_SCORES, str(error))
                self._items += 1
                if self._items % _CHECKPOINT_EVERY == 0:
                    self._save(writer)
                progress(self._items, self._recording.expected_items)
        if self._frames == 0:
            self._discard()
            why = f"the first was dropped because: {self._first_drop}" if self._items else "it holds none"
            raise RecordingError(f"{request.source}: none of its {self._items} images gave a result; {why}")

    def _discard(self) -> None:
        # A result without a frame is of no use and would stand in the way of the next attempt.
        for path in (self._request.result, self._request.checkpoint):
            path.unlink(missing_ok=True)

    def _drop(self, reason: str, detail: str) -> None:
        self._first_drop = self._first_drop or detail
        self._dropped[reason] += 1

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
        for name, milliseconds in result.timings_ms.items():
            self._durations[name].add(milliseconds)
        self._durations[_PICTURES].add((pictured - began) * 1e3)
        self._durations[_WRITE].add((time.perf_counter() - pictured) * 1e3)
        self._durations[_PIPELINE].add(sum(result.timings_ms.values()))
        if self._frames == 0:
            self._first_result_s = time.monotonic() - self._request.started
        if self._frames % _TIME_NETWORK_EVERY == 0:
            self._durations[_NETWORK].add(self._engine.time_network()[0])
        self._costmaps.add(result.costmap)
        self._projections.add(result)
        self._frames += 1

    def _save(self, writer: ResultWriter) -> None:
        values = {
            "durations": {name: list(durations.counts.items()) for name, durations in self._durations.items()},
            "dropped": dict(self._dropped),
            "projections": self._projections.counts(),
            "frames": self._frames,
            "cells": dict(self._costmaps.cells),
            "costmaps": self._costmaps.digest,
            "first_result_s": self._first_result_s,
            "problems": dict(self._recording.problems),
        }
        Checkpoint(self._fingerprint, writer.flush(), self._items, self._pipeline.to_arrays(), values).save(
            self._request.checkpoint
        )

    def _restore(self) -> int:
        found = Checkpoint.load(self._request.checkpoint, self._fingerprint)
        self._items = found.items
        self._pipeline.restore(found.arrays)
        values = found.values
        self._durations = {name: Durations(dict(counts)) for name, counts in values["durations"].items()}
        self._dropped = Counter(values["dropped"])
        self._projections = ProjectionTally.of(values["projections"])
        self._frames = values["frames"]
        self._costmaps = CostmapTally(Counter(values["cells"]), values["costmaps"])
        self._first_result_s = values["first_result_s"]
        self._recording.problems.update(values["problems"])
        return found.position

    def summary(self) -> dict[str, Any]:
        """What summary.json holds."""
        alone = self._durations[_NETWORK].percentile(0.5)
        pipeline = self._durations[_PIPELINE].percentile(0.5)
        extra = sum(self._durations[name].percentile(0.5) for name in (_READ, _PICTURES, _WRITE))
        settings = self._request.settings.grid
        cells = {"rows": settings.rows, "columns": settings.cols, "resolution m": settings.resolution}
        return {
            "input": {"path": self._request.source, **self._recording.description},
            "command": self._request.command,
            "frames": {"in": self._items, "out": self._frames, "dropped": dict(self._dropped)},
            "problems": dict(self._recording.problems),
            "projections": self._projections.counts(),
            "stages": {name: self._durations[name].summary() for name in (_READ, *STAGES, _PICTURES, _WRITE)},
            "network_alone_ms": self._durations[_NETWORK].summary(),
            "pipeline_ms": self._durations[_PIPELINE].summary(),
            "overhead": round((pipeline - alone) / alone, 3),
            "overhead_with_reading_and_recording": round((pipeline + extra - alone) / alone, 3),
            "first_result_s": round(self._first_result_s, 3),
            "peak_rss_mb": round(peak_rss_mb(), 1),
            "cells": {**cells, **self._costmaps.shares()},
            "engine": self._engine.describe(),
            "versions": versions(),
            "hashes": {**self._hashes, "input and configuration": self._fingerprint, "costmaps": self._costmaps.digest},
        }


def _transform_text(transform: Any) -> str:
    return "" if transform is None else f"{transform.rotation.tolist()} {transform.translation.tolist()}"
