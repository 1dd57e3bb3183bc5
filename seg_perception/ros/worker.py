"""One thread that works on the newest item and never on a queue of old ones."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

_Item = TypeVar("_Item")


class Worker(Generic[_Item]):
    """A thread with a mailbox for one item: what is not yet begun when a newer item comes is replaced by it."""

    def __init__(self, work: Callable[[_Item], None], name: str) -> None:
        """Start the thread; `work` must not raise."""
        self._work = work
        self._item: _Item | None = None
        self._stopping = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def offer(self, item: _Item) -> bool:
        """Hand over an item; returns at once, True if it took the place of one that was not yet begun."""
        with self._changed:
            replaced = self._item is not None
            self._item = item
            self._changed.notify()
        return replaced

    def clear(self) -> None:
        """Forget the item that is not yet begun."""
        with self._changed:
            self._item = None

    def stop(self, timeout: float) -> bool:
        """Begin nothing more, and wait for what is in progress.

        Args:
            timeout: longest wait, s. Work that does not end by then is left behind in its (daemon) thread.

        Returns:
            Whether the thread has ended.
        """
        with self._changed:
            self._stopping = True
            self._item = None
            self._changed.notify()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._stopping or self._item is not None)
                if self._stopping:
                    return
                item, self._item = self._item, None
            assert item is not None
            self._work(item)
