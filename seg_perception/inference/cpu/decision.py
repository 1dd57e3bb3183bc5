"""What follows the network, on the CPU: calibration, Bayes decision, expected cost and sample probabilities.

The results are those of the fused graph (`onnx.graph`, `onnx.risk_nodes`), with less interpolation. Where four
neighbouring logits have the same decision with enough margin, all pixels between them provably have it too
(`certify_kernels.certify_labels`). The visualization maps are rendered on first access.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from seg_perception.inference.cpu import certify_kernels, decide_kernels
from seg_perception.inference.cpu.certify_kernels import DecisionTable, LogitMapping
from seg_perception.inference.engine import EngineOutput, VisualizationMaps
from seg_perception.inference.onnx.risk_nodes import LOGIT_RANGE, MIN_PROBABILITY, phase_weights
from seg_perception.model.logit_calibration import LogitCalibration

_MIN_ROWS_PER_THREAD = 8
"""Fewer rows than this are not worth another thread."""


@dataclass(frozen=True)
class DecisionConfig:
    """How the scores of one network are evaluated.

    Attributes:
        calibration: the model card's.
        output: what the scores are.
        classes: K.
        factor: pixels to decide per score along each axis.
        logits: whether to return the calibrated logits.
    """

    calibration: LogitCalibration
    output: Literal["logits", "probabilities"]
    classes: int
    factor: int
    logits: bool = False


class CpuDecision:
    """Evaluates scores image by image; threads share the rows of an image."""

    def __init__(self, config: DecisionConfig, threads: int) -> None:
        """Compile the kernels, or load them from the cache, so that no image has to wait for it.

        Args:
            config: how scores are evaluated.
            threads: number of CPU threads.
        """
        self._config = config
        ones = np.ones(config.classes, np.float32)
        # As in `risk_nodes.calibrated_logits`: no bias may lift a logit above 0.
        offset = ones * (config.calibration.offset - config.calibration.offset.max())
        self._mapping = LogitMapping(ones * config.calibration.factor, offset, np.float32(-LOGIT_RANGE))
        self._weights = np.ascontiguousarray(phase_weights(config.factor).T)
        self._threads = threads
        # The pool ends with this object, once no engine and no output needs it any more.
        self._pool = ThreadPoolExecutor(max(threads - 1, 1), thread_name_prefix="risk")
        costs = np.zeros((config.classes + 1, config.classes), np.float32)
        self._cached_table = costs, DecisionTable.from_rows(costs[:-1])
        self.evaluate(
            np.zeros((1, config.classes, 2, 2), np.float32), costs, np.zeros((1, 1, 2), np.float32)
        ).render_maps()

    def evaluate(
        self, scores: NDArray[np.float32], costs: NDArray[np.float32], sample_points: NDArray[np.float32]
    ) -> EngineOutput:
        """Labels, sample probabilities and maps from a network's scores.

        Args:
            scores: float32 [N, K, h, w], finite.
            costs: float32 [K + 1, K], decision rows and the traverse row.
            sample_points: float32 [N, G, 2], see `Engine.run`.
        """
        images, classes, rows, columns = scores.shape
        factor, weights = self._config.factor, self._weights
        if self._config.output == "probabilities":
            scores = np.log(np.maximum(scores, np.float32(MIN_PROBABILITY)))
        logits = np.empty((images, classes, rows, columns), np.float32)
        certified = np.empty((images, rows, columns), np.int32)
        labels = np.empty((images, rows * factor, columns * factor), np.uint8)
        probabilities = np.empty((*sample_points.shape[:2], classes), np.float32)
        table = self._decision_table(costs)

        def certify(n: int, first: int, last: int) -> None:
            flat = scores[n].reshape(classes, -1), logits[n].reshape(classes, -1), certified[n].reshape(-1)
            certify_kernels.calibrate_and_certify(
                flat[0], self._mapping, table, columns * first, columns * last, *flat[1:]
            )

        def decide(n: int, first: int, last: int) -> None:
            decide_kernels.decide_labels(logits[n], certified[n], table, weights, factor, first, last, labels[n])

        def sample() -> None:
            for n in range(images):
                decide_kernels.sample_softmax(logits[n], sample_points[n], probabilities[n])

        self._for_rows(certify, images, rows)
        sampled = self._pool.submit(sample) if self._threads > 1 else None
        self._for_rows(decide, images, rows + 1)
        if sampled is None:
            sample()
        else:
            sampled.result()

        def render_maps() -> VisualizationMaps:
            maps = VisualizationMaps(np.empty_like(labels), np.empty_like(labels))

            def render(n: int, first: int, last: int) -> None:
                written = maps.confidence[n], maps.expected_cost[n]
                decide_kernels.render_maps(logits[n], costs[-1], weights, factor, first, last, *written)

            self._for_rows(render, images, rows + 1)
            return maps

        return EngineOutput(labels, probabilities, render_maps, logits if self._config.logits else None)

    def _decision_table(self, costs: NDArray[np.float32]) -> DecisionTable:
        """The table of a cost matrix; that of the last matrix is cached."""
        known, table = self._cached_table
        if not np.array_equal(known, costs):
            table = DecisionTable.from_rows(costs[:-1])
            self._cached_table = costs.copy(), table
        return table

    def _for_rows(self, work: Callable[[int, int, int], None], images: int, rows: int) -> None:
        """Call `work(image, first row, last row)` for all rows of all images; threads share the rows of an image."""
        parts = max(1, min(self._threads, rows // _MIN_ROWS_PER_THREAD))
        bounds = [rows * part // parts for part in range(parts + 1)]
        for n in range(images):
            others = [self._pool.submit(work, n, *bounds[part : part + 2]) for part in range(1, parts)]
            work(n, *bounds[:2])
            for other in others:
                other.result()
