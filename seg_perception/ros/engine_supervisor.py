"""An engine that is opened again when it breaks."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seg_perception.errors import ModelError, SegPerceptionError
from seg_perception.inference.engine import Engine, EngineOutput, OpenedNetwork
from seg_perception.model.card import ModelCard

_FIRST_WAIT = 0.5  # s
_LONGEST_WAIT = 30.0  # s
_BAD_ANSWERS = 10  # in a row, which no image explains any more
_LONGEST_REASON = 300  # characters; some libraries tell their whole stack


class EngineFailedError(ModelError):
    """The engine itself is broken, not just its answer for one image; it will be opened again."""


@dataclass(frozen=True)
class EngineState:
    """How an engine is doing.

    Attributes:
        failures: in a row, without a good answer in between; 0 as long as all is well.
        reason: of the latest of them.
        retry_at: not opened again before this, time.monotonic(); None once it is open.
    """

    failures: int = 0
    reason: str = ""
    retry_at: float | None = None

    @property
    def given_up(self) -> bool:
        """Whether it has failed so often that it is no longer expected to come back, though still tried."""
        return wait_after(self.failures) == _LONGEST_WAIT

    def sentence(self, now: float) -> str:
        """What is wrong and what happens next, in one sentence; for states with failures.

        Args:
            now: time.monotonic().
        """
        times = "" if self.failures == 1 else f" {self.failures} times in a row"
        then = "open again" if self.retry_at is None else f"opened again in {max(self.retry_at - now, 0.0):.1f} s"
        return f"the engine failed{times} ({self.reason}); it is {then}."


WELL = EngineState()


def wait_after(failures: int) -> float:
    """How long to wait before opening again, s, after so many failures in a row: 0.5, 1, 2, 4, 8, 16, 30, 30 ..."""
    return min(_FIRST_WAIT * 2.0 ** (min(failures, 100) - 1), _LONGEST_WAIT) if failures else 0.0


class EngineKeeper(OpenedNetwork):
    """An `Engine` that keeps another: closes it when it breaks, and opens it anew after a wait that doubles.

    One thread runs it; `state` may be read from any.
    """

    def __init__(self, open_engine: Callable[[], Engine], clock: Callable[[], float] = time.monotonic) -> None:
        """Open the engine for the first time; what `open_engine` raises, this raises.

        Args:
            open_engine: opens it, with the same network each time.
            clock: seconds.
        """
        self._open_engine = open_engine
        self._clock = clock
        engine = open_engine()
        super().__init__(engine.card, engine.spec)
        self._engine: Engine | None = engine
        self._description = engine.describe()
        self._state = WELL
        self._bad_answers = 0
        self._closed = False

    @property
    def state(self) -> EngineState:
        """How it is doing."""
        return self._state

    def run(self, images: NDArray[np.uint8], costs: NDArray[np.float32], cells: NDArray[np.float32]) -> EngineOutput:
        """Run the network on one batch; see `Engine.run`. Blocks for no longer than opening and running take.

        Raises:
            EngineFailedError: the engine broke, or is broken and its time has not come yet.
            ModelError: of this one batch.
        """
        engine = self._engine or self._reopened()
        try:
            output = engine.run(images, costs, cells)
        except ModelError as error:
            # By its contract this is about one batch. But a device gone bad may give nothing finite ever again.
            self._bad_answers += 1
            if self._bad_answers < _BAD_ANSWERS:
                raise
            raise self._failed(error) from error
        except Exception as error:  # whatever a runtime library may throw
            raise self._failed(error) from error
        self._bad_answers = 0
        self._state = WELL
        return output

    def time_network(self, runs: int = 1) -> list[float]:
        """Time the network by itself, in milliseconds; see `Engine.time_network`."""
        return (self._engine or self._reopened()).time_network(runs)

    def describe(self) -> str:
        """One line for logs and reports."""
        return self._description

    def close(self) -> None:
        """Free what the engine holds, and open it no more."""
        self._closed = True
        if self._engine is not None:
            self._engine.close()
            self._engine = None

    def _reopened(self) -> Engine:
        if self._closed:
            raise self._is_closed()
        state = self._state
        now = self._clock()
        if state.retry_at is not None and now < state.retry_at:
            raise EngineFailedError(state.sentence(now))
        try:
            engine = self._open_engine()
        except Exception as error:  # as in run
            raise self._failed(error) from error
        if self._closed:  # from another thread, meanwhile
            engine.close()
            raise self._is_closed()
        if _identity(engine.card) != _identity(self._card):
            engine.close()
            raise self._failed(ModelError("model and card are no longer those that the node was configured with."))
        self._engine = engine
        self._description = engine.describe()
        self._state = EngineState(state.failures, state.reason)
        return engine

    def _failed(self, error: Exception) -> EngineFailedError:
        """Close, and take down why; returns what to raise."""
        reason = str(error) if isinstance(error, SegPerceptionError) else f"{type(error).__name__}: {error}"
        reason = " ".join(reason.split())[:_LONGEST_REASON].rstrip(".")
        if self._engine is not None:
            with contextlib.suppress(Exception):  # it is broken: closing it may well fail, too
                self._engine.close()
            self._engine = None
        self._bad_answers = 0
        failures, now = self._state.failures + 1, self._clock()
        self._state = EngineState(failures, reason, now + wait_after(failures))
        return EngineFailedError(self._state.sentence(now))

    def _is_closed(self) -> ModelError:
        return ModelError(f"the engine of '{self._card.name}' is closed; open it again.")


def _identity(card: ModelCard) -> tuple[object, ...]:
    return card.sha256, card.classes, card.width, card.height
