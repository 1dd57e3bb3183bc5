"""The batched engine: the images of several cameras in one run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support import tiny_networks as tiny

from seg_perception.inference.backends import open_engine
from seg_perception.inference.batched_engine import open_batched_engine
from seg_perception.inference.engine import Engine
from seg_perception.inference.onnx.graph import GraphSpec


class TimedEngine:
    """An engine with a given time of the network."""

    def __init__(self, engine: Engine, milliseconds: float) -> None:
        self._engine, self._milliseconds = engine, milliseconds
        self.card, self.spec, self.run = engine.card, engine.spec, engine.run
        self.closed = False

    def time_network(self, runs: int = 1) -> list[float]:
        return [self._milliseconds] * runs

    def describe(self) -> str:
        return self._engine.describe()

    def close(self) -> None:
        self.closed = True
        self._engine.close()


class TestBatchedEngine:
    """One network for the images of three cameras."""

    COSTS = np.vstack([1 - np.eye(5), np.arange(5)]).astype(np.float32)

    def open(self, folder: Path, batch: int | str, batch_ms: float) -> tuple[Engine, list[TimedEngine], list[str]]:
        path = tiny.save(folder, tiny.network(batch=batch), tiny.card())
        opened: list[TimedEngine] = []
        messages: list[str] = []

        def open_one(spec: GraphSpec) -> Engine:
            opened.append(TimedEngine(open_engine(path, spec), 10.0 if spec.batch == 1 else batch_ms))
            return opened[-1]

        return (
            open_batched_engine(open_one, GraphSpec(sample_points=3, logits=True), 3, messages.append),
            opened,
            messages,
        )

    @pytest.mark.parametrize("count", [1, 2, 3])
    def test_results_equal_those_of_single_images(self, tmp_path: Path, count: int) -> None:
        engine, opened, _ = self.open(tmp_path, "N", batch_ms=12.0)
        rng = np.random.default_rng(count)
        images = rng.integers(0, 256, (count, 48, 64, 3), dtype=np.uint8)
        sample_points = rng.uniform(-1, 1, (count, 3, 2)).astype(np.float32)
        together = engine.run(images, self.COSTS, sample_points)
        assert engine.spec.batch == 3
        for number in range(count):
            alone = opened[0].run(images[number : number + 1], self.COSTS, sample_points[number : number + 1])
            one = together.select(number)
            assert one.labels.tobytes() == alone.labels.tobytes()
            for name in ("sample_probabilities", "logits"):
                np.testing.assert_allclose(getattr(one, name), getattr(alone, name), rtol=1e-4, atol=1e-6)

    def test_images_run_one_by_one_if_a_batch_is_no_faster(self, tmp_path: Path) -> None:
        engine, opened, messages = self.open(tmp_path, "N", batch_ms=29.0)
        assert engine is opened[0] and opened[1].closed and not opened[0].closed
        assert "10 ms each: all in one run take 29 ms" in messages[0]

    def test_images_run_one_by_one_if_the_file_is_fixed_to_one_image(self, tmp_path: Path) -> None:
        engine, opened, messages = self.open(tmp_path, 1, batch_ms=1.0)
        assert engine is opened[0] and "is fixed to 1 image per run" in messages[0]

    def test_closing_closes_both_engines(self, tmp_path: Path) -> None:
        engine, opened, _ = self.open(tmp_path, "N", batch_ms=12.0)
        assert "up to 3 images in one run" in engine.describe()
        engine.close()
        assert [each.closed for each in opened] == [True, True]
