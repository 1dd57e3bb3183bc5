"""When reliable delivery is asked for instead of best effort: decides by counts and a clock, and knows no rclpy."""

from __future__ import annotations

from collections.abc import Callable, Set
from dataclasses import dataclass
from typing import Literal

Reliability = Literal["auto", "best_effort", "reliable"]
"""What the parameters say; auto alone lets it change."""

BEST_EFFORT = "best effort"
RELIABLE = "reliable"

PATIENCE = 2.0
"""s in which messages may stay away."""

_SOME = 6  # announcements within PATIENCE: fewer say nothing about a rate


@dataclass
class _Window:
    """What came in since a moment, time.monotonic(), at which messages were about to be announced."""

    began: float
    arrived: int = 0
    announced: int = 0

    def loses(self) -> bool:
        """Whether all messages stay away that were announced, or most of them."""
        loses_most = self.announced >= _SOME and self.arrived < self.announced / 2
        return loses_most or (self.announced > 1 and self.arrived == 0)


@dataclass(frozen=True)
class Loss:
    """What best effort brought when it was given up.

    Attributes:
        arrived: number of messages.
        announced: how many were announced one by one.
        seconds: in which they came.
    """

    arrived: int
    announced: int
    seconds: float


class Fallback:
    """The reliability of one subscription: best effort, until that turns out to lose most messages.

    Best effort loses messages that are larger than the publisher's shared memory, most or all of them. Where the
    publishers offer reliable delivery, that is asked for instead, for as long as they do.

    Attributes:
        reliability: to ask for now.
        loss: what best effort was given up for; None where it was not.
    """

    def __init__(self, setting: Reliability, now: float, first_is_due: bool = False) -> None:
        """Begin.

        Args:
            setting: what the parameters say.
            now: time.monotonic().
            first_is_due: whether a publisher is reason enough to expect a first message.
        """
        self.reliability = RELIABLE if setting == "reliable" else BEST_EFFORT
        self.loss: Loss | None = None
        self._may_change = setting == "auto"
        self._first_is_due = first_is_due
        self._is_refused = False
        self._window = _Window(now)

    def announced(self) -> None:
        """A message is about to arrive."""
        self._window.announced += 1

    def arrived(self) -> None:
        """A message is there."""
        self._window.arrived += 1
        self._is_refused = self._first_is_due = False

    def refused(self) -> None:
        """A publisher does not offer what is asked for."""
        self._is_refused = True

    def changes(self, now: float, offered: Callable[[], Set[str]]) -> bool:
        """Whether another reliability is to be asked for from now on; ask every now and then.

        Args:
            now: time.monotonic().
            offered: the reliabilities that publishers offer; asked only when it counts.
        """
        if not self._may_change:
            return False
        if self._is_refused and offered() == {BEST_EFFORT}:
            self._change(BEST_EFFORT, None, now)
            return True
        is_expected = bool(offered()) if self._first_is_due else self._window.announced > 0
        if not is_expected:
            self._window = _Window(now)
        if now - self._window.began < PATIENCE:
            return False
        window, self._window = self._window, _Window(now)
        if self.reliability == RELIABLE or not (self._first_is_due or window.loses()) or offered() != {RELIABLE}:
            return False
        self._change(RELIABLE, Loss(window.arrived, window.announced, now - window.began), now)
        return True

    def _change(self, reliability: str, loss: Loss | None, now: float) -> None:
        self.reliability, self.loss = reliability, loss
        self._is_refused = False
        self._window = _Window(now)
