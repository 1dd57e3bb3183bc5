"""Handling of Ctrl-C during long calls of a C library that calls back into Python."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def deferred_interrupts() -> Iterator[Callable[[], bool]]:
    """Record Ctrl-C instead of raising KeyboardInterrupt; yields a function that returns whether it was pressed.

    Python raises KeyboardInterrupt in the Python code that runs next. In a callback of a C library, the library then
    swallows the exception or the process ends. Nothing changes in programs that have a handler of their own, nor
    outside the main thread: no KeyboardInterrupt is raised there.
    """
    pressed = threading.Event()
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield pressed.is_set
        return
    signal.signal(signal.SIGINT, lambda number, frame: pressed.set())
    try:
        yield pressed.is_set
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
