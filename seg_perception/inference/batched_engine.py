"""One network for several cameras: all their images in one run, where that pays."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from seg_perception.errors import SegPerceptionError
from seg_perception.inference.engine import Engine, EngineOutput, OpenedNetwork, Pictures
from seg_perception.inference.onnx.graph import GraphSpec

_TIMED = 5  # runs of each
_PAYS = 0.9  # of the time that the images would take one by one; less is within the noise of the clock


def open_for_several(
    open_engine: Callable[[GraphSpec], Engine], spec: GraphSpec, most: int, say: Callable[[str], None]
) -> Engine:
    """A network that takes up to so many images at a time.

    Both ways are timed here, on this machine: a GPU that one image does not fill does several in little more time, and
    a CPU gains nothing, while each camera then waits for the images of all.

    Args:
        open_engine: opens the network for a spec.
        spec: for one image.
        most: images at a time.
        say: told why the images go one by one, if they do.

    Returns:
        An engine whose `spec.batch` tells how many images it takes: `most`, or 1.

    Raises:
        SegPerceptionError: as `open_engine` has it for one image.
    """
    one = open_engine(spec)
    if most == 1:
        return one
    try:
        all_ = open_engine(replace(spec, batch=most))
    except SegPerceptionError as error:
        say(f"the images of {most} cameras go through the network one by one: {error}")
        return one
    alone, together = (statistics.median(engine.time_network(_TIMED)) for engine in (one, all_))
    if together > _PAYS * most * alone:
        all_.close()
        say(
            f"the images of {most} cameras go through the network one by one, {alone:.3g} ms each: all in one run take "
            f"{together:.3g} ms."
        )
        return one
    return _UpTo(one, all_)


class _UpTo(OpenedNetwork):
    """An `Engine` for as many images as its batch has, or fewer.

    Fewer go one by one: a batch filled up with nothing costs what a full one does, and a graph for each number of
    images would have to be built and held.
    """

    def __init__(self, one: Engine, all_: Engine) -> None:
        super().__init__(all_.card, all_.spec)
        self._one = one
        self._all = all_

    def run(self, images: NDArray[np.uint8], costs: NDArray[np.float32], cells: NDArray[np.float32]) -> EngineOutput:
        """Run the network on some images; see `Engine.run`."""
        if len(images) >= self._spec.batch:
            return self._all.run(images, costs, cells)
        return _joined(
            [self._one.run(image[np.newaxis], costs, at[np.newaxis]) for image, at in zip(images, cells, strict=True)]
        )

    def time_network(self, runs: int = 1) -> list[float]:
        """Time the network on one image, in milliseconds; see `Engine.time_network`."""
        return self._one.time_network(runs)

    def describe(self) -> str:
        """One line for logs and reports."""
        return f"{self._one.describe()}, up to {self._spec.batch} images in one run"

    def close(self) -> None:
        """Free both."""
        self._one.close()
        self._all.close()


def _joined(outputs: list[EngineOutput]) -> EngineOutput:
    """Several outputs as one; all with logits, or none."""

    def pictures() -> Pictures:
        return Pictures(
            np.concatenate([output.confidence for output in outputs]),
            np.concatenate([output.expected_cost for output in outputs]),
        )

    logits = [output.logits for output in outputs if output.logits is not None]
    return EngineOutput(
        np.concatenate([output.labels for output in outputs]),
        np.concatenate([output.cell_probabilities for output in outputs]),
        pictures,
        np.concatenate(logits) if logits else None,
    )
