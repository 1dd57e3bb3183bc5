"""The closed-loop study: its cases, the processes that drive them, and the file of finished drives."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import cv2

import seg_perception
from seg_perception.closed_loop.course import LENGTH, Course, generate_course
from seg_perception.closed_loop.drive import FOOTPRINT, DriveRecord, drive
from seg_perception.closed_loop.mappers import (
    IMAGE_PERIOD_S,
    SETTINGS,
    CameraMapper,
    CameraSimulator,
    GroundTruthMapper,
    Mapper,
)
from seg_perception.closed_loop.path_follower import SPEED
from seg_perception.closed_loop.variants import VARIANTS, Variant
from seg_perception.errors import ConfigError
from seg_perception.evaluation.costmap.label_engine import LabelEngine
from seg_perception.evaluation.costmap.standard_drives import standard_camera
from seg_perception.geometry.camera import Camera
from seg_perception.inference.backends import open_engine
from seg_perception.inference.engine import Engine
from seg_perception.inference.prepared_graphs import load_card
from seg_perception.model.card import file_sha256
from seg_perception.model.logit_calibration import UNCALIBRATED
from seg_perception.pipeline.pipeline import graph_spec
from seg_perception.risk.cost_matrix import CostMatrix
from seg_perception.simulation.labels import check_classes
from seg_perception.simulation.sensors.degradation import DEGRADATIONS

Images = Literal["clean", "degraded"]
IMAGES: tuple[Images, ...] = ("clean", "degraded")

DEGRADED = ("dusk", "rain", "blur", "occlusion", "pitch_1", "drift")
"""Degradations of the degraded drives: one per seed, in turn."""

TRUE_MAP = "true_map"
TRUE_LABELS = Variant("true_labels", "the true labels in place of the network's, fixed cost per class", 0.0)


_CALIBRATED_ONLY = ("labels", "expected_bolder", "expected_boldest", "cvar_0.9_bolder")


@dataclass(frozen=True)
class StudyCase:
    """One row of the study's tables: which variant drives on which images.

    Attributes:
        images: "clean" or "degraded".
        variant: name of a `Variant`, or "true_map" for a planner with the true costmap.
        calibrated: with the calibration of the model card, or without.
    """

    images: Images
    variant: str
    calibrated: bool = True


@dataclass(frozen=True)
class DriveResult:
    """A finished drive of one case on one course.

    Attributes:
        case: variant and images.
        seed: of the course.
        degradation: its name, "day" for none.
        record: how it went.
    """

    case: StudyCase
    seed: int
    degradation: str
    record: DriveRecord


@dataclass(frozen=True)
class StudyRequest:
    """What to compare.

    Attributes:
        out: folder of drives.jsonl.
        model: ONNX file with its card next to it.
        matrix: cost matrix YAML.
        drives: number of drives per case.
        workers: number of processes.
    """

    out: Path
    model: Path
    matrix: Path
    drives: int
    workers: int = 1

    @property
    def file(self) -> Path:
        """The finished drives: one line of JSON each, after a line that identifies network, matrix and settings."""
        return self.out / "drives.jsonl"


def study_cases(images: Images) -> tuple[StudyCase, ...]:
    """All cases for one kind of images.

    Those of `_CALIBRATED_ONLY` drive with calibration only: `labels` because it uses no uncertainty, the bolder ones
    because they only show where their caution puts them between `labels` and `expected`.
    """
    network = [StudyCase(images, variant.name) for variant in VARIANTS]
    uncalibrated = [replace(case, calibrated=False) for case in network if case.variant not in _CALIBRATED_ONLY]
    return StudyCase(images, TRUE_MAP), StudyCase(images, TRUE_LABELS.name), *network, *uncalibrated


def run_study(request: StudyRequest, progress: Callable[[int, int], None]) -> Iterator[list[DriveResult]]:
    """Drive the cases that are not yet in the file.

    Args:
        request: what to compare.
        progress: called with (done, all) drives.

    Yields:
        All results so far: once at the start, then each time the file has grown.

    Raises:
        ConfigError: the file belongs to another network, matrix, version or settings, or is damaged.
        ModelError: the network cannot be run, or has other classes than the simulator.
    """
    card = load_card(request.model, None)
    check_classes(card.classes, card.name)
    request.out.mkdir(parents=True, exist_ok=True)
    done = _read(request)
    known = {(result.case, result.seed) for result in done}
    batches: list[tuple[StudyRequest, int, tuple[StudyCase, ...]]] = []
    for seed in range(request.drives):
        for images in IMAGES:
            pending = tuple(case for case in study_cases(images) if (case, seed) not in known)
            if pending:
                batches.append((request, seed, pending))
    total = len(done) + sum(len(pending) for _, _, pending in batches)
    yield list(done)
    for results in _run_batches(batches, request.workers):
        with request.file.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(_to_json(result)) + "\n" for result in results)
        done.extend(results)
        progress(len(done), total)
        yield list(done)


def _run_batches(
    batches: list[tuple[StudyRequest, int, tuple[StudyCase, ...]]], workers: int
) -> Iterable[list[DriveResult]]:
    if workers == 1:
        yield from map(_drive_batch, batches)
        return
    with ProcessPoolExecutor(workers) as pool:
        yield from pool.map(_drive_batch, batches)


def _drive_batch(batch: tuple[StudyRequest, int, tuple[StudyCase, ...]]) -> list[DriveResult]:
    """All pending cases of one course, one after the other, so that they share its images."""
    request, seed, pending = batch
    cv2.setNumThreads(1)
    shared = _shared_resources(request.model, request.matrix)
    name = "day" if pending[0].images == "clean" else DEGRADED[seed % len(DEGRADED)]
    course = generate_course(seed, DEGRADATIONS[name], FOOTPRINT, shared.matrix.traverse)
    camera_simulator = CameraSimulator(course, shared.camera, DEGRADATIONS[name], seed)
    return [
        DriveResult(case, seed, name, drive(course, _mapper(case, course, camera_simulator, shared)))
        for case in pending
    ]


@dataclass(frozen=True)
class _SharedResources:
    """Engines, matrix and camera that all drives of a process share."""

    matrix: CostMatrix
    camera: Camera
    calibrated: Engine
    uncalibrated: Engine
    labels: Engine


@lru_cache(maxsize=1)
def _shared_resources(model: Path, matrix: Path) -> _SharedResources:
    spec = graph_spec(SETTINGS, image_order="rgb")
    calibrated = open_engine(model, spec, threads=1)
    card = load_card(model, None)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "card.yaml"
        replace(card, calibration={"fp32": UNCALIBRATED}).write(path)
        uncalibrated = open_engine(model, spec, card=path, threads=1)
    camera = standard_camera(card.width, card.height)
    return _SharedResources(
        CostMatrix.load(matrix, card.classes), camera, calibrated, uncalibrated, LabelEngine(card, spec)
    )


def _mapper(case: StudyCase, course: Course, camera_simulator: CameraSimulator, shared: _SharedResources) -> Mapper:
    if case.variant == TRUE_MAP:
        return GroundTruthMapper(course, shared.matrix)
    if case.variant == TRUE_LABELS.name:
        return CameraMapper(camera_simulator, TRUE_LABELS, shared.labels, shared.matrix, true_labels=True)
    variant = next(variant for variant in VARIANTS if variant.name == case.variant)
    return CameraMapper(
        camera_simulator, variant, shared.calibrated if case.calibrated else shared.uncalibrated, shared.matrix
    )


def _to_json(result: DriveResult) -> dict[str, Any]:
    record = asdict(result.record)
    return {**asdict(result.case), "seed": result.seed, "degradation": result.degradation, **record}


def _from_json(line: dict[str, Any]) -> DriveResult:
    case = StudyCase(line["images"], line["variant"], line["calibrated"])
    record = DriveRecord(line["end"], line["hit"], line["ground"], line["waits"], line["image_count"])
    return DriveResult(case, line["seed"], line["degradation"], record)


def _read(request: StudyRequest) -> list[DriveResult]:
    """The finished drives; a new file gets its first line."""
    about = {
        "seg_perception": seg_perception.__version__,
        "model_sha256": file_sha256(request.model),
        "matrix_sha256": file_sha256(request.matrix),
        "settings": f"{SETTINGS}, {FOOTPRINT}, {LENGTH} m at {SPEED} m/s, an image every {IMAGE_PERIOD_S} s",
    }
    if not request.file.exists():
        request.file.write_text(json.dumps(about) + "\n", encoding="utf-8")
        return []
    try:
        first, *lines = request.file.read_text(encoding="utf-8").splitlines()
        known = json.loads(first)
        if known != about:
            differ = ", ".join(key for key in about if known.get(key) != about[key])
            raise ConfigError(f"{request.file}: holds drives with another {differ}; choose another folder with --out.")
        return [_from_json(json.loads(line)) for line in lines]
    except (ValueError, KeyError) as error:
        raise ConfigError(f"{request.file}: is damaged ({error!r}); remove the damaged line, or the file.") from None
