"""Statistics of a replay for summary.json: times, cells, digests, projections, versions.

All of them add up: the sum over the segments of a recording is that of the whole recording.
"""

from __future__ import annotations

import hashlib
import platform
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

import seg_perception
from seg_perception.pipeline.result import Result
from seg_perception.utils.duration_histogram import DurationHistogram

_LIBRARIES = ("numpy", "onnxruntime", "rosbags")
_DIGEST_BITS = 256


@dataclass
class CostmapStatistics:
    """Counts cells, and computes a digest of all costmaps with their stamps.

    Attributes:
        cells: number of cells "all", "known", "free" and "lethal", summed over costmaps.
        total: sum of the SHA-256 of each stamp and costmap, modulo 2^256. Unlike a digest of all bytes in a row, a sum
            can be stored in a checkpoint, and added up over segments.
    """

    cells: Counter[str] = field(default_factory=Counter)
    total: int = 0

    def add(self, costmap: NDArray[np.int8], stamp_ns: int) -> None:
        """Count one costmap, int8 [rows, cols] in nav_msgs/OccupancyGrid values."""
        self.cells["all"] += costmap.size
        self.cells["known"] += int(np.count_nonzero(costmap >= 0))
        self.cells["free"] += int(np.count_nonzero(costmap == 0))
        self.cells["lethal"] += int(np.count_nonzero(costmap == 100))
        digest = hashlib.sha256(f"{stamp_ns}\0".encode() + costmap.tobytes()).digest()
        self.total = (self.total + int.from_bytes(digest, "big")) % 2**_DIGEST_BITS

    @property
    def digest(self) -> str:
        """The total in hexadecimal; two runs with the same costmaps at the same stamps have the same digest."""
        return f"{self.total:0{_DIGEST_BITS // 4}x}"

    def shares(self) -> dict[str, float]:
        """The shares of all cells that are known, free and lethal."""
        return {f"{name} share": self.cells[name] / max(self.cells["all"], 1) for name in ("known", "free", "lethal")}


@dataclass
class ProjectionStatistics:
    """Counts the projections of the frames.

    Attributes:
        used: number of frames by projection.
        refused: how often a better projection was not used, by reason.
    """

    used: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)

    def add(self, result: Result) -> None:
        """Count one result."""
        self.used[result.projection] += 1
        self.refused.update(result.refused)

    def counts(self) -> dict[str, dict[str, int]]:
        """Both as JSON."""
        return {"used": dict(self.used), "refused": dict(self.refused)}


@dataclass
class RunStatistics:
    """All statistics of a replay.

    Attributes:
        items: number of images, including dropped ones.
        frames: number of images with a result.
        dropped: number of dropped images by reason.
        projections: of the frames.
        costmaps: of the frames.
        durations: by name of the stage.
    """

    items: int = 0
    frames: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    projections: ProjectionStatistics = field(default_factory=ProjectionStatistics)
    costmaps: CostmapStatistics = field(default_factory=CostmapStatistics)
    durations: dict[str, DurationHistogram] = field(default_factory=dict)

    def time(self, name: str, milliseconds: float) -> None:
        """Add one duration."""
        self.durations.setdefault(name, DurationHistogram()).add(milliseconds)

    def duration(self, name: str) -> DurationHistogram:
        """The durations of a stage; empty if there are none."""
        return self.durations.get(name, DurationHistogram())

    def to_json(self) -> dict[str, Any]:
        """All statistics as JSON."""
        return {
            "items": self.items,
            "frames": self.frames,
            "dropped": dict(self.dropped),
            "projections": self.projections.counts(),
            "cells": dict(self.costmaps.cells),
            "costmaps": self.costmaps.total,
            "durations": {name: list(durations.counts.items()) for name, durations in self.durations.items()},
        }

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> RunStatistics:
        """The inverse of `to_json`."""
        return cls(
            content["items"],
            content["frames"],
            Counter(content["dropped"]),
            ProjectionStatistics(Counter(content["projections"]["used"]), Counter(content["projections"]["refused"])),
            CostmapStatistics(Counter(content["cells"]), content["costmaps"]),
            {name: DurationHistogram(dict(counts)) for name, counts in content["durations"].items()},
        )

    @classmethod
    def sum(cls, parts: Iterable[RunStatistics]) -> RunStatistics:
        """The statistics of a recording from those of its segments."""
        whole = cls()
        for statistics in parts:
            whole.items += statistics.items
            whole.frames += statistics.frames
            whole.dropped.update(statistics.dropped)
            whole.projections.used.update(statistics.projections.used)
            whole.projections.refused.update(statistics.projections.refused)
            whole.costmaps.cells.update(statistics.costmaps.cells)
            whole.costmaps.total = (whole.costmaps.total + statistics.costmaps.total) % 2**_DIGEST_BITS
            for name, durations in statistics.durations.items():
                whole.durations.setdefault(name, DurationHistogram()).counts.update(durations.counts)
        return whole


def versions() -> Mapping[str, str]:
    """Name → version of the libraries that the result depends on."""
    return {
        "seg_perception": seg_perception.__version__,
        "python": platform.python_version(),
        **{name: version(name) for name in _LIBRARIES},
        "opencv": cv2.__version__,
    }
