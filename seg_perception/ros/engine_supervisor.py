"""Supervises an engine: opens it again when it fails."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seg_perception.errors import ModelError, SegPerceptionError
from seg_perception.inference.engine import Engine, EngineBase, EngineOutput
from seg_perception.model.card import ModelCard

_FIRST_BACKOFF = 0.5  # s
_MAX_BACKOFF = 30.0  # s
_MAX_BAD_OUTPUTS = 10  # in a row; so many are not explained by single images
_MAX_REASON = 300  # characters; some libraries report their whole stack


class EngineFailedError(ModelError):
    """The engine itself has failed, not just its output for one image; the supervisor opens it again."""


@dataclass(frozen=True)
class EngineState:
    """State of a supervised engine.

    Attributes:
        failures: number of failures in a row, without a good output in between; 0 if the engine works.
        reason: of the latest failure.
        retry_at: earliest time of the next attempt to open it, time.monotonic(); None if it is open.
    """

    failures: int = 0
    reason: str = ""
    retry_at: float | None = None

    @property
    def given_up(self) -> bool:
        """Whether it has failed so often that it is not expected to recover. The supervisor keeps trying."""
        return backoff(self.failures) == _MAX_BACKOFF

    def sentence(self, now: float) -> str:
        """One sentence on the failure and the next attempt; only for states with failures.

        Args:
            now: time.monotonic().
        """
        times = "" if self.failures == 1 else f" {self.failures} times in a row"
        then = (
            "is open again"
            if self.retry_at is None
            else f"will be opened again in {max(self.retry_at - now, 0.0):.1f} s"
        )
        return f"the engine failed{times} ({self.reason}); it {then}."


WORKING = EngineState()


def backoff(failures: int) -> float:
    """Wait before the next attempt to open, s, after a number of failures in a row: 0.5, 1, 2, 4, 8, 16, 30, 30 ..."""
    return min(_FIRST_BACKOFF * 2.0 ** (min(failures, 100) - 1), _MAX_BACKOFF) if failures else 0.0


class EngineSupervisor(EngineBase):
    """An `Engine` that wraps another one: closes it when it fails, and opens it again with exponential backoff.

    One thread runs it; any thread may read `state`.
    """

    def __init__(self, open_engine: Callable[[], Engine], clock: Callable[[], float] = time.monotonic) -> None:
        """Open the engine for the first time; exceptions of `open_engine` are passed on.

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
        self._state = WORKING
        self._bad_outputs = 0
        self._closed = False

    @property
    def state(self) -> EngineState:
        """State of the engine."""
        return self._state

    def run(
        self, images: NDArray[np.uint8], costs: NDArray[np.float32], sample_points: NDArray[np.float32]
    ) -> EngineOutput:
        """Run the network on one batch; see `Engine.run`. Blocks for no longer than opening and running take.

        Raises:
            EngineFailedError: the engine failed, or has failed before and must not be opened again yet.
            ModelError: there is no valid output for this one batch.
        """
        engine = self._engine or self._reopened()
        try:
            output = engine.run(images, costs, sample_points)
        except ModelError as error:
            # By the engine's contract this concerns one batch. But a broken device may never give finite numbers again.
            self._bad_outputs += 1
            if self._bad_outputs < _MAX_BAD_OUTPUTS:
                raise
            raise self._failed(error) from error
        except Exception as error:  # a runtime library may raise anything
            raise self._failed(error) from error
        self._bad_outputs = 0
        self._state = WORKING
        return output

    def time_network(self, runs: int = 1) -> list[float]:
        """Time the network by itself, in milliseconds; see `Engine.time_network`."""
        return (self._engine or self._reopened()).time_network(runs)

    def describe(self) -> str:
        """One line for logs and reports."""
        return self._description

    def close(self) -> None:
        """Close the engine, and never open it again."""
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
        """Close the engine and store the reason; returns the exception to raise."""
        reason = str(error) if isinstance(error, SegPerceptionError) else f"{type(error).__name__}: {error}"
        reason = " ".join(reason.split())[:_MAX_REASON].rstrip(".")
        if self._engine is not None:
            with contextlib.suppress(Exception):  # closing a broken engine may fail, too
                self._engine.close()
            self._engine = None
        self._bad_outputs = 0
        failures, now = self._state.failures + 1, self._clock()
        self._state = EngineState(failures, reason, now + backoff(failures))
        return EngineFailedError(self._state.sentence(now))

    def _is_closed(self) -> ModelError:
        return ModelError(f"the engine of '{self._card.name}' is closed; open it again.")


def _identity(card: ModelCard) -> tuple[object, ...]:
    return card.sha256, card.classes, card.width, card.height
