"""What a run leaves in summary.json beside its own times: cells, digests, projections, versions, memory."""

from __future__ import annotations

import hashlib
import platform
import resource
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version

import cv2
import numpy as np
from numpy.typing import NDArray

import seg_perception
from seg_perception.pipeline import Result

_LIBRARIES = ("numpy", "onnxruntime", "rosbags")


@dataclass
class CostmapTally:
    """Counts cells, and digests every costmap in order.

    Attributes:
        cells: "all", "known", "free" and "lethal", summed over costmaps.
        digest: SHA-256 over the chain of costmaps: equal for two runs that gave the same costmaps in the same order.
    """

    cells: Counter[str] = field(default_factory=Counter)
    digest: str = field(default_factory=lambda: hashlib.sha256().hexdigest())

    def add(self, costmap: NDArray[np.int8]) -> None:
        """Count one costmap, int8 [rows, cols] in nav_msgs/OccupancyGrid values."""
        self.cells["all"] += costmap.size
        self.cells["known"] += int(np.count_nonzero(costmap >= 0))
        self.cells["free"] += int(np.count_nonzero(costmap == 0))
        self.cells["lethal"] += int(np.count_nonzero(costmap == 100))
        # A chain of digests, because a digest in progress cannot be kept in a checkpoint.
        self.digest = hashlib.sha256(self.digest.encode() + costmap.tobytes()).hexdigest()

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

    @classmethod
    def of(cls, counts: Mapping[str, Mapping[str, int]]) -> ProjectionTally:
        """The inverse of `counts`."""
        return cls(Counter(counts["used"]), Counter(counts["refused"]))

    def add(self, result: Result) -> None:
        """Count one result."""
        self.used[result.projection] += 1
        self.refused.update(result.refused)

    def counts(self) -> dict[str, dict[str, int]]:
        """Both, as JSON keeps them."""
        return {"used": dict(self.used), "refused": dict(self.refused)}


def versions() -> Mapping[str, str]:
    """Name → version of what the result depends on."""
    return {
        "seg_perception": seg_perception.__version__,
        "python": platform.python_version(),
        **{name: version(name) for name in _LIBRARIES},
        "opencv": cv2.__version__,
    }


def peak_rss_mb() -> float:
    """Largest resident memory of this process so far, MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024 * 1024 if sys.platform == "darwin" else 1024)
