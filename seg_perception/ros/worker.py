"""One thread that processes the latest items and never a queue of old ones."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from seg_perception.ros.scheduler import LatestScheduler

_Item = TypeVar("_Item")

_POLL = 0.005  # s between checks whether an item is ready; the same as in TfPoses


class Worker(Generic[_Item]):
    """A thread that processes scheduled items. A newer item of a source replaces one that has not started."""

    def __init__(
        self,
        process: Callable[[Sequence[tuple[str, _Item]]], None],
        scheduler: LatestScheduler[_Item],
        name: str,
        is_ready: Callable[[str, _Item], bool],
        on_replaced: Callable[[str], None],
    ) -> None:
        """Start the thread.

        Args:
            process: called with (source, item) of each item of a batch; must not raise.
            scheduler: used by the worker alone from here on.
            name: of the thread.
            is_ready: see `LatestScheduler.take`; must return at once and must not raise.
            on_replaced: see `LatestScheduler.take`; must return at once and must not raise.
        """
        self._process = process
        self._scheduler = scheduler
        self._is_ready = is_ready
        self._on_replaced = on_replaced
        self._stopping = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def offer(self, source: str, item: _Item) -> bool:
        """Hand over an item; returns at once, True if it replaced one that had not started."""
        with self._changed:
            replaced = self._scheduler.put(source, item)
            self._changed.notify()
        return replaced

    def clear(self) -> None:
        """Drop the items that have not started."""
        with self._changed:
            self._scheduler.clear()

    def stop(self, timeout: float) -> bool:
        """Start no more items, and wait for those in progress.

        Args:
            timeout: longest wait, s. Work that does not end by then is abandoned in its (daemon) thread.

        Returns:
            Whether the thread has ended.
        """
        with self._changed:
            self._stopping = True
            self._scheduler.clear()
            self._changed.notify()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while items := self._next():
            self._process(items)

    def _next(self) -> list[tuple[str, _Item]]:
        """Wait for the next batch; empty once the worker stops."""
        with self._changed:
            while True:
                self._changed.wait_for(lambda: self._stopping or self._scheduler)
                if self._stopping:
                    return []
                if items := self._scheduler.take(self._is_ready, self._on_replaced):
                    return items
                self._changed.wait(_POLL)
