"""When a subscription falls back to reliable delivery, on a manual clock."""

from __future__ import annotations

import pytest

from seg_perception.ros.inputs.reliability_fallback import PATIENCE, BestEffortLoss, ReliabilityFallback
from seg_perception.ros.reliability import BEST_EFFORT, RELIABLE, Reliability

RATE = 10.0  # Hz, of the checks


class Topic:
    """A subscribed topic on a manual clock that starts at 100 s."""

    def __init__(self, setting: Reliability = "auto", expects_first: bool = False) -> None:
        self.now = 100.0
        self.fallback = ReliabilityFallback(setting, self.now, expects_first)
        self.offered = {RELIABLE}
        self.changes: list[str] = []

    def advance(self, seconds: float, announced: float = 0.0, arrived: float = 0.0) -> None:
        """Advance the clock with so many announcements and messages per second."""
        steps = round(seconds * RATE)
        for step in range(steps):
            self.now += 1 / RATE
            for rate, happen in (
                (announced, self.fallback.message_announced),
                (arrived, self.fallback.message_arrived),
            ):
                for _ in range(round((step + 1) * rate / RATE) - round(step * rate / RATE)):
                    happen()
            if self.fallback.update(self.now, lambda: self.offered):
                self.changes.append(self.fallback.reliability)


@pytest.mark.parametrize(("arrived", "changes"), [(0.0, [RELIABLE]), (4.0, [RELIABLE]), (6.0, []), (10.0, [])])
def test_changes_to_reliable_when_most_announced_messages_are_missing(arrived: float, changes: list[str]) -> None:
    topic = Topic()
    topic.advance(0.9 * PATIENCE, announced=10.0, arrived=arrived)
    assert topic.changes == []
    topic.advance(PATIENCE, announced=10.0, arrived=arrived)
    assert topic.changes == changes


def test_few_announcements_without_any_message_suffice_and_the_loss_is_stored() -> None:
    topic = Topic()
    topic.advance(PATIENCE + 0.5, announced=2.0)
    assert topic.changes == [RELIABLE]
    loss = topic.fallback.loss
    assert loss is not None and loss.arrived == 0 and loss.announced >= 2
    assert PATIENCE <= loss.seconds < PATIENCE + 0.5


def test_without_announcements_no_message_is_expected() -> None:
    topic = Topic()
    topic.advance(10 * PATIENCE)
    assert topic.changes == [] and topic.fallback.loss is None


def test_with_expects_first_a_publisher_without_messages_changes_to_reliable_once() -> None:
    topic = Topic(expects_first=True)
    topic.offered = set()
    topic.advance(1.7 * PATIENCE, announced=10.0)
    topic.offered = {RELIABLE}
    topic.advance(0.8 * PATIENCE)
    assert topic.changes == [], "the publisher has just appeared"
    topic.advance(0.3 * PATIENCE)
    assert topic.changes == [RELIABLE]
    assert topic.fallback.loss == BestEffortLoss(0, 0, pytest.approx(PATIENCE, abs=0.2))
    topic.advance(10 * PATIENCE, arrived=10.0)
    assert topic.changes == [RELIABLE], "once"


def test_silence_after_the_first_message_changes_nothing_without_announcements() -> None:
    topic = Topic(expects_first=True)
    topic.advance(0.2, arrived=10.0)
    topic.advance(10 * PATIENCE)
    assert topic.changes == []
    topic.advance(2 * PATIENCE, announced=10.0)
    assert topic.changes == [RELIABLE], "unless its messages are announced"


@pytest.mark.parametrize("offered", [{BEST_EFFORT}, {BEST_EFFORT, RELIABLE}])
def test_no_change_unless_all_publishers_offer_reliable(offered: set[str]) -> None:
    topic = Topic(expects_first=True)
    topic.offered = offered
    topic.advance(3 * PATIENCE, announced=10.0)
    assert topic.changes == []


@pytest.mark.parametrize(("setting", "expected"), [("best_effort", BEST_EFFORT), ("reliable", RELIABLE)])
def test_explicit_setting_never_changes(setting: Reliability, expected: str) -> None:
    topic = Topic(setting, expects_first=True)
    topic.advance(3 * PATIENCE, announced=10.0)
    topic.offered = {BEST_EFFORT}
    topic.fallback.qos_incompatible()
    topic.advance(3 * PATIENCE)
    assert topic.changes == [] and topic.fallback.reliability == expected


def test_returns_to_best_effort_when_reliable_is_no_longer_offered_and_can_change_again() -> None:
    topic = Topic()
    topic.advance(1.1 * PATIENCE, announced=10.0)
    topic.fallback.qos_incompatible()
    topic.advance(0.1)
    assert topic.changes == [RELIABLE], "another publisher still offers it"
    topic.offered = {BEST_EFFORT}
    topic.advance(0.1)
    assert topic.changes == [RELIABLE, BEST_EFFORT] and topic.fallback.loss is None
    topic.offered = {RELIABLE}
    topic.advance(1.1 * PATIENCE, announced=10.0)
    assert topic.changes == [RELIABLE, BEST_EFFORT, RELIABLE]
