"""Ctrl-C during long work of a C library that calls back into Python."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def interrupts_noted() -> Iterator[Callable[[], bool]]:
    """Note Ctrl-C instead of raising it, and give a function that tells whether it came.

    Python raises KeyboardInterrupt in whatever of its code runs next. In a callback that is between two frames of the C
    library, which swallows the exception or ends the process. Programs with a handler of their own, and threads other
    than the main one, are left alone: nothing is raised in them.
    """
    noted = threading.Event()
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield noted.is_set
        return
    signal.signal(signal.SIGINT, lambda number, frame: noted.set())
    try:
        yield noted.is_set
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
