"""What all parts of the bench are made of: one network in several sizes, the simulator's frames, one cost matrix."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seg_perception.benchmark.networks import matrix_for, write_variant
from seg_perception.geometry.camera import Camera
from seg_perception.geometry.transforms import Transform
from seg_perception.inference.backends import open_engine
from seg_perception.inference.engine import Engine
from seg_perception.inference.prepared_graphs import load_card
from seg_perception.model.card import ModelCard
from seg_perception.pipeline.pipeline import graph_spec
from seg_perception.risk.cost_matrix import CostMatrix
from seg_perception.sensor_data.frame import Frame
from seg_perception.settings.grid import GridSettings
from seg_perception.settings.pipeline import PipelineSettings
from seg_perception.simulation.drive import Drive, Scenario

Progress = Callable[[int, int], None]

FIELD_OF_VIEW = math.radians(62)
FRAMES_PER_SECOND = 10.0
_SEED = 1
_OPTICAL = "camera_optical_frame"


@dataclass(frozen=True)
class BenchRequest:
    """What to bench.

    Attributes:
        model: ONNX file, its card beside it.
        matrix: cost matrix YAML.
        quick: a few cases and rounds only.
        threads: CPU threads of the network; None for one per core.
        folder: for networks and bags that are made on the way.
    """

    model: Path
    matrix: Path
    quick: bool
    threads: int | None
    folder: Path


@dataclass(frozen=True)
class Size:
    """A network's size.

    Attributes:
        width, height: of its image, pixels.
        classes: how many.
    """

    width: int
    height: int
    classes: int


@dataclass(frozen=True)
class Footage:
    """Some images of a drive, to be shown over and over.

    Attributes:
        frames: as a camera gives them that has the network's size.
        depth: float32 [H, W] for each frame, true z in the optical frame, m.
    """

    frames: tuple[Frame, ...]
    depth: tuple[NDArray[np.float32], ...]

    def at(self, number: int) -> Frame:
        """The frame of a round: the drive starts anew after its last one, and time goes on."""
        frame = self.frames[number % len(self.frames)]
        return replace(frame, stamp_ns=self.frames[0].stamp_ns + round(number * 1e9 / FRAMES_PER_SECOND))


class Setup:
    """Opens networks and renders frames, each once."""

    def __init__(self, request: BenchRequest) -> None:
        """Prepare for a request."""
        self.request = request
        self.footage = lru_cache(maxsize=None)(self._footage)

    @cached_property
    def card(self) -> ModelCard:
        """The card of the network as it is."""
        return load_card(self.request.model, None)

    @property
    def own_size(self) -> Size:
        """The network's own size."""
        return Size(self.card.width, self.card.height, len(self.card.classes))

    def model(self, size: Size) -> Path:
        """The network in a size; its own file where it has that already."""
        if size == self.own_size:
            return self.request.model
        return write_variant(self.request.model, self.card, size.width, size.height, size.classes, self.request.folder)

    def matrix(self, classes: int) -> CostMatrix:
        """The cost matrix for so many classes."""
        return matrix_for(CostMatrix.load(self.request.matrix, self.card.classes), classes)

    def engine(self, size: Size, logits: bool = False) -> Engine:
        """The network in a size, on the CPU: that is where every machine can say the same."""
        spec = graph_spec(PipelineSettings(), logits=logits)
        return open_engine(self.model(size), spec, threads=self.request.threads, backend="onnx_cpu")

    def _footage(self, width: int, height: int) -> Footage:
        focal = width / (2 * math.tan(FIELD_OF_VIEW / 2))
        matrix = [focal, 0, (width - 1) / 2, 0, focal, (height - 1) / 2, 0, 0, 1]
        camera = Camera.from_fields(width, height, "plumb_bob", matrix, ())
        count = 4 if self.request.quick else 8
        drive = Drive(Scenario(camera, _SEED, duration=count / FRAMES_PER_SECOND, fps=FRAMES_PER_SECOND))
        frames, depth = [], []
        for shot in drive.frames():
            image = np.ascontiguousarray(shot.view.rgb[..., ::-1])
            frames.append(
                Frame(shot.stamp_ns, image, "bgr", camera, shot.odom_from_base, shot.base_from_optical, _OPTICAL)
            )
            depth.append(shot.view.depth)
        return Footage(tuple(frames), tuple(depth))


def cameras_around(frame: Frame, count: int) -> list[Frame]:
    """The same image from so many cameras that look in all directions, evenly spread."""
    turns = (Transform.from_xyz_rpy(0.0, 0.0, 0.0, 0.0, 0.0, 2 * math.pi * turn / count) for turn in range(count))
    return [replace(frame, base_from_optical=turn @ frame.base_from_optical) for turn in turns]


def grid_of(cells: int) -> PipelineSettings:
    """The default settings with a square grid of so many cells along each side."""
    resolution = GridSettings().resolution
    return PipelineSettings(grid=GridSettings(width=cells * resolution, height=cells * resolution))
