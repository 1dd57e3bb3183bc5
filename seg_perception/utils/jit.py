"""Compiled loops: Numba compiles a function on its first call and caches the machine code on disk."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

Function = TypeVar("Function", bound="Callable[..., object]")

# NaN and infinity keep their meaning. Sums may be reordered, and multiplications and additions fused.
_OPTIONS: dict[str, Any] = {
    "nogil": True,
    "error_model": "numpy",
    "fastmath": {"contract", "reassoc", "nsz", "arcp"},
}


def compiled(function: Function) -> Function:
    """A function over arrays and numbers, compiled for the types it is called with.

    It runs without the interpreter's lock and without bounds checks.
    """
    try:
        return cast(Function, numba.njit(cache=True, **_OPTIONS)(function))
    except RuntimeError:  # neither the package folder nor the home folder is writable
        return cast(Function, numba.njit(**_OPTIONS)(function))
