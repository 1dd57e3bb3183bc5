"""Who is worked on next when several cameras wait, on a clock turned by hand."""

from __future__ import annotations

import heapq
import math
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seg_perception.ros.scheduler import Mailboxes, Sender


def _served(senders: list[Sender], periods: dict[str, float], service: float, end: float) -> list[tuple[float, str]]:
    """(time, name) of each item that a worker takes, which needs `service` s a run, from senders with these periods."""
    boxes: Mailboxes[float] = Mailboxes(senders)
    arrivals = [(0.0, name) for name in periods]
    heapq.heapify(arrivals)
    now, served = 0.0, []
    while now < end:
        while arrivals and arrivals[0][0] <= now:
            at, name = heapq.heappop(arrivals)
            boxes.put(name, at)
            heapq.heappush(arrivals, (at + periods[name], name))
        taken = boxes.take()
        served += [(now, name) for name, _ in taken]
        now = now + service if taken else arrivals[0][0]
    return served


def _counts(served: list[tuple[float, str]]) -> Counter[str]:
    return Counter(name for _, name in served)


def test_a_mailbox_keeps_the_newest_item_and_tells_when_it_replaced_one() -> None:
    boxes: Mailboxes[int] = Mailboxes([Sender("front")])
    assert not boxes and boxes.take() == []
    assert not boxes.put("front", 1) and boxes.put("front", 2)
    assert boxes and boxes.take() == [("front", 2)] and not boxes
    boxes.put("front", 3)
    boxes.clear()
    assert boxes.take() == []


@pytest.mark.parametrize("weights", [(1.0, 1.0, 1.0), (3.0, 1.0, 1.0), (2.0, 3.0, 5.0), (0.5, 0.25, 1.0)])
@pytest.mark.parametrize("group", [None, 0], ids=["alone", "together"])
def test_shares_follow_the_weights_when_all_always_wait(weights: tuple[float, ...], group: int | None) -> None:
    senders = [Sender(name, weight, group) for name, weight in zip("abc", weights, strict=True)]
    counts = _counts(_served(senders, dict.fromkeys("abc", 0.01), 0.1, 200.0))
    whole = sum(counts.values())
    for sender in senders:
        assert counts[sender.name] / whole == pytest.approx(sender.weight / sum(weights), abs=0.01)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0.1, 10.0), st.floats(0.02, 1.0)), min_size=2, max_size=4),
    st.booleans(),
)
def test_nobody_who_waits_is_passed_over_more_often_than_the_weights_allow(
    cameras: list[tuple[float, float]], together: bool
) -> None:
    names = "abcd"[: len(cameras)]
    senders = [Sender(name, weight, 0 if together else None) for name, (weight, _) in zip(names, cameras, strict=True)]
    boxes: Mailboxes[int] = Mailboxes(senders)
    others: dict[str, Counter[str]] = {}
    clock = {name: 0.0 for name in names}
    weight = {sender.name: sender.weight for sender in senders}
    for step in range(200):
        now = 0.1 * step
        for name, (_, period) in zip(names, cameras, strict=True):
            if clock[name] <= now:
                clock[name] = now + period
                if not boxes.put(name, step):
                    others[name] = Counter()
        for name, _ in boxes.take():
            others.pop(name, None)
            for waiting, passed in others.items():
                passed[name] += 1
                assert passed[name] <= 2 + math.ceil(weight[name] / weight[waiting]), "it starves"


def test_an_idle_camera_costs_nothing_and_saves_up_no_credit() -> None:
    boxes: Mailboxes[int] = Mailboxes([Sender("front"), Sender("left")])
    for number in range(100):  # left is silent: front has it all
        boxes.put("front", number)
        assert boxes.take() == [("front", number)]
    order = []
    for number in range(6):
        boxes.put("front", number)
        boxes.put("left", number)
        order += [name for name, _ in boxes.take()]
    assert Counter(order[:4]) == {"front": 2, "left": 2}, "left is not served alone until it has caught up"


def test_a_slow_camera_gets_every_image_through_beside_one_that_floods() -> None:
    senders = [Sender("flood"), Sender("slow")]
    counts = _counts(_served(senders, {"flood": 0.01, "slow": 1.0}, 0.2, 60.0))
    assert counts["slow"] >= 59
    assert counts["flood"] >= 60 / 0.2 - 62, "and takes from the other only what it needs"


def test_who_may_not_begin_holds_up_nobody_and_keeps_its_item_for_when_it_may() -> None:
    boxes: Mailboxes[int] = Mailboxes([Sender("left"), Sender("front")])
    ready: set[tuple[str, int]] = {("front", 1), ("front", 2)}
    replaced: list[str] = []

    def take() -> list[tuple[str, int]]:
        return boxes.take(lambda *each: each in ready, replaced.append)

    boxes.put("left", 1)
    assert take() == [] and boxes, "it waits"
    boxes.put("front", 1)
    assert take() == [("front", 1)]
    assert not boxes.put("left", 2) and boxes.put("left", 3), "3 replaces 2, and 1 is held"
    ready.add(("left", 1))
    boxes.put("front", 2)
    assert take() == [("left", 1)], "its turn came before"
    assert take() == [("front", 2)] and take() == []
    ready.add(("left", 3))
    assert take() == [("left", 3)] and not boxes and replaced == []


def test_a_newer_item_takes_the_place_of_a_held_one_only_when_it_may_begin() -> None:
    boxes: Mailboxes[int] = Mailboxes([Sender("front")])
    ready: set[int] = set()
    replaced: list[str] = []

    def take() -> list[tuple[str, int]]:
        return boxes.take(lambda _, item: item in ready, replaced.append)

    for number in range(100):
        boxes.put("front", number)
        assert take() == []
    ready.add(0)
    assert take() == [("front", 0)], "or a late transform would let no image through"
    assert take() == []
    boxes.put("front", 100)
    ready |= {99, 100}
    assert take() == [("front", 100)] and replaced == ["front"] and not boxes


def test_who_may_not_begin_saves_up_no_credit() -> None:
    boxes: Mailboxes[int] = Mailboxes([Sender("front"), Sender("left")])
    boxes.put("left", 0)
    for number in range(100):
        boxes.put("front", number)
        assert boxes.take(lambda name, _: name == "front") == [("front", number)]
    order = []
    for number in range(6):
        boxes.put("front", number)
        boxes.put("left", number)
        order += [name for name, _ in boxes.take()]
    assert Counter(order[:4]) == {"front": 2, "left": 2}


def test_those_of_one_group_who_wait_go_together_and_others_do_not() -> None:
    boxes: Mailboxes[int] = Mailboxes([Sender("front", group=0), Sender("left", group=0), Sender("rear", group=1)])
    for name in ("left", "rear", "front"):
        boxes.put(name, 1)
    assert boxes.take() == [("front", 1), ("left", 1)]
    assert boxes.take() == [("rear", 1)]


def test_two_of_a_group_that_got_out_of_step_find_together_again() -> None:
    boxes: Mailboxes[int] = Mailboxes([Sender("front", group=0), Sender("left", group=0)])
    boxes.put("front", 0)
    boxes.take()
    for number in range(1, 4):
        boxes.put("front", number)
        boxes.put("left", number)
        assert len(boxes.take()) == 2
