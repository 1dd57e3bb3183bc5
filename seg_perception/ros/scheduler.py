"""Who is worked on next when several cameras wait: a fair choice, and knows no rclpy."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

_Item = TypeVar("_Item")


@dataclass(frozen=True)
class Sender:
    """Somebody who hands over items.

    Attributes:
        name: of its mailbox.
        weight: its share of the work, against those of the others who wait.
        group: senders of one group may be worked on together; None for by itself.
    """

    name: str
    weight: float = 1.0
    group: int | None = None


@dataclass(eq=False)
class _Mailbox(Generic[_Item]):
    sender: Sender
    turn: float = 0.0  # when it is next, in virtual time
    item: _Item | None = None
    held: _Item | None = None  # an older one, which could not begin when it was asked for

    def next(self, may_begin: Callable[[str, _Item], bool]) -> _Item | None:
        """The newest item that may begin; one that may not is held, so that newer ones cannot replace it for ever."""
        for item in (self.item, self.held):
            if item is not None and may_begin(self.sender.name, item):
                return item
        if self.held is None:
            self.held, self.item = self.item, None
        return None

    def clear(self) -> None:
        self.item = self.held = None

    def __bool__(self) -> bool:
        return self.item is not None or self.held is not None


class Mailboxes(Generic[_Item]):
    """A mailbox for one item, the newest, per sender, emptied in turns that follow the weights.

    An item that may not begin yet keeps its place while the others have their turns, and a newer one waits behind it.

    The turns are those of start-time fair queueing (Goyal, Vin and Cheng, SIGCOMM 1996) with items of one size: each
    item taken moves its sender's next turn by 1 / weight, and the earliest turn is next. A mailbox that was empty joins
    at the turn that is being served now, so who sends little costs the others nothing and saves up no credit; likewise
    one whose item may not begin. While one waits that may, any other is served at most 2 + (its weight / the waiting
    one's) times, rounded up.

    It is used under the lock of whoever owns it.
    """

    def __init__(self, senders: Iterable[Sender]) -> None:
        """Make an empty mailbox for each of the senders; among equals the first is served first."""
        self._boxes: dict[str, _Mailbox[_Item]] = {sender.name: _Mailbox(sender) for sender in senders}
        self._now = 0.0

    def put(self, name: str, item: _Item) -> bool:
        """Hand over an item; True if it took the place of one that nobody had taken."""
        box = self._boxes[name]
        replaced = box.item is not None
        if not box:
            box.turn = max(box.turn, self._now)
        box.item = item
        return replaced

    def take(
        self,
        may_begin: Callable[[str, _Item], bool] = lambda name, item: True,
        on_replaced: Callable[[str], None] = lambda name: None,
    ) -> list[tuple[str, _Item]]:
        """Whose turn it is, with those of its group who may come along; empty if nobody may begin.

        Those come along whose own turn would be over no later than the first one's next: so a group shares each run as
        its weights say, and not evenly.

        Args:
            may_begin: tells of a name and its item whether that has all it needs.
            on_replaced: told the name of each whose older item a newer one takes the place of only now.

        Returns:
            (name, item) of each, the first one first.
        """
        waiting = [box for box in self._boxes.values() if box]
        chosen = {box: item for box in waiting if (item := box.next(may_begin)) is not None}
        if not chosen:
            return []
        first = min(chosen, key=lambda box: box.turn)
        self._now = first.turn
        for box in waiting:
            if box not in chosen:
                box.turn = max(box.turn, self._now)
        end = first.turn + 1 / first.sender.weight
        together = [first]
        if first.sender.group is not None:
            others = (box for box in chosen if box is not first and box.sender.group == first.sender.group)
            together += [box for box in others if box.turn <= end]
        taken = []
        for box in together:
            item = chosen[box]
            taken.append((box.sender.name, item))
            box.turn += 1 / box.sender.weight
            if item is box.held:
                box.held = None
                continue
            if box.held is not None:
                on_replaced(box.sender.name)
            box.clear()
        return taken

    def clear(self) -> None:
        """Throw away all items."""
        for box in self._boxes.values():
            box.clear()

    def __bool__(self) -> bool:
        """Whether anybody waits."""
        return any(self._boxes.values())
