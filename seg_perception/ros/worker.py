"""One thread that works on the newest items and never on a queue of old ones."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from seg_perception.ros.scheduler import Mailboxes

_Item = TypeVar("_Item")

_POLL = 0.005  # s, for what an item waits for; as TfPoses does


class Worker(Generic[_Item]):
    """A thread that empties mailboxes: what is not yet begun when its sender has a newer item is replaced by it."""

    def __init__(
        self,
        work: Callable[[Sequence[tuple[str, _Item]]], None],
        mailboxes: Mailboxes[_Item],
        name: str,
        may_begin: Callable[[str, _Item], bool],
        on_replaced: Callable[[str], None],
    ) -> None:
        """Start the thread.

        Args:
            work: takes (sender, item) of each that is worked on together; must not raise.
            mailboxes: the worker's alone from here on.
            name: of the thread.
            may_begin: as for `Mailboxes.take`; must return at once, and not raise.
            on_replaced: likewise.
        """
        self._work = work
        self._mailboxes = mailboxes
        self._may_begin = may_begin
        self._on_replaced = on_replaced
        self._stopping = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def offer(self, sender: str, item: _Item) -> bool:
        """Hand over an item; returns at once, True if it took the place of one that was not yet begun."""
        with self._changed:
            replaced = self._mailboxes.put(sender, item)
            self._changed.notify()
        return replaced

    def clear(self) -> None:
        """Forget the items that are not yet begun."""
        with self._changed:
            self._mailboxes.clear()

    def stop(self, timeout: float) -> bool:
        """Begin nothing more, and wait for what is in progress.

        Args:
            timeout: longest wait, s. Work that does not end by then is left behind in its (daemon) thread.

        Returns:
            Whether the thread has ended.
        """
        with self._changed:
            self._stopping = True
            self._mailboxes.clear()
            self._changed.notify()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while items := self._next():
            self._work(items)

    def _next(self) -> list[tuple[str, _Item]]:
        """What is worked on next, waited for; empty at the end."""
        with self._changed:
            while True:
                self._changed.wait_for(lambda: self._stopping or self._mailboxes)
                if self._stopping:
                    return []
                if items := self._mailboxes.take(self._may_begin, self._on_replaced):
                    return items
                self._changed.wait(_POLL)
