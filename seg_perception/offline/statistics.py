"""What a run leaves in summary.json: times, cells, digests, projections, versions.

Everything counted here adds up: the counts of the stretches of a recording make those of the whole.
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
from seg_perception.pipeline.pipeline import Result
from seg_perception.utils.durations import Durations

_LIBRARIES = ("numpy", "onnxruntime", "rosbags")
_DIGEST_BITS = 256


@dataclass
class CostmapTally:
    """Counts cells, and digests every costmap with its stamp.

    Attributes:
        cells: "all", "known", "free" and "lethal", summed over costmaps.
        total: of the SHA-256 of each stamp and costmap, modulo 2^256. A sum, unlike a digest of all bytes in a row, can
            be kept in a checkpoint and put together from stretches.
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
        """The total in hexadecimal: equal for two runs that gave the same costmaps at the same stamps."""
        return f"{self.total:0{_DIGEST_BITS // 4}x}"

    def shares(self) -> dict[str, float]:
        """The share of all cells that was known, free and lethal."""
        return {f"{name} share": self.cells[name] / max(self.cells["all"], 1) for name in ("known", "free", "lethal")}


@dataclass
class ProjectionTally:
    """Counts how frames were projected.

    Attributes:
        used: by projection.
        refused: why better ones were not used, by reason.
    """

    used: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)

    def add(self, result: Result) -> None:
        """Count one result."""
        self.used[result.projection] += 1
        self.refused.update(result.refused)

    def counts(self) -> dict[str, dict[str, int]]:
        """Both, as JSON keeps them."""
        return {"used": dict(self.used), "refused": dict(self.refused)}


@dataclass
class RunTally:
    """Everything that is counted while a recording is replayed.

    Attributes:
        items: images done, dropped ones included.
        frames: those of them that gave a result.
        dropped: the others, by reason.
        durations: by name of the work.
    """

    items: int = 0
    frames: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    projections: ProjectionTally = field(default_factory=ProjectionTally)
    costmaps: CostmapTally = field(default_factory=CostmapTally)
    durations: dict[str, Durations] = field(default_factory=dict)

    def time(self, name: str, milliseconds: float) -> None:
        """Count one duration."""
        self.durations.setdefault(name, Durations()).add(milliseconds)

    def duration(self, name: str) -> Durations:
        """Of a name; empty where nothing was timed under it."""
        return self.durations.get(name, Durations())

    def to_json(self) -> dict[str, Any]:
        """All of it, as JSON keeps it."""
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
    def of(cls, content: Mapping[str, Any]) -> RunTally:
        """The inverse of `to_json`."""
        return cls(
            content["items"],
            content["frames"],
            Counter(content["dropped"]),
            ProjectionTally(Counter(content["projections"]["used"]), Counter(content["projections"]["refused"])),
            CostmapTally(Counter(content["cells"]), content["costmaps"]),
            {name: Durations(dict(counts)) for name, counts in content["durations"].items()},
        )

    @classmethod
    def sum(cls, tallies: Iterable[RunTally]) -> RunTally:
        """That of a recording, from those of its stretches."""
        whole = cls()
        for tally in tallies:
            whole.items += tally.items
            whole.frames += tally.frames
            whole.dropped.update(tally.dropped)
            whole.projections.used.update(tally.projections.used)
            whole.projections.refused.update(tally.projections.refused)
            whole.costmaps.cells.update(tally.costmaps.cells)
            whole.costmaps.total = (whole.costmaps.total + tally.costmaps.total) % 2**_DIGEST_BITS
            for name, durations in tally.durations.items():
                whole.durations.setdefault(name, Durations()).counts.update(durations.counts)
        return whole


def versions() -> Mapping[str, str]:
    """Name → version of what the result depends on."""
    return {
        "seg_perception": seg_perception.__version__,
        "python": platform.python_version(),
        **{name: version(name) for name in _LIBRARIES},
        "opencv": cv2.__version__,
    }
