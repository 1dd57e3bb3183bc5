"""Evaluates a series of costmaps: cell metrics, regret of planned paths, latency."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seg_perception.evaluation.costmap.metrics import (
    CellCounts,
    CostmapEvaluationConfig,
    GroundTruth,
    count_cells,
    regret,
)
from seg_perception.evaluation.costmap.paths import RobotFootprint
from seg_perception.evaluation.metrics.intervals import bootstrap_mean
from seg_perception.pipeline.result import Result
from seg_perception.utils.duration_histogram import DurationHistogram

LOOKAHEAD = 5.0  # m: paths are planned to where the robot really drove, this far ahead


@dataclass(frozen=True, eq=False)
class _PendingCostmap:
    """A costmap whose path goal is not known yet: the robot has not driven `LOOKAHEAD` further."""

    result: Result
    ground_truth: GroundTruth


@dataclass
class CostmapEvaluator:
    """Adds up the metrics of pipeline results.

    Attributes:
        config: bands and tolerance.
        footprint: of the robot.
        counts: cell counts by band.
        regrets: m of free ground, one for each costmap with a path.
        planned: costmaps on which a path was planned.
        latency: of the pipeline, ms.
        costmaps: number of evaluated costmaps.
    """

    config: CostmapEvaluationConfig
    footprint: RobotFootprint
    regrets: list[float] = field(default_factory=list)
    planned: int = 0
    costmaps: int = 0
    latency: DurationHistogram = field(default_factory=DurationHistogram)
    _pending: deque[_PendingCostmap] = field(default_factory=deque)

    def __post_init__(self) -> None:
        """Start with nothing counted."""
        self.counts = CellCounts.none(len(self.config.bands))

    def add(self, result: Result, ground_truth: GroundTruth, view: NDArray[np.bool_]) -> None:
        """Evaluate one result against ground truth on its cells; `view` is its camera's `field_of_view`."""
        frame = result.frame
        camera = (frame.odom_from_base @ frame.base_from_optical).translation
        camera_xy = float(camera[0]), float(camera[1])
        self.counts += count_cells(result.costmap, result.bounds, ground_truth, camera_xy, view, self.config)
        self.latency.add(sum(result.timings_ms.values()))
        self.costmaps += 1
        self._pending.append(_PendingCostmap(result, ground_truth))
        x, y = _position(result)
        while self._pending:
            first = self._pending[0]
            x0, y0 = _position(first.result)
            if np.hypot(x - x0, y - y0) < LOOKAHEAD:
                break
            self._pending.popleft()
            self._plan(first, (x, y))

    def end_drive(self) -> None:
        """End a drive: no path is planned on costmaps whose goal is not known yet."""
        self._pending.clear()

    def summary(self) -> dict[str, Any]:
        """All metrics, ready for JSON; None where undefined. docs/results/evaluation.md defines them."""
        edges = (0.0, *self.config.bands)
        names = [f"{low:g}-{high:g} m" for low, high in pairwise(edges)]
        by_band = {name: _plain(share) for name, share in self.counts.shares().items()}
        regrets = bootstrap_mean(self.regrets)
        return {
            "costmaps": self.costmaps,
            "bands": names,
            "by_band": by_band,
            "all": {name: _plain(share)[0] for name, share in self.counts.total().shares().items()},
            "regret_m": _plain(np.array([regrets.value, regrets.low, regrets.high])),
            "no_way": _plain(np.array([1.0 - len(self.regrets) / self.planned if self.planned else np.nan]))[0],
            "latency_ms": self.latency.summary(),
        }

    def _plan(self, pending: _PendingCostmap, goal: tuple[float, float]) -> None:
        result = pending.result
        cell = np.floor((np.array(goal) - result.bounds.origin) / result.bounds.resolution)
        if (cell < 0).any() or (cell >= (result.bounds.cols, result.bounds.rows)).any():
            return  # the robot jumped out of the map
        self.planned += 1
        value = regret(result.costmap, result.bounds, pending.ground_truth, _position(result), goal, self.footprint)
        if value is not None:
            self.regrets.append(value)


def _position(result: Result) -> tuple[float, float]:
    x, y, _ = result.frame.odom_from_base.translation.tolist()
    return x, y


def _plain(values: NDArray[np.float64]) -> list[float | None]:
    return [None if np.isnan(value) else round(float(value), 5) for value in values]
