"""What judging a run of costmaps adds up to: cells, regret, latency."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seg_perception.evaluation.costmap.metrics import CellCounts, Rules, Truth, judge_costmap, regret
from seg_perception.evaluation.costmap.paths import Body
from seg_perception.evaluation.metrics.intervals import bootstrap_mean
from seg_perception.pipeline.pipeline import Result
from seg_perception.utils.durations import Durations

AHEAD = 5.0  # m: where the robot went to is the goal that ways are planned to


@dataclass(frozen=True, eq=False)
class _Waiting:
    """A costmap that waits for the robot to have gone far enough to know where it was going."""

    result: Result
    truth: Truth


@dataclass
class CostmapRun:
    """Judges results as they come.

    Attributes:
        rules: bands and tolerance.
        body: the robot.
        counts: cells by band.
        regrets: m of free ground, one for each costmap that showed a way.
        ways: costmaps asked for a way.
        latency: of the pipeline, ms.
        judged: number of costmaps.
    """

    rules: Rules
    body: Body
    regrets: list[float] = field(default_factory=list)
    ways: int = 0
    judged: int = 0
    latency: Durations = field(default_factory=Durations)
    _waiting: deque[_Waiting] = field(default_factory=deque)

    def __post_init__(self) -> None:
        """Start with nothing counted."""
        self.counts = CellCounts.none(len(self.rules.bands))

    def add(self, result: Result, truth: Truth, view: NDArray[np.bool_]) -> None:
        """Judge one result, by the truth on its cells; `view` is what its camera looked at (`field_of_view`)."""
        frame = result.frame
        eye = (frame.odom_from_base @ frame.base_from_optical).translation
        at = float(eye[0]), float(eye[1])
        self.counts += judge_costmap(result.costmap, result.raster, truth, at, view, self.rules)
        self.latency.add(sum(result.timings_ms.values()))
        self.judged += 1
        self._waiting.append(_Waiting(result, truth))
        x, y = _place(result)
        while self._waiting:
            first = self._waiting[0]
            x0, y0 = _place(first.result)
            if np.hypot(x - x0, y - y0) < AHEAD:
                break
            self._waiting.popleft()
            self._price(first, (x, y))

    def end_drive(self) -> None:
        """The robot goes on somewhere else: ways that wait for their goal never get one."""
        self._waiting.clear()

    def figures(self) -> dict[str, Any]:
        """All figures, ready for JSON; None for what was not counted. docs/results/evaluation.md says what each means."""
        edges = (0.0, *self.rules.bands)
        names = [f"{low:g}-{high:g} m" for low, high in pairwise(edges)]
        by_band = {name: _plain(share) for name, share in self.counts.shares().items()}
        regrets = bootstrap_mean(self.regrets)
        return {
            "costmaps": self.judged,
            "bands": names,
            "by_band": by_band,
            "all": {name: _plain(share)[0] for name, share in self.counts.total().shares().items()},
            "regret_m": _plain(np.array([regrets.value, regrets.low, regrets.high])),
            "no_way": _plain(np.array([1.0 - len(self.regrets) / self.ways if self.ways else np.nan]))[0],
            "latency_ms": self.latency.summary(),
        }

    def _price(self, waiting: _Waiting, goal: tuple[float, float]) -> None:
        result = waiting.result
        cell = np.floor((np.array(goal) - result.raster.origin) / result.raster.resolution)
        if (cell < 0).any() or (cell >= (result.raster.cols, result.raster.rows)).any():
            return  # the robot jumped out of the map
        self.ways += 1
        paid = regret(result.costmap, result.raster, waiting.truth, _place(result), goal, self.body)
        if paid is not None:
            self.regrets.append(paid)


def _place(result: Result) -> tuple[float, float]:
    x, y, _ = result.frame.odom_from_base.translation.tolist()
    return x, y


def _plain(values: NDArray[np.float64]) -> list[float | None]:
    return [None if np.isnan(value) else round(float(value), 5) for value in values]
