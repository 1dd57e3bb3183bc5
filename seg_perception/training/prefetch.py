"""Prefetching in threads, with results in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def prefetch(
    work: Callable[[Item], Result], items: Iterable[Item], executor: Executor, most: int = 64
) -> Iterator[Result]:
    """The results of `work` on each item, in order, with at most `most` of them started in advance.

    OpenCV and the image decoders release the GIL, so threads suffice. The bound limits memory when the consumer is
    slow, and wasted work when it stops early.

    Raises:
        Exception: an exception of `work`, when its result is consumed.
    """
    waiting: deque[Future[Result]] = deque()
    for item in items:
        waiting.append(executor.submit(work, item))
        if len(waiting) > most:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
