"""When reliable delivery is asked for, on a clock turned by hand."""

from __future__ import annotations

import pytest

from seg_perception.ros.inputs.reliability_fallback import BEST_EFFORT, PATIENCE, RELIABLE, Fallback, Loss, Reliability

RATE = 10.0  # Hz, of the checks


class Topic:
    """A topic with a subscription, from second 100 on."""

    def __init__(self, setting: Reliability = "auto", first_is_due: bool = False) -> None:
        self.now = 100.0
        self.fallback = Fallback(setting, self.now, first_is_due)
        self.offered = {RELIABLE}
        self.changes: list[str] = []

    def go(self, seconds: float, announced: float = 0.0, arrived: float = 0.0) -> None:
        """So many announcements and messages a second."""
        steps = round(seconds * RATE)
        for step in range(steps):
            self.now += 1 / RATE
            for rate, happen in ((announced, self.fallback.announced), (arrived, self.fallback.arrived)):
                for _ in range(round((step + 1) * rate / RATE) - round(step * rate / RATE)):
                    happen()
            if self.fallback.changes(self.now, lambda: self.offered):
                self.changes.append(self.fallback.reliability)


@pytest.mark.parametrize(("arrived", "changes"), [(0.0, [RELIABLE]), (4.0, [RELIABLE]), (6.0, []), (10.0, [])])
def test_it_is_asked_for_when_most_of_what_is_announced_stays_away(arrived: float, changes: list[str]) -> None:
    topic = Topic()
    topic.go(0.9 * PATIENCE, announced=10.0, arrived=arrived)
    assert topic.changes == []
    topic.go(PATIENCE, announced=10.0, arrived=arrived)
    assert topic.changes == changes


def test_a_few_announcements_without_messages_are_enough_and_say_what_was_lost() -> None:
    topic = Topic()
    topic.go(PATIENCE + 0.5, announced=2.0)
    assert topic.changes == [RELIABLE]
    loss = topic.fallback.loss
    assert loss is not None and loss.arrived == 0 and loss.announced >= 2
    assert PATIENCE <= loss.seconds < PATIENCE + 0.5


def test_what_nobody_announces_is_not_missed() -> None:
    topic = Topic()
    topic.go(10 * PATIENCE)
    assert topic.changes == [] and topic.fallback.loss is None


def test_where_a_first_message_is_due_its_publisher_is_reason_enough() -> None:
    topic = Topic(first_is_due=True)
    topic.offered = set()
    topic.go(1.7 * PATIENCE, announced=10.0)
    topic.offered = {RELIABLE}
    topic.go(0.8 * PATIENCE)
    assert topic.changes == [], "it has just come"
    topic.go(0.3 * PATIENCE)
    assert topic.changes == [RELIABLE]
    assert topic.fallback.loss == Loss(0, 0, pytest.approx(PATIENCE, abs=0.2))
    topic.go(10 * PATIENCE, arrived=10.0)
    assert topic.changes == [RELIABLE], "once"


def test_a_sensor_that_falls_silent_after_it_was_heard_is_no_matter_of_delivery() -> None:
    topic = Topic(first_is_due=True)
    topic.go(0.2, arrived=10.0)
    topic.go(10 * PATIENCE)
    assert topic.changes == []
    topic.go(2 * PATIENCE, announced=10.0)
    assert topic.changes == [RELIABLE], "unless its messages are announced"


@pytest.mark.parametrize("offered", [{BEST_EFFORT}, {BEST_EFFORT, RELIABLE}])
def test_it_is_not_asked_for_where_a_publisher_does_not_offer_it(offered: set[str]) -> None:
    topic = Topic(first_is_due=True)
    topic.offered = offered
    topic.go(3 * PATIENCE, announced=10.0)
    assert topic.changes == []


@pytest.mark.parametrize(("setting", "expected"), [("best_effort", BEST_EFFORT), ("reliable", RELIABLE)])
def test_what_the_user_has_chosen_is_kept(setting: Reliability, expected: str) -> None:
    topic = Topic(setting, first_is_due=True)
    topic.go(3 * PATIENCE, announced=10.0)
    topic.offered = {BEST_EFFORT}
    topic.fallback.refused()
    topic.go(3 * PATIENCE)
    assert topic.changes == [] and topic.fallback.reliability == expected


def test_when_it_is_no_longer_offered_best_effort_is_taken_at_once_and_may_be_given_up_again() -> None:
    topic = Topic()
    topic.go(1.1 * PATIENCE, announced=10.0)
    topic.fallback.refused()
    topic.go(0.1)
    assert topic.changes == [RELIABLE], "another publisher still offers it"
    topic.offered = {BEST_EFFORT}
    topic.go(0.1)
    assert topic.changes == [RELIABLE, BEST_EFFORT] and topic.fallback.loss is None
    topic.offered = {RELIABLE}
    topic.go(1.1 * PATIENCE, announced=10.0)
    assert topic.changes == [RELIABLE, BEST_EFFORT, RELIABLE]
