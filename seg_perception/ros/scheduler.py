"""A fair scheduler that keeps the latest item of each source. It imports nothing of rclpy."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

_Item = TypeVar("_Item")


@dataclass(frozen=True)
class ScheduledSource:
    """A source of items, such as a camera.

    Attributes:
        name: of the source.
        weight: its share of the work relative to the other waiting sources.
        group: sources of one group may be processed in one batch; None for alone.
    """

    name: str
    weight: float = 1.0
    group: int | None = None


@dataclass(eq=False)
class _Slot(Generic[_Item]):
    """The waiting items of one source: the latest, and an older one that was not ready at its turn."""

    source: ScheduledSource
    turn: float = 0.0  # virtual time of its next turn
    item: _Item | None = None
    held: _Item | None = None

    def next(self, is_ready: Callable[[str, _Item], bool]) -> _Item | None:
        """The latest item that is ready. An item that is not ready is held, so that newer ones never replace it."""
        for item in (self.item, self.held):
            if item is not None and is_ready(self.source.name, item):
                return item
        if self.held is None:
            self.held, self.item = self.item, None
        return None

    def clear(self) -> None:
        self.item = self.held = None

    def __bool__(self) -> bool:
        return self.item is not None or self.held is not None


class LatestScheduler(Generic[_Item]):
    """Keeps the latest item of each source and serves the sources in turns that follow their weights.

    An item that is not ready is held while the other sources have their turns. A newer item waits behind it.

    The turns are those of start-time fair queueing (Goyal, Vin and Cheng, SIGCOMM 1996) with items of one size: each
    item taken moves its source's next turn by 1 / weight, and the earliest turn is next. A source that had no item
    joins at the turn that is being served, so a slow source costs the others nothing and accumulates no credit. The
    same holds for a source whose item is not ready. While a source waits with a ready item, any other source is served
    at most 2 + ceil(its weight / the waiting one's weight) times.

    The scheduler has no lock of its own; its owner must hold one.
    """

    def __init__(self, sources: Iterable[ScheduledSource]) -> None:
        """Create an empty slot for each source; on equal turns the first source is served first."""
        self._slots: dict[str, _Slot[_Item]] = {source.name: _Slot(source) for source in sources}
        self._now = 0.0

    def put(self, name: str, item: _Item) -> bool:
        """Store the latest item of a source; True if it replaced one that was never taken."""
        slot = self._slots[name]
        replaced = slot.item is not None
        if not slot:
            slot.turn = max(slot.turn, self._now)
        slot.item = item
        return replaced

    def take(
        self,
        is_ready: Callable[[str, _Item], bool] = lambda name, item: True,
        on_replaced: Callable[[str], None] = lambda name: None,
    ) -> list[tuple[str, _Item]]:
        """Take the item of the source whose turn it is, and those of its group that may join the batch.

        A source joins the batch if its own turn comes no later than the first one's next turn. So a group shares each
        batch by its weights, and not evenly.

        Args:
            is_ready: whether an item of a source has everything that its processing needs.
            on_replaced: called with the name of each source whose held item is dropped for a newer one.

        Returns:
            (name, item) of each, the first one first; empty if no item is ready.
        """
        waiting = [slot for slot in self._slots.values() if slot]
        ready = {slot: item for slot in waiting if (item := slot.next(is_ready)) is not None}
        if not ready:
            return []
        first = min(ready, key=lambda slot: slot.turn)
        self._now = first.turn
        for slot in waiting:
            if slot not in ready:
                slot.turn = max(slot.turn, self._now)
        end = first.turn + 1 / first.source.weight
        batch = [first]
        if first.source.group is not None:
            others = (slot for slot in ready if slot is not first and slot.source.group == first.source.group)
            batch += [slot for slot in others if slot.turn <= end]
        taken = []
        for slot in batch:
            item = ready[slot]
            taken.append((slot.source.name, item))
            slot.turn += 1 / slot.source.weight
            if item is slot.held:
                slot.held = None
                continue
            if slot.held is not None:
                on_replaced(slot.source.name)
            slot.clear()
        return taken

    def clear(self) -> None:
        """Drop all items."""
        for slot in self._slots.values():
            slot.clear()

    def __bool__(self) -> bool:
        """Whether any source has an item."""
        return any(self._slots.values())
