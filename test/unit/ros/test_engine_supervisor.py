"""The engine supervisor, with an engine that fails on command and a manual clock."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.tiny_networks import card

from seg_perception.errors import ModelError
from seg_perception.inference.onnx.graph import GraphSpec
from seg_perception.ros.engine_supervisor import EngineFailedError, EngineSupervisor, backoff

IMAGES, COSTS, SAMPLE_POINTS = (
    np.zeros((1, 2, 2, 3), np.uint8),
    np.zeros((3, 2), np.float32),
    np.zeros((1, 1, 2), np.float32),
)


class EngineFactory:
    """Opens engines that raise the exceptions in `open_error`, `run_error` and `close_error`."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.opened = 0
        self.closed = 0
        self.card = card()
        self.open_error: Exception | None = None
        self.run_error: Exception | None = None
        self.close_error: Exception | None = None

    def open(self) -> Any:
        self.opened += 1
        if self.open_error:
            raise self.open_error
        return FakeEngine(self)

    def supervisor(self) -> EngineSupervisor:
        return EngineSupervisor(self.open, lambda: self.now)


class FakeEngine:
    def __init__(self, factory: EngineFactory) -> None:
        self.factory = factory
        self.card = factory.card
        self.spec = GraphSpec(sample_points=1)

    def run(self, images: Any, costs: Any, sample_points: Any) -> Any:
        if self.factory.run_error:
            raise self.factory.run_error
        return images, costs, sample_points

    def time_network(self, runs: int = 1) -> list[float]:
        return [1.0] * runs

    def describe(self) -> str:
        return f"engine {self.factory.opened}"

    def close(self) -> None:
        self.factory.closed += 1
        if self.factory.close_error:
            raise self.factory.close_error


def run(supervisor: EngineSupervisor) -> Any:
    return supervisor.run(IMAGES, COSTS, SAMPLE_POINTS)


def test_supervisor_passes_calls_to_a_working_engine() -> None:
    factory = EngineFactory()
    supervisor = factory.supervisor()
    assert run(supervisor) == (IMAGES, COSTS, SAMPLE_POINTS)
    assert (supervisor.card, supervisor.spec, supervisor.describe()) == (
        factory.card,
        GraphSpec(sample_points=1),
        "engine 1",
    )
    assert supervisor.time_network(2) == [1.0, 1.0]
    assert supervisor.state.failures == 0
    supervisor.close()
    assert (factory.opened, factory.closed) == (1, 1)


def test_error_of_the_first_open_is_raised_to_the_caller() -> None:
    factory = EngineFactory()
    factory.open_error = ModelError("urban.onnx: no such model file; check the path.")
    with pytest.raises(ModelError, match="no such model file"):
        factory.supervisor()


def test_failed_engine_is_closed_and_opened_again_after_a_wait() -> None:
    factory = EngineFactory()
    supervisor = factory.supervisor()
    factory.run_error = RuntimeError("CUDA error 700:\n illegal address")
    with pytest.raises(EngineFailedError, match=r"\(RuntimeError: CUDA error 700: illegal address\).*again in 0.5 s"):
        run(supervisor)
    assert factory.closed == 1
    assert supervisor.state.retry_at == 1000.5

    factory.run_error = None
    factory.now = 1000.4
    with pytest.raises(EngineFailedError, match=r"again in 0.1 s"):
        run(supervisor)
    assert factory.opened == 1

    factory.now = 1000.5
    assert run(supervisor) == (IMAGES, COSTS, SAMPLE_POINTS)
    assert factory.opened == 2
    assert supervisor.state.failures == 0
    assert supervisor.describe() == "engine 2"


def test_backoff_doubles_up_to_30_s_and_attempts_never_stop() -> None:
    factory = EngineFactory()
    supervisor = factory.supervisor()
    factory.run_error = factory.open_error = RuntimeError("out of memory")
    waits = []
    for _ in range(9):
        with pytest.raises(EngineFailedError):
            run(supervisor)
        assert supervisor.state.retry_at is not None
        waits.append(supervisor.state.retry_at - factory.now)
        assert supervisor.state.given_up == (len(waits) >= 7)
        factory.now = supervisor.state.retry_at
    assert waits == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]
    assert "9 times in a row" in supervisor.state.sentence(factory.now)

    factory.run_error = factory.open_error = None
    run(supervisor)
    assert supervisor.state.failures == 0
    assert not supervisor.state.given_up


def test_backoff_does_not_overflow() -> None:
    assert backoff(100_000) == 30
    assert backoff(0) == 0


def test_engine_that_opens_but_never_runs_counts_failures_in_a_row() -> None:
    factory = EngineFactory()
    supervisor = factory.supervisor()
    factory.run_error = RuntimeError("no kernel image")
    for failures in (1, 2, 3):
        with pytest.raises(EngineFailedError):
            run(supervisor)
        assert supervisor.state.failures == failures
        factory.now += 60
    assert (factory.opened, factory.closed) == (3, 3)


def test_bad_output_for_single_images_does_not_reopen_the_engine() -> None:
    factory = EngineFactory()
    supervisor = factory.supervisor()
    factory.run_error = ModelError("the network 'tiny' gave numbers that are not finite for this image.")
    for _ in range(9):
        with pytest.raises(ModelError) as caught:
            run(supervisor)
        assert not isinstance(caught.value, EngineFailedError)
    factory.run_error = None
    run(supervisor)
    assert (factory.opened, factory.closed) == (1, 0)


def test_ten_bad_outputs_in_a_row_reopen_the_engine() -> None:
    factory = EngineFactory()
    supervisor = factory.supervisor()
    factory.run_error = ModelError("the network 'tiny' gave numbers that are not finite for this image.")
    for _ in range(9):
        with pytest.raises(ModelError):
            run(supervisor)
    with pytest.raises(EngineFailedError, match="not finite for this image\\)"):
        run(supervisor)
    assert factory.closed == 1


def test_error_while_closing_a_failed_engine_is_ignored() -> None:
    factory = EngineFactory()
    supervisor = factory.supervisor()
    factory.run_error, factory.close_error = RuntimeError("device lost"), RuntimeError("device lost")
    with pytest.raises(EngineFailedError):
        run(supervisor)
    factory.run_error = factory.close_error = None
    factory.now += 1
    run(supervisor)


def test_reopening_rejects_a_different_network() -> None:
    factory = EngineFactory()
    supervisor = factory.supervisor()
    factory.run_error = RuntimeError("device lost")
    with pytest.raises(EngineFailedError):
        run(supervisor)
    factory.run_error, factory.card = None, card(classes=7)
    factory.now += 1
    with pytest.raises(EngineFailedError, match="no longer those that the node was configured with"):
        run(supervisor)
    assert factory.closed == factory.opened == 2


def test_closed_supervisor_opens_no_engine() -> None:
    factory = EngineFactory()
    supervisor = factory.supervisor()
    supervisor.close()
    supervisor.close()
    with pytest.raises(ModelError, match="closed"):
        run(supervisor)
    assert factory.opened == factory.closed == 1


def test_close_during_reopening_leaves_no_open_engine() -> None:
    factory = EngineFactory()
    supervisor = factory.supervisor()
    factory.run_error = RuntimeError("device lost")
    with pytest.raises(EngineFailedError):
        run(supervisor)
    factory.run_error = None
    factory.now += 1
    open_slowly = factory.open

    def close_meanwhile() -> Any:
        supervisor.close()
        return open_slowly()

    supervisor._open_engine = close_meanwhile
    with pytest.raises(ModelError, match="closed"):
        run(supervisor)
    assert factory.closed == factory.opened == 2
