"""What follows the network, on the CPU: calibration, Bayes decision, costs and ground samples.

It answers what the fused graph answers (`graph`, `risk_nodes`), without interpolating what need not be: where the
decision is the same at four neighbouring logits with enough margin, it is proved to be the same at every pixel between
them (`cpu_kernels.settle`). Confidence and expected cost of the pixels are made when somebody asks for them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from seg_perception.inference import cpu_kernels
from seg_perception.inference.engine import EngineOutput, Pictures
from seg_perception.inference.risk_nodes import LOGIT_RANGE, MIN_PROBABILITY, phase_weights
from seg_perception.logit_scaling import LogitScaling


@dataclass(frozen=True)
class CpuRisk:
    """How the scores of one network are read.

    Attributes:
        scaling: the model card's.
        output: what the scores are.
        factor: pixels to decide per score along each axis.
        logits: whether to give the calibrated logits, too.
    """

    scaling: LogitScaling
    output: Literal["logits", "probabilities"]
    factor: int
    logits: bool = False

    def judge(
        self, scores: NDArray[np.float32], costs: NDArray[np.float32], cells: NDArray[np.float32]
    ) -> EngineOutput:
        """Read a network's scores.

        Args:
            scores: float32 [N, K, h, w], finite.
            costs: float32 [K + 1, K], decision rows and the traverse row.
            cells: float32 [N, G, 2], see `Engine.run`.
        """
        images, classes, rows, columns = scores.shape
        logits = self._calibrated(scores)
        labels = np.empty((images, rows * self.factor, columns * self.factor), np.uint8)
        probabilities = np.empty((*cells.shape[:2], classes), np.float32)
        settled = np.empty((rows, columns), np.int32)
        bits = np.empty(rows * columns * classes, np.int32)
        decisions = _Decisions.of(costs[:-1])
        weights = _pixel_weights(self.factor)
        for n in range(images):
            masses = logits[n].copy()
            cpu_kernels.exponentials(masses.ravel(), bits)
            decisions.settle(masses.reshape(-1, classes), settled.ravel())
            decisions.decide(logits[n], settled, weights, self.factor, labels[n])
            cpu_kernels.sample(logits[n], cells[n], probabilities[n])

        def pictures() -> Pictures:
            made = Pictures(np.empty_like(labels), np.empty_like(labels))
            for n in range(images):
                cpu_kernels.paint(logits[n], costs[-1], weights, self.factor, made.confidence[n], made.expected_cost[n])
            return made

        planes = np.ascontiguousarray(np.moveaxis(logits, -1, 1)) if self.logits else None
        return EngineOutput(labels, probabilities, pictures, planes)

    def warm_up(self, classes: int) -> None:
        """Compile, or load what was compiled before, so that no image has to wait for it."""
        scores, costs = np.zeros((1, classes, 2, 2), np.float32), np.zeros((classes + 1, classes), np.float32)
        self.judge(scores, costs, np.zeros((1, 1, 2), np.float32)).make_pictures()

    def _calibrated(self, scores: NDArray[np.float32]) -> NDArray[np.float32]:
        """As `risk_nodes.calibrated_logits`, but [N, h, w, K]."""
        images, classes, rows, columns = scores.shape
        if self.output == "probabilities":
            scores = np.log(np.maximum(scores, np.float32(MIN_PROBABILITY)))
        every = np.ones(classes, np.float32)
        factor, offset = every * self.scaling.factor, every * (self.scaling.offset - self.scaling.offset.max())
        logits = np.empty((images, rows, columns, classes), np.float32)
        for n in range(images):
            cpu_kernels.calibrate(
                scores[n].reshape(classes, -1), factor, offset, np.float32(-LOGIT_RANGE), logits[n].reshape(-1, classes)
            )
        return logits


@dataclass(frozen=True, eq=False)
class _Decisions:
    """A cost matrix as `cpu_kernels` wants it; see `settle` and `decide` there."""

    costs: NDArray[np.float32]
    choice: NDArray[np.int64]
    names: NDArray[np.uint8]
    gain: NDArray[np.float32]
    loss: NDArray[np.float32]

    @classmethod
    def of(cls, rows: NDArray[np.float32]) -> _Decisions:
        """From decision rows [K, K]. Of equal rows the first decides, so the others are left out."""
        names = np.sort(np.unique(rows, axis=0, return_index=True)[1])
        costs = np.ascontiguousarray(rows[names])
        classes = np.arange(rows.shape[1])
        choice = costs.argmin(axis=0)
        better_by = costs - costs[choice, classes]
        better_by[choice, classes] = np.inf
        loss = (costs[choice][:, np.newaxis] - costs).max(axis=1)
        loss[classes, classes] = 0
        return cls(costs, choice, names.astype(np.uint8), better_by.min(axis=0), np.ascontiguousarray(loss))

    def settle(self, masses: NDArray[np.float32], settled: NDArray[np.int32]) -> None:
        cpu_kernels.settle(masses, self.costs, self.choice, self.gain, self.loss, settled)

    def decide(
        self,
        logits: NDArray[np.float32],
        settled: NDArray[np.int32],
        weights: NDArray[np.float32],
        factor: int,
        labels: NDArray[np.uint8],
    ) -> None:
        cpu_kernels.decide(logits, settled, self.costs, self.choice, self.names, weights, factor, labels)


def _pixel_weights(factor: int) -> NDArray[np.float32]:
    return np.ascontiguousarray(phase_weights(factor).T)
