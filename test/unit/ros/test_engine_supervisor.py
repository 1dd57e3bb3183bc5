"""The keeper of the engine, with an engine that breaks on command and a clock driven by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.tiny_networks import card

from seg_perception.errors import ModelError
from seg_perception.inference.onnx.graph import GraphSpec
from seg_perception.ros.engine_supervisor import EngineFailedError, EngineKeeper, wait_after

IMAGES, COSTS, CELLS = np.zeros((1, 2, 2, 3), np.uint8), np.zeros((3, 2), np.float32), np.zeros((1, 1, 2), np.float32)


class Workshop:
    """Opens engines, and breaks them by the exceptions in `open_error`, `run_error` and `close_error`."""

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
        return Engine(self)

    def keeper(self) -> EngineKeeper:
        return EngineKeeper(self.open, lambda: self.now)


class Engine:
    def __init__(self, workshop: Workshop) -> None:
        self.workshop = workshop
        self.card = workshop.card
        self.spec = GraphSpec(cells=1)

    def run(self, images: Any, costs: Any, cells: Any) -> Any:
        if self.workshop.run_error:
            raise self.workshop.run_error
        return images, costs, cells

    def time_network(self, runs: int = 1) -> list[float]:
        return [1.0] * runs

    def describe(self) -> str:
        return f"engine {self.workshop.opened}"

    def close(self) -> None:
        self.workshop.closed += 1
        if self.workshop.close_error:
            raise self.workshop.close_error


def run(keeper: EngineKeeper) -> Any:
    return keeper.run(IMAGES, COSTS, CELLS)


def test_a_good_engine_is_handed_through() -> None:
    workshop = Workshop()
    keeper = workshop.keeper()
    assert run(keeper) == (IMAGES, COSTS, CELLS)
    assert (keeper.card, keeper.spec, keeper.describe()) == (workshop.card, GraphSpec(cells=1), "engine 1")
    assert keeper.time_network(2) == [1.0, 1.0]
    assert keeper.state.failures == 0
    keeper.close()
    assert (workshop.opened, workshop.closed) == (1, 1)


def test_an_engine_that_never_opened_is_the_callers_problem() -> None:
    workshop = Workshop()
    workshop.open_error = ModelError("urban.onnx: no such model file; check the path.")
    with pytest.raises(ModelError, match="no such model file"):
        workshop.keeper()


def test_a_broken_engine_is_closed_and_opened_again_after_a_wait() -> None:
    workshop = Workshop()
    keeper = workshop.keeper()
    workshop.run_error = RuntimeError("CUDA error 700:\n illegal address")
    with pytest.raises(EngineFailedError, match=r"\(RuntimeError: CUDA error 700: illegal address\).*again in 0.5 s"):
        run(keeper)
    assert workshop.closed == 1
    assert keeper.state.retry_at == 1000.5

    workshop.run_error = None
    workshop.now = 1000.4
    with pytest.raises(EngineFailedError, match=r"again in 0.1 s"):
        run(keeper)
    assert workshop.opened == 1

    workshop.now = 1000.5
    assert run(keeper) == (IMAGES, COSTS, CELLS)
    assert workshop.opened == 2
    assert keeper.state.failures == 0
    assert keeper.describe() == "engine 2"


def test_waits_double_up_to_half_a_minute_and_trying_never_ends() -> None:
    workshop = Workshop()
    keeper = workshop.keeper()
    workshop.run_error = workshop.open_error = RuntimeError("out of memory")
    waits = []
    for _ in range(9):
        with pytest.raises(EngineFailedError):
            run(keeper)
        assert keeper.state.retry_at is not None
        waits.append(keeper.state.retry_at - workshop.now)
        assert keeper.state.given_up == (len(waits) >= 7)
        workshop.now = keeper.state.retry_at
    assert waits == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]
    assert "9 times in a row" in keeper.state.sentence(workshop.now)

    workshop.run_error = workshop.open_error = None
    run(keeper)
    assert keeper.state.failures == 0
    assert not keeper.state.given_up


def test_the_wait_after_days_of_failures_is_still_a_number() -> None:
    assert wait_after(100_000) == 30
    assert wait_after(0) == 0


def test_an_engine_that_opens_but_never_runs_counts_as_failing_in_a_row() -> None:
    workshop = Workshop()
    keeper = workshop.keeper()
    workshop.run_error = RuntimeError("no kernel image")
    for failures in (1, 2, 3):
        with pytest.raises(EngineFailedError):
            run(keeper)
        assert keeper.state.failures == failures
        workshop.now += 60
    assert (workshop.opened, workshop.closed) == (3, 3)


def test_one_image_that_the_network_has_no_numbers_for_is_no_broken_engine() -> None:
    workshop = Workshop()
    keeper = workshop.keeper()
    workshop.run_error = ModelError("the network 'tiny' gave numbers that are not finite for this image.")
    for _ in range(9):
        with pytest.raises(ModelError) as caught:
            run(keeper)
        assert not isinstance(caught.value, EngineFailedError)
    workshop.run_error = None
    run(keeper)
    assert (workshop.opened, workshop.closed) == (1, 0)


def test_ten_such_images_in_a_row_are_one() -> None:
    workshop = Workshop()
    keeper = workshop.keeper()
    workshop.run_error = ModelError("the network 'tiny' gave numbers that are not finite for this image.")
    for _ in range(9):
        with pytest.raises(ModelError):
            run(keeper)
    with pytest.raises(EngineFailedError, match="not finite for this image\\)"):
        run(keeper)
    assert workshop.closed == 1


def test_an_engine_too_broken_to_close_is_let_go() -> None:
    workshop = Workshop()
    keeper = workshop.keeper()
    workshop.run_error, workshop.close_error = RuntimeError("device lost"), RuntimeError("device lost")
    with pytest.raises(EngineFailedError):
        run(keeper)
    workshop.run_error = workshop.close_error = None
    workshop.now += 1
    run(keeper)


def test_another_network_under_the_same_name_is_not_taken() -> None:
    workshop = Workshop()
    keeper = workshop.keeper()
    workshop.run_error = RuntimeError("device lost")
    with pytest.raises(EngineFailedError):
        run(keeper)
    workshop.run_error, workshop.card = None, card(classes=7)
    workshop.now += 1
    with pytest.raises(EngineFailedError, match="no longer those that the node was configured with"):
        run(keeper)
    assert workshop.closed == workshop.opened == 2


def test_a_closed_keeper_opens_nothing_any_more() -> None:
    workshop = Workshop()
    keeper = workshop.keeper()
    keeper.close()
    keeper.close()
    with pytest.raises(ModelError, match="closed"):
        run(keeper)
    assert workshop.opened == workshop.closed == 1


def test_a_keeper_closed_while_it_reopens_leaves_no_engine_behind() -> None:
    workshop = Workshop()
    keeper = workshop.keeper()
    workshop.run_error = RuntimeError("device lost")
    with pytest.raises(EngineFailedError):
        run(keeper)
    workshop.run_error = None
    workshop.now += 1
    open_slowly = workshop.open

    def close_meanwhile() -> Any:
        keeper.close()
        return open_slowly()

    keeper._open_engine = close_meanwhile
    with pytest.raises(ModelError, match="closed"):
        run(keeper)
    assert workshop.closed == workshop.opened == 2
