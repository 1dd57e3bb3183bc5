"""Work done ahead in threads, its results in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def ahead(
    work: Callable[[Item], Result], items: Iterable[Item], executor: Executor, most: int = 64
) -> Iterator[Result]:
    """The results of `work` on each item, in order, at most `most` of them begun before they are asked for.

    OpenCV and the decoders let go of Python's lock, so threads do here what processes are usually taken for. The bound
    keeps a slow consumer from filling the memory, and an interrupted one from waiting for work that nobody wants.

    Raises:
        Exception: what `work` raised, when its result is asked for.
    """
    waiting: deque[Future[Result]] = deque()
    for item in items:
        waiting.append(executor.submit(work, item))
        if len(waiting) > most:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
