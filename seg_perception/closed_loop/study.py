"""All drives of the comparison: which there are, who drives them, and a file that remembers those that are done."""

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
from seg_perception.closed_loop.course import LENGTH, Course, lay_course
from seg_perception.closed_loop.drive import (
    BODY,
    SECONDS,
    SETTINGS,
    CameraMapper,
    Mapper,
    Photographer,
    Record,
    TruthMapper,
    drive,
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
from seg_perception.simulation.sensors.degradation import FAULTS

Images = Literal["clean", "degraded"]
IMAGES: tuple[Images, ...] = ("clean", "degraded")

DEGRADED = ("dusk", "rain", "blur", "occlusion", "pitch_1", "drift")
"""Faults of the degraded drives, one to a seed, in turn."""

TRUE_MAP = "true_map"
TRUE_LABELS = Variant("true_labels", "the true labels in place of the network's, fixed cost per class", 0.0)


_CALIBRATED_ONLY = ("labels", "expected_bolder", "expected_boldest", "cvar_0.9_bolder")


@dataclass(frozen=True)
class Cell:
    """One column of the comparison: what drives on which images.

    Attributes:
        images: "clean" or "degraded".
        variant: name of a `Variant`, or "true_map" for a planner that knows everything.
        calibrated: with the calibration of the model card, or without.
    """

    images: Images
    variant: str
    calibrated: bool = True


@dataclass(frozen=True)
class Outcome:
    """A drive, as it is remembered.

    Attributes:
        cell: what drove.
        seed: on which course.
        fault: name of what was wrong, "day" for nothing.
        record: how it went.
    """

    cell: Cell
    seed: int
    fault: str
    record: Record


@dataclass(frozen=True)
class StudyRequest:
    """What is compared.

    Attributes:
        out: folder of drives.jsonl.
        model: ONNX file with its card beside it.
        matrix: cost matrix YAML.
        drives: per cell.
        workers: processes.
    """

    out: Path
    model: Path
    matrix: Path
    drives: int
    workers: int = 1

    @property
    def file(self) -> Path:
        """Where drives are remembered: one line of JSON each, after one that says what they are of."""
        return self.out / "drives.jsonl"


def cells(images: Images) -> tuple[Cell, ...]:
    """All that drives on these images. `labels` drives once, calibrated: doubt is nothing that it knows.

    So do the bolder ones, which show where their caution puts them between `labels` and `expected`.
    """
    network = [Cell(images, variant.name) for variant in VARIANTS]
    uncalibrated = [replace(cell, calibrated=False) for cell in network if cell.variant not in _CALIBRATED_ONLY]
    return Cell(images, TRUE_MAP), Cell(images, TRUE_LABELS.name), *network, *uncalibrated


def run_study(request: StudyRequest, progress: Callable[[int, int], None]) -> Iterator[list[Outcome]]:
    """Drive what is not yet in the file.

    Args:
        request: what is compared.
        progress: called with (done, all) drives.

    Yields:
        All outcomes so far, each time the file has grown, and once at least.

    Raises:
        ConfigError: the file is of another network, matrix or version, or damaged.
        ModelError: the network cannot be run, or has other classes than the simulator.
    """
    card = load_card(request.model, None)
    check_classes(card.classes, card.name)
    request.out.mkdir(parents=True, exist_ok=True)
    done = _read(request)
    have = {(outcome.cell, outcome.seed) for outcome in done}
    parts: list[tuple[StudyRequest, int, tuple[Cell, ...]]] = []
    for seed in range(request.drives):
        for images in IMAGES:
            left = tuple(cell for cell in cells(images) if (cell, seed) not in have)
            if left:
                parts.append((request, seed, left))
    total = len(done) + sum(len(left) for _, _, left in parts)
    yield list(done)
    for outcomes in _mapped(parts, request.workers):
        with request.file.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(_to_json(outcome)) + "\n" for outcome in outcomes)
        done.extend(outcomes)
        progress(len(done), total)
        yield list(done)


def _mapped(parts: list[tuple[StudyRequest, int, tuple[Cell, ...]]], workers: int) -> Iterable[list[Outcome]]:
    if workers == 1:
        yield from map(_drive_part, parts)
        return
    with ProcessPoolExecutor(workers) as pool:
        yield from pool.map(_drive_part, parts)


def _drive_part(part: tuple[StudyRequest, int, tuple[Cell, ...]]) -> list[Outcome]:
    """All cells of one course, one after the other, so that they share its pictures."""
    request, seed, left = part
    cv2.setNumThreads(1)
    tools = _tools(request.model, request.matrix)
    name = "day" if left[0].images == "clean" else DEGRADED[seed % len(DEGRADED)]
    course = lay_course(seed, FAULTS[name], BODY, tools.matrix.traverse)
    photographer = Photographer(course, tools.camera, FAULTS[name], seed)
    return [Outcome(cell, seed, name, drive(course, _mapper(cell, course, photographer, tools))) for cell in left]


@dataclass(frozen=True)
class _Tools:
    """What every drive needs: opened once per process."""

    matrix: CostMatrix
    camera: Camera
    calibrated: Engine
    uncalibrated: Engine
    labels: Engine


@lru_cache(maxsize=1)
def _tools(model: Path, matrix: Path) -> _Tools:
    spec = graph_spec(SETTINGS, image_order="rgb")
    calibrated = open_engine(model, spec, threads=1)
    card = load_card(model, None)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "card.yaml"
        replace(card, calibration={"fp32": UNCALIBRATED}).write(path)
        uncalibrated = open_engine(model, spec, card=path, threads=1)
    camera = standard_camera(card.width, card.height)
    return _Tools(CostMatrix.load(matrix, card.classes), camera, calibrated, uncalibrated, LabelEngine(card, spec))


def _mapper(cell: Cell, course: Course, photographer: Photographer, tools: _Tools) -> Mapper:
    if cell.variant == TRUE_MAP:
        return TruthMapper(course, tools.matrix)
    if cell.variant == TRUE_LABELS.name:
        return CameraMapper(photographer, TRUE_LABELS, tools.labels, tools.matrix, true_labels=True)
    variant = next(variant for variant in VARIANTS if variant.name == cell.variant)
    return CameraMapper(
        photographer, variant, tools.calibrated if cell.calibrated else tools.uncalibrated, tools.matrix
    )


def _to_json(outcome: Outcome) -> dict[str, Any]:
    record = asdict(outcome.record)
    return {**asdict(outcome.cell), "seed": outcome.seed, "fault": outcome.fault, **record}


def _from_json(line: dict[str, Any]) -> Outcome:
    cell = Cell(line["images"], line["variant"], line["calibrated"])
    record = Record(line["end"], line["hit"], line["ground"], line["waits"], line["looks"])
    return Outcome(cell, line["seed"], line["fault"], record)


def _read(request: StudyRequest) -> list[Outcome]:
    """Outcomes so far; a new file gets its first line."""
    about = {
        "seg_perception": seg_perception.__version__,
        "model_sha256": file_sha256(request.model),
        "matrix_sha256": file_sha256(request.matrix),
        "rules": f"{SETTINGS}, {BODY}, {LENGTH} m at {SPEED} m/s, an image each {SECONDS} s",
    }
    if not request.file.exists():
        request.file.write_text(json.dumps(about) + "\n", encoding="utf-8")
        return []
    try:
        first, *lines = request.file.read_text(encoding="utf-8").splitlines()
        known = json.loads(first)
        outcomes = [_from_json(json.loads(line)) for line in lines]
    except (ValueError, KeyError) as error:
        raise ConfigError(f"{request.file}: is damaged ({error!r}); remove the damaged line, or the file.") from None
    if known != about:
        differ = ", ".join(key for key in about if known.get(key) != about[key])
        raise ConfigError(f"{request.file}: holds drives with another {differ}; choose another folder with --out.")
    return outcomes
