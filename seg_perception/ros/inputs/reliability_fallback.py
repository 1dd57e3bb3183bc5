"""When a subscription falls back from best effort to reliable. It uses counts and a clock, and nothing of rclpy."""

from __future__ import annotations

from collections.abc import Callable, Set
from dataclasses import dataclass

from seg_perception.ros.reliability import BEST_EFFORT, RELIABLE, Reliability

PATIENCE = 2.0
"""Length of the window in which messages may be missing, s."""

_MIN_ANNOUNCED = 6  # announcements within PATIENCE; fewer are too few for a rate


@dataclass
class _Window:
    """Messages counted since `began`, time.monotonic()."""

    began: float
    arrived: int = 0
    announced: int = 0

    def loses(self) -> bool:
        """Whether all announced messages are missing, or most of them."""
        loses_most = self.announced >= _MIN_ANNOUNCED and self.arrived < self.announced / 2
        return loses_most or (self.announced > 1 and self.arrived == 0)


@dataclass(frozen=True)
class BestEffortLoss:
    """Messages received with best effort in the window before the change to reliable.

    Attributes:
        arrived: number of messages received.
        announced: number of messages announced.
        seconds: length of the window, s.
    """

    arrived: int
    announced: int
    seconds: float


class ReliabilityFallback:
    """The reliability of one subscription: best effort, until it loses most messages.

    Best effort loses messages that are larger than the publisher's shared memory, most or all of them. If all
    publishers offer reliable delivery, the subscription then asks for it, for as long as they offer it.

    Attributes:
        reliability: to request now.
        loss: why the subscription left best effort; None if it did not.
    """

    def __init__(self, setting: Reliability, now: float, expects_first: bool = False) -> None:
        """Start with what the parameter says.

        Args:
            setting: value of the parameter.
            now: time.monotonic().
            expects_first: whether a first message is expected as soon as there is a publisher, without announcements.
        """
        self.reliability = RELIABLE if setting == "reliable" else BEST_EFFORT
        self.loss: BestEffortLoss | None = None
        self._may_change = setting == "auto"
        self._expects_first = expects_first
        self._is_incompatible = False
        self._window = _Window(now)

    def message_announced(self) -> None:
        """Count an announcement of a message, such as a camera_info."""
        self._window.announced += 1

    def message_arrived(self) -> None:
        """Count a message."""
        self._window.arrived += 1
        self._is_incompatible = self._expects_first = False

    def qos_incompatible(self) -> None:
        """A publisher does not offer the requested reliability."""
        self._is_incompatible = True

    def update(self, now: float, offered: Callable[[], Set[str]]) -> bool:
        """Decide whether to change the reliability; call it periodically.

        Args:
            now: time.monotonic().
            offered: returns the reliabilities that the publishers offer; called only when needed.

        Returns:
            Whether `reliability` has changed, so that the topic must be subscribed again.
        """
        if not self._may_change:
            return False
        if self._is_incompatible and offered() == {BEST_EFFORT}:
            self._change(BEST_EFFORT, None, now)
            return True
        is_expected = bool(offered()) if self._expects_first else self._window.announced > 0
        if not is_expected:
            self._window = _Window(now)
        if now - self._window.began < PATIENCE:
            return False
        window, self._window = self._window, _Window(now)
        if self.reliability == RELIABLE or not (self._expects_first or window.loses()) or offered() != {RELIABLE}:
            return False
        self._change(RELIABLE, BestEffortLoss(window.arrived, window.announced, now - window.began), now)
        return True

    def _change(self, reliability: str, loss: BestEffortLoss | None, now: float) -> None:
        self.reliability, self.loss = reliability, loss
        self._is_incompatible = False
        self._window = _Window(now)
