"""The network on any CPU, through ONNX Runtime."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from seg_perception.errors import ModelError
from seg_perception.inference.engine import EngineOutput
from seg_perception.inference.graph import GraphSpec
from seg_perception.inference.onnx_session import open_session
from seg_perception.inference.prepare import load_card, noise_image, prepare
from seg_perception.model_card import ModelCard


class OnnxEngine:
    """An `Engine` on the CPU; arguments and errors are those of `open_engine`."""

    def __init__(self, model: Path, spec: GraphSpec, card: Path | None, threads: int | None) -> None:
        self._card = load_card(model, card)
        self._spec = spec
        self._threads = threads
        graphs = prepare(model, self._card, spec)
        self._stride = graphs.stride
        self._network = graphs.network
        self._network_session: onnxruntime.InferenceSession | None = None
        self._session: onnxruntime.InferenceSession | None = open_session(graphs.fused, threads)

    @property
    def card(self) -> ModelCard:
        """The model card of the network."""
        return self._card

    @property
    def spec(self) -> GraphSpec:
        """The shapes and options it was opened with."""
        return self._spec

    def run(self, images: NDArray[np.uint8], costs: NDArray[np.float32], cells: NDArray[np.float32]) -> EngineOutput:
        """Run the network on one batch; see `Engine.run`."""
        session = self._open()
        spec, classes = self._spec, len(self._card.classes)
        _expect("images", images, np.uint8, (spec.batch, self._card.height, self._card.width, 3))
        _expect("costs", costs, np.float32, (classes + 1, classes))
        _expect("cells", cells, np.float32, (spec.batch, spec.cells, 2))
        if not (np.isfinite(cells).all() and np.isfinite(costs).all()):
            raise ModelError("cells and costs must be finite numbers; mask what cannot be projected.")
        names = [output.name for output in session.get_outputs()]
        values = session.run(names, {"image": images, "costs": costs, "cells": cells})
        outputs = dict(zip(names, values, strict=True))
        if not np.isfinite(outputs.pop("score_size")).all():
            raise ModelError(f"the network '{self._card.name}' gave numbers that are not finite for this image.")
        return EngineOutput(**outputs)

    def time_network(self, runs: int = 1) -> list[float]:
        """Time the network by itself, in milliseconds; see `Engine.time_network`."""
        self._open()
        image = noise_image(self._card, self._spec)
        if self._network_session is None:
            self._network_session = open_session(self._network, self._threads)
            self._network_session.run(None, {"image": image})  # the first run also allocates
        times = []
        for _ in range(runs):
            start = time.perf_counter()
            self._network_session.run(None, {"image": image})
            times.append((time.perf_counter() - start) * 1e3)
        return times

    def describe(self) -> str:
        """One line for logs and reports."""
        return (
            f"{self._card.name}: {self._card.width}x{self._card.height}, {len(self._card.classes)} classes, logits at "
            f"1/{self._stride}, ONNX Runtime {onnxruntime.__version__} on the CPU"
        )

    def close(self) -> None:
        """Free both sessions."""
        self._session = None
        self._network_session = None

    def _open(self) -> onnxruntime.InferenceSession:
        if self._session is None:
            raise ModelError(f"the engine of '{self._card.name}' is closed; open it again.")
        return self._session


def _expect(name: str, array: NDArray[np.generic], dtype: type[np.generic], shape: tuple[int, ...]) -> None:
    if array.dtype != dtype or array.shape != shape:
        raise ModelError(
            f"the engine needs {name} as {np.dtype(dtype)} {list(shape)}, but got {array.dtype} {list(array.shape)}."
        )
