"""Work in a process of its own, whose memory is then that of nothing else."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

_Result = TypeVar("_Result")


def alone(work: Callable[..., _Result], *arguments: object) -> _Result:
    """What a function of a module gives in a new process.

    Raises:
        Exception: whatever it raised there.
    """
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        return process.submit(work, *arguments).result()
