"""Inputs of all benchmark parts: one network in several sizes, simulated frames, one cost matrix."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seg_perception.benchmark.networks import matrix_with_classes, write_network_variant
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
    """What to measure.

    Attributes:
        model: ONNX file with its card next to it.
        matrix: cost matrix YAML.
        quick: a few cases and rounds only.
        threads: CPU threads of the network; None for one per core.
        folder: for temporary networks and recordings.
    """

    model: Path
    matrix: Path
    quick: bool
    threads: int | None
    folder: Path


@dataclass(frozen=True)
class NetworkSize:
    """A network's size.

    Attributes:
        width, height: of its image, pixels.
        classes: number of classes.
    """

    width: int
    height: int
    classes: int


@dataclass(frozen=True)
class SampleFrames:
    """Some frames of a drive, used in turn.

    Attributes:
        frames: of a camera with the network's image size.
        depth: float32 [H, W] for each frame, true z in the optical frame, m.
    """

    frames: tuple[Frame, ...]
    depth: tuple[NDArray[np.float32], ...]

    def at(self, number: int) -> Frame:
        """The frame of a round. After the last frame the drive repeats with later stamps."""
        frame = self.frames[number % len(self.frames)]
        return replace(frame, stamp_ns=self.frames[0].stamp_ns + round(number * 1e9 / FRAMES_PER_SECOND))


class Setup:
    """Opens networks and renders frames, each once."""

    def __init__(self, request: BenchRequest) -> None:
        """Prepare for a request."""
        self.request = request
        self.sample_frames = lru_cache(maxsize=None)(self._sample_frames)

    @cached_property
    def card(self) -> ModelCard:
        """The card of the network as it is."""
        return load_card(self.request.model, None)

    @property
    def own_size(self) -> NetworkSize:
        """The network's own size."""
        return NetworkSize(self.card.width, self.card.height, len(self.card.classes))

    def model(self, size: NetworkSize) -> Path:
        """The network in a size; the original file for its own size."""
        if size == self.own_size:
            return self.request.model
        return write_network_variant(
            self.request.model, self.card, size.width, size.height, size.classes, self.request.folder
        )

    def matrix(self, classes: int) -> CostMatrix:
        """The cost matrix for so many classes."""
        return matrix_with_classes(CostMatrix.load(self.request.matrix, self.card.classes), classes)

    def engine(self, size: NetworkSize, logits: bool = False) -> Engine:
        """The network in a size, on the CPU, which every machine has."""
        spec = graph_spec(PipelineSettings(), logits=logits)
        return open_engine(self.model(size), spec, threads=self.request.threads, backend="onnx_cpu")

    def _sample_frames(self, width: int, height: int) -> SampleFrames:
        focal = width / (2 * math.tan(FIELD_OF_VIEW / 2))
        matrix = [focal, 0, (width - 1) / 2, 0, focal, (height - 1) / 2, 0, 0, 1]
        camera = Camera.from_fields(width, height, "plumb_bob", matrix, ())
        count = 4 if self.request.quick else 8
        drive = Drive(Scenario(camera, _SEED, duration=count / FRAMES_PER_SECOND, fps=FRAMES_PER_SECOND))
        frames, depth = [], []
        for drive_frame in drive.frames():
            image = np.ascontiguousarray(drive_frame.view.rgb[..., ::-1])
            frames.append(
                Frame(
                    drive_frame.stamp_ns,
                    image,
                    "bgr",
                    camera,
                    drive_frame.odom_from_base,
                    drive_frame.base_from_optical,
                    _OPTICAL,
                )
            )
            depth.append(drive_frame.view.depth)
        return SampleFrames(tuple(frames), tuple(depth))


def cameras_in_circle(frame: Frame, count: int) -> list[Frame]:
    """The same image from `count` cameras that face in evenly spread directions."""
    turns = (Transform.from_xyz_rpy(0.0, 0.0, 0.0, 0.0, 0.0, 2 * math.pi * turn / count) for turn in range(count))
    return [replace(frame, base_from_optical=turn @ frame.base_from_optical) for turn in turns]


def settings_with_grid(cells: int) -> PipelineSettings:
    """The default settings with a square grid of `cells` cells along each side."""
    resolution = GridSettings().resolution
    return PipelineSettings(grid=GridSettings(width=cells * resolution, height=cells * resolution))
