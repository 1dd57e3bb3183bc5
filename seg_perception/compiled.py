"""Hot loops as machine code: Numba compiles a function when it is first called, and keeps it on disk."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

import numba

Function = TypeVar("Function", bound="Callable[..., object]")


def compiled(function: Function) -> Function:
    """A function over arrays and numbers, compiled for the types it is called with.

    It runs without the interpreter's lock, and without checks of its indices. Sums may be taken in another order and
    products be fused, but numbers that are not finite stay what they are.
    """
    compiler = numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract", "reassoc", "nsz", "arcp"})
    return cast(Function, compiler(function))
