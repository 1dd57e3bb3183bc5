"""One network for several cameras: their images go through it in one batch where that is faster."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from seg_perception.errors import SegPerceptionError
from seg_perception.inference.engine import Engine, EngineBase, EngineOutput, VisualizationMaps
from seg_perception.inference.onnx.graph import GraphSpec
from seg_perception.inference.progress import Log

_TIMED_RUNS = 5
_MAX_TIME_RATIO = 0.9
"""A batch must take less than this fraction of the time of single images; more is within timing noise."""


def open_batched_engine(
    open_engine: Callable[[GraphSpec], Engine], spec: GraphSpec, max_images: int, log: Log
) -> Engine:
    """Open a network that takes up to `max_images` images per run, if that is faster than one image at a time.

    Both ways are timed on this machine. A GPU that one image does not fill computes several in little more time. A CPU
    gains nothing, and each camera would wait for the images of all.

    Args:
        open_engine: opens the network for a spec.
        spec: for one image.
        max_images: images per run.
        log: gets the reason if the images go through the network one by one.

    Returns:
        An engine whose `spec.batch` is the number of images it takes: `max_images`, or 1.

    Raises:
        SegPerceptionError: `open_engine` fails for one image.
    """
    single = open_engine(spec)
    if max_images == 1:
        return single
    try:
        batched = open_engine(replace(spec, batch=max_images))
    except SegPerceptionError as error:
        log(f"the images of {max_images} cameras go through the network one by one: {error}")
        return single
    single_ms, batch_ms = (statistics.median(engine.time_network(_TIMED_RUNS)) for engine in (single, batched))
    if batch_ms > _MAX_TIME_RATIO * max_images * single_ms:
        batched.close()
        log(
            f"the images of {max_images} cameras go through the network one by one, {single_ms:.3g} ms each: all in "
            f"one run take {batch_ms:.3g} ms."
        )
        return single
    return BatchedEngine(single, batched)


class BatchedEngine(EngineBase):
    """An `Engine` that takes as many images as its batch holds, or fewer.

    Fewer images run one by one: a padded batch costs as much as a full one, and a graph for every number of images
    would have to be built and kept in memory.
    """

    def __init__(self, single: Engine, batched: Engine) -> None:
        """Combine two engines of the same network; both are closed with this one.

        Args:
            single: takes one image.
            batched: takes `batched.spec.batch` images.
        """
        super().__init__(batched.card, batched.spec)
        self._single = single
        self._batched = batched

    def run(
        self, images: NDArray[np.uint8], costs: NDArray[np.float32], sample_points: NDArray[np.float32]
    ) -> EngineOutput:
        """Run the network on 1 to `spec.batch` images; see `Engine.run`."""
        if len(images) >= self._spec.batch:
            return self._batched.run(images, costs, sample_points)
        return _concatenate(
            [
                self._single.run(image[np.newaxis], costs, points[np.newaxis])
                for image, points in zip(images, sample_points, strict=True)
            ]
        )

    def time_network(self, runs: int = 1) -> list[float]:
        """Time the network on one image, in milliseconds; see `Engine.time_network`."""
        return self._single.time_network(runs)

    def describe(self) -> str:
        """One line for logs and reports."""
        return f"{self._single.describe()}, up to {self._spec.batch} images in one run"

    def close(self) -> None:
        """Close both engines."""
        self._single.close()
        self._batched.close()


def _concatenate(outputs: list[EngineOutput]) -> EngineOutput:
    """Several outputs as one batch; all must have logits, or none."""

    def render_maps() -> VisualizationMaps:
        return VisualizationMaps(
            np.concatenate([output.confidence for output in outputs]),
            np.concatenate([output.expected_cost for output in outputs]),
        )

    logits = [output.logits for output in outputs if output.logits is not None]
    return EngineOutput(
        np.concatenate([output.labels for output in outputs]),
        np.concatenate([output.sample_probabilities for output in outputs]),
        render_maps,
        np.concatenate(logits) if logits else None,
    )
