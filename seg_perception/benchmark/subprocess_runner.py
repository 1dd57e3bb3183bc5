"""Runs a function in a process of its own, so that its memory can be measured."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

_Result = TypeVar("_Result")


def run_in_subprocess(work: Callable[..., _Result], *arguments: object) -> _Result:
    """Run a function of a module in a new process and return its result.

    Raises:
        Exception: whatever the function raised.
    """
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        return process.submit(work, *arguments).result()
