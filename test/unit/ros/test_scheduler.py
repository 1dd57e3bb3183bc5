"""Which source the scheduler serves next, on a manual clock."""

from __future__ import annotations

import heapq
import math
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seg_perception.ros.scheduler import LatestScheduler, ScheduledSource


def _served(
    sources: list[ScheduledSource], periods: dict[str, float], service: float, end: float
) -> list[tuple[float, str]]:
    """(time, name) of each item that a worker with `service` s per run takes from sources with these periods."""
    scheduler: LatestScheduler[float] = LatestScheduler(sources)
    arrivals = [(0.0, name) for name in periods]
    heapq.heapify(arrivals)
    now, served = 0.0, []
    while now < end:
        while arrivals and arrivals[0][0] <= now:
            at, name = heapq.heappop(arrivals)
            scheduler.put(name, at)
            heapq.heappush(arrivals, (at + periods[name], name))
        taken = scheduler.take()
        served += [(now, name) for name, _ in taken]
        now = now + service if taken else arrivals[0][0]
    return served


def _counts(served: list[tuple[float, str]]) -> Counter[str]:
    return Counter(name for _, name in served)


def test_source_keeps_the_latest_item_and_put_reports_a_replacement() -> None:
    scheduler: LatestScheduler[int] = LatestScheduler([ScheduledSource("front")])
    assert not scheduler and scheduler.take() == []
    assert not scheduler.put("front", 1) and scheduler.put("front", 2)
    assert scheduler and scheduler.take() == [("front", 2)] and not scheduler
    scheduler.put("front", 3)
    scheduler.clear()
    assert scheduler.take() == []


@pytest.mark.slow
@pytest.mark.parametrize("weights", [(1.0, 1.0, 1.0), (3.0, 1.0, 1.0), (2.0, 3.0, 5.0), (0.5, 0.25, 1.0)])
@pytest.mark.parametrize("group", [None, 0], ids=["single", "batched"])
def test_shares_follow_the_weights_under_full_load(weights: tuple[float, ...], group: int | None) -> None:
    sources = [ScheduledSource(name, weight, group) for name, weight in zip("abc", weights, strict=True)]
    counts = _counts(_served(sources, dict.fromkeys("abc", 0.01), 0.1, 200.0))
    whole = sum(counts.values())
    for source in sources:
        assert counts[source.name] / whole == pytest.approx(source.weight / sum(weights), abs=0.01)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0.1, 10.0), st.floats(0.02, 1.0)), min_size=2, max_size=4),
    st.booleans(),
)
def test_no_source_starves_beyond_the_bound_of_its_weight(cameras: list[tuple[float, float]], together: bool) -> None:
    names = "abcd"[: len(cameras)]
    sources = [
        ScheduledSource(name, weight, 0 if together else None) for name, (weight, _) in zip(names, cameras, strict=True)
    ]
    scheduler: LatestScheduler[int] = LatestScheduler(sources)
    others: dict[str, Counter[str]] = {}
    clock = {name: 0.0 for name in names}
    weight = {source.name: source.weight for source in sources}
    for step in range(200):
        now = 0.1 * step
        for name, (_, period) in zip(names, cameras, strict=True):
            if clock[name] <= now:
                clock[name] = now + period
                if not scheduler.put(name, step):
                    others[name] = Counter()
        for name, _ in scheduler.take():
            others.pop(name, None)
            for waiting, passed in others.items():
                passed[name] += 1
                assert passed[name] <= 2 + math.ceil(weight[name] / weight[waiting]), "it starves"


def test_idle_source_costs_nothing_and_accumulates_no_credit() -> None:
    scheduler: LatestScheduler[int] = LatestScheduler([ScheduledSource("front"), ScheduledSource("left")])
    for number in range(100):  # left is silent: front has it all
        scheduler.put("front", number)
        assert scheduler.take() == [("front", number)]
    order = []
    for number in range(6):
        scheduler.put("front", number)
        scheduler.put("left", number)
        order += [name for name, _ in scheduler.take()]
    assert Counter(order[:4]) == {"front": 2, "left": 2}, "left is not served alone until it has caught up"


def test_slow_source_loses_no_item_to_a_fast_one() -> None:
    sources = [ScheduledSource("fast"), ScheduledSource("slow")]
    counts = _counts(_served(sources, {"fast": 0.01, "slow": 1.0}, 0.2, 60.0))
    assert counts["slow"] >= 59
    assert counts["fast"] >= 60 / 0.2 - 62, "the slow source takes no more than it needs"


def test_source_that_is_not_ready_delays_no_other_and_keeps_its_item() -> None:
    scheduler: LatestScheduler[int] = LatestScheduler([ScheduledSource("left"), ScheduledSource("front")])
    ready: set[tuple[str, int]] = {("front", 1), ("front", 2)}
    replaced: list[str] = []

    def take() -> list[tuple[str, int]]:
        return scheduler.take(lambda *each: each in ready, replaced.append)

    scheduler.put("left", 1)
    assert take() == [] and scheduler, "it waits"
    scheduler.put("front", 1)
    assert take() == [("front", 1)]
    assert not scheduler.put("left", 2) and scheduler.put("left", 3), "3 replaces 2, and 1 is held"
    ready.add(("left", 1))
    scheduler.put("front", 2)
    assert take() == [("left", 1)], "its turn came before"
    assert take() == [("front", 2)] and take() == []
    ready.add(("left", 3))
    assert take() == [("left", 3)] and not scheduler and replaced == []


def test_newer_item_replaces_a_held_one_only_when_it_is_ready() -> None:
    scheduler: LatestScheduler[int] = LatestScheduler([ScheduledSource("front")])
    ready: set[int] = set()
    replaced: list[str] = []

    def take() -> list[tuple[str, int]]:
        return scheduler.take(lambda _, item: item in ready, replaced.append)

    for number in range(100):
        scheduler.put("front", number)
        assert take() == []
    ready.add(0)
    assert take() == [("front", 0)], "else late transforms would drop every image"
    assert take() == []
    scheduler.put("front", 100)
    ready |= {99, 100}
    assert take() == [("front", 100)] and replaced == ["front"] and not scheduler


def test_source_that_is_not_ready_accumulates_no_credit() -> None:
    scheduler: LatestScheduler[int] = LatestScheduler([ScheduledSource("front"), ScheduledSource("left")])
    scheduler.put("left", 0)
    for number in range(100):
        scheduler.put("front", number)
        assert scheduler.take(lambda name, _: name == "front") == [("front", number)]
    order = []
    for number in range(6):
        scheduler.put("front", number)
        scheduler.put("left", number)
        order += [name for name, _ in scheduler.take()]
    assert Counter(order[:4]) == {"front": 2, "left": 2}


def test_waiting_sources_of_one_group_are_batched() -> None:
    scheduler: LatestScheduler[int] = LatestScheduler(
        [ScheduledSource("front", group=0), ScheduledSource("left", group=0), ScheduledSource("rear", group=1)]
    )
    for name in ("left", "rear", "front"):
        scheduler.put(name, 1)
    assert scheduler.take() == [("front", 1), ("left", 1)]
    assert scheduler.take() == [("rear", 1)]


def test_sources_of_a_group_are_batched_again_after_single_runs() -> None:
    scheduler: LatestScheduler[int] = LatestScheduler(
        [ScheduledSource("front", group=0), ScheduledSource("left", group=0)]
    )
    scheduler.put("front", 0)
    scheduler.take()
    for number in range(1, 4):
        scheduler.put("front", number)
        scheduler.put("left", number)
        assert len(scheduler.take()) == 2
