"""What follows the network, on the CPU: calibration, Bayes decision, costs and ground samples.

It answers what the fused graph answers (`graph`, `risk_nodes`), without interpolating what need not be: where the
decision is the same at four neighbouring logits with enough margin, it is proved to be the same at every pixel between
them (`certify_kernels.settle`). Confidence and expected cost of the pixels are made when somebody asks for them.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from seg_perception.inference.cpu import certify_kernels, decide_kernels
from seg_perception.inference.cpu.certify_kernels import Decisions, Reading
from seg_perception.inference.engine import EngineOutput, Pictures
from seg_perception.inference.onnx.risk_nodes import LOGIT_RANGE, MIN_PROBABILITY, phase_weights
from seg_perception.model.logit_calibration import LogitScaling

_ROWS_EACH = 8
"""Fewer rows than this are not worth another thread."""


@dataclass(frozen=True)
class ScoreForm:
    """How the scores of one network are read.

    Attributes:
        scaling: the model card's.
        output: what the scores are.
        classes: K.
        factor: pixels to decide per score along each axis.
        logits: whether to give the calibrated logits, too.
    """

    scaling: LogitScaling
    output: Literal["logits", "probabilities"]
    classes: int
    factor: int
    logits: bool = False


class CpuRisk:
    """Judges scores, image by image, with the rows of an image spread over threads."""

    def __init__(self, form: ScoreForm, threads: int) -> None:
        """Compile, or load what was compiled before, so that no image has to wait for it.

        Args:
            form: how scores are read.
            threads: how many to use.
        """
        self._form = form
        every = np.ones(form.classes, np.float32)
        # As in `risk_nodes.calibrated_logits`: no bias may lift a logit above 0.
        offset = every * (form.scaling.offset - form.scaling.offset.max())
        self._reading = Reading(every * form.scaling.factor, offset, np.float32(-LOGIT_RANGE))
        self._weights = np.ascontiguousarray(phase_weights(form.factor).T)
        self._threads = threads
        # Its threads end with it, once no engine and no output needs them any more.
        self._helpers = ThreadPoolExecutor(max(threads - 1, 1), thread_name_prefix="risk")
        costs = np.zeros((form.classes + 1, form.classes), np.float32)
        self._decisions = costs, Decisions.of(costs[:-1])
        self.judge(
            np.zeros((1, form.classes, 2, 2), np.float32), costs, np.zeros((1, 1, 2), np.float32)
        ).make_pictures()

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
        factor, weights = self._form.factor, self._weights
        if self._form.output == "probabilities":
            scores = np.log(np.maximum(scores, np.float32(MIN_PROBABILITY)))
        logits = np.empty((images, classes, rows, columns), np.float32)
        settled = np.empty((images, rows, columns), np.int32)
        labels = np.empty((images, rows * factor, columns * factor), np.uint8)
        probabilities = np.empty((*cells.shape[:2], classes), np.float32)
        d = self._decisions_of(costs)

        def read(n: int, first: int, last: int) -> None:
            flat = scores[n].reshape(classes, -1), logits[n].reshape(classes, -1), settled[n].reshape(-1)
            certify_kernels.read(flat[0], self._reading, d, columns * first, columns * last, *flat[1:])

        def decide(n: int, first: int, last: int) -> None:
            decide_kernels.decide(logits[n], settled[n], d, weights, factor, first, last, labels[n])

        def sample() -> None:
            for n in range(images):
                decide_kernels.sample(logits[n], cells[n], probabilities[n])

        self._over_rows(read, images, rows)
        sampled = self._helpers.submit(sample) if self._threads > 1 else None
        self._over_rows(decide, images, rows + 1)
        if sampled is None:
            sample()
        else:
            sampled.result()

        def pictures() -> Pictures:
            made = Pictures(np.empty_like(labels), np.empty_like(labels))

            def paint(n: int, first: int, last: int) -> None:
                shown = made.confidence[n], made.expected_cost[n]
                decide_kernels.paint(logits[n], costs[-1], weights, factor, first, last, *shown)

            self._over_rows(paint, images, rows + 1)
            return made

        return EngineOutput(labels, probabilities, pictures, logits if self._form.logits else None)

    def _decisions_of(self, costs: NDArray[np.float32]) -> Decisions:
        """Those of a matrix, which is nearly always that of the image before."""
        known, decisions = self._decisions
        if not np.array_equal(known, costs):
            decisions = Decisions.of(costs[:-1])
            self._decisions = costs.copy(), decisions
        return decisions

    def _over_rows(self, work: Callable[[int, int, int], None], images: int, rows: int) -> None:
        """Call `work(image, first row, last row)` for all rows of all images; a part of each image in every thread."""
        parts = max(1, min(self._threads, rows // _ROWS_EACH))
        bounds = [rows * part // parts for part in range(parts + 1)]
        for n in range(images):
            others = [self._helpers.submit(work, n, *bounds[part : part + 2]) for part in range(1, parts)]
            work(n, *bounds[:2])
            for other in others:
                other.result()
