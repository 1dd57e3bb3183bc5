"""One thread that works on the newest items and never on a queue of old ones."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from seg_perception.ros.mailboxes import Mailboxes

_Item = TypeVar("_Item")


class Worker(Generic[_Item]):
    """A thread that empties mailboxes: what is not yet begun when its sender has a newer item is replaced by it."""

    def __init__(
        self, work: Callable[[Sequence[tuple[str, _Item]]], None], mailboxes: Mailboxes[_Item], name: str
    ) -> None:
        """Start the thread.

        Args:
            work: takes (sender, item) of each that is worked on together; must not raise.
            mailboxes: the worker's alone from here on.
            name: of the thread.
        """
        self._work = work
        self._mailboxes = mailboxes
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
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._stopping or self._mailboxes)
                if self._stopping:
                    return
                items = self._mailboxes.take()
            self._work(items)
